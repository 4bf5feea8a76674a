"""Kernel initialisers: those of the structure-map system, and PyTorch's.

Source of the former: original code, section 1.2 of the fact sheet.

`mean_filter` starts a convolution as a box filter: every weight is 1 / (k*k*F) up to a tiny noise.
Only the noise (1e-6) makes a layer's filters differ, so kernels have to be made in float32.
F is the channel count that the released code assumes for a layer, which ignores labels and
conditions; `mean_filter_exact` takes the channels that the layer has.
"""

from __future__ import annotations

import math

import tensorflow as tf

from utils.errors import UserError

KERNEL_INITIALIZERS = ("mean_filter", "mean_filter_exact", "he_normal", "glorot_uniform")
MEAN_FILTER_NOISE = 1e-6


def mean_filter(fan_in_channels: int, kernel: int = 3) -> tf.keras.initializers.Initializer:
    """Returns Normal(1 / (kernel^2 * fan_in_channels), 1e-6), the U-Nets' initialiser.

    Source: "all weights 1/(k*k*f)" in the papers; the noise and F = input channels in the code.
    """
    mean = 1.0 / (kernel * kernel * fan_in_channels)
    return tf.keras.initializers.RandomNormal(mean=mean, stddev=MEAN_FILTER_NOISE)


class MeanFilterExact(tf.keras.initializers.Initializer):
    """Normal(1 / (kernel^2 * F), 1e-6) with F the kernel's true input channels."""

    def __call__(self, shape: tuple, dtype: tf.DType = tf.float32) -> tf.Tensor:
        mean = 1.0 / math.prod(shape[:-1])
        return tf.keras.initializers.RandomNormal(mean, MEAN_FILTER_NOISE)(shape, dtype)


def kernel_initializer(name: str, fan_in_channels: int) -> tf.keras.initializers.Initializer:
    """Returns the initialiser of a 3x3 U-Net kernel by its configuration name.

    Raises UserError for a name that is not in `KERNEL_INITIALIZERS`.
    """
    if name == "mean_filter":
        return mean_filter(fan_in_channels)
    if name == "mean_filter_exact":
        return MeanFilterExact()
    if name in KERNEL_INITIALIZERS:
        return tf.keras.initializers.get(name)
    raise UserError(f"initializer is {name!r}; expected one of {', '.join(KERNEL_INITIALIZERS)}")


def discriminator_normal(stddev: float = 0.02) -> tf.keras.initializers.Initializer:
    """Returns Normal(0, stddev); 0.02 in every version of the code, 0.2 in the early paper."""
    return tf.keras.initializers.RandomNormal(mean=0.0, stddev=stddev)


def he_normal_untruncated() -> tf.keras.initializers.Initializer:
    """Returns Normal(0, sqrt(2 / inputs)), He's initialiser as PyTorch has it; Keras cuts tails."""
    return tf.keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")


def transposed_uniform() -> tf.keras.initializers.Initializer:
    """Returns U(-b, b) with b = 1 / sqrt(kernel area * *output* channels).

    This is PyTorch's default for transposed convolutions.
    """
    return tf.keras.initializers.VarianceScaling(1.0 / 3.0, "fan_in", "uniform")
