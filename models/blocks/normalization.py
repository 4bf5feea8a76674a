"""Normalisations: instance norm with statistics in float32, plain, conditional or bare; batch norm.

Our own small layers: tensorflow-addons and Keras cast the statistics back to float16 (overflow)
and use epsilon 1e-3 and constant scales; the original code has epsilon 1e-5, scales ~ N(1, 0.02).
"""

from __future__ import annotations

from typing import Optional, Union

import numpy as np
import tensorflow as tf

EPSILON = 1e-5
SCALE_STDDEV = 0.02


class InstanceNormalization(tf.keras.layers.Layer):
    """Normalises each sample and channel over all places, then scales and shifts.

    With `num_conditions` the scale and offset are looked up per sample (conditional instance norm,
    Dumoulin et al. 2017): this lets a modality code survive the normalisation.

    Args:
        num_conditions: rows of the scale/offset tables, or None for the plain layer.
        scale: mean of the initial scale (its spread is 0.02).
        offset: initial offset, one number or one per channel.
        affine: False normalises alone: the layer has no scale and no offset.
    """

    def __init__(
        self,
        num_conditions: Optional[int] = None,
        scale: float = 1.0,
        offset: Union[float, tuple[float, ...]] = 0.0,
        affine: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_conditions = num_conditions
        self.initial_scale = scale
        self.initial_offset = offset
        self.affine = affine

    def build(self, input_shape: tf.TensorShape) -> None:
        """Creates scale and offset, [channels] or [num_conditions, channels], if there are any."""
        super().build(input_shape)
        if not self.affine:
            return
        rows = () if self.num_conditions is None else (self.num_conditions,)
        shape = (*rows, input_shape[-1])
        normal = tf.keras.initializers.RandomNormal(self.initial_scale, SCALE_STDDEV)
        constant = tf.keras.initializers.Constant(np.broadcast_to(self.initial_offset, shape))
        # No autocast: scale and offset take part in the float32 arithmetic.
        options = {"dtype": tf.float32, "experimental_autocast": False}
        self.scale = self.add_weight("scale", shape, initializer=normal, **options)
        self.offset = self.add_weight("offset", shape, initializer=constant, **options)

    def call(self, x: tf.Tensor, condition: Optional[tf.Tensor] = None) -> tf.Tensor:
        """Returns the normalised x in x's type, [B,H,W,C] or [B,D,H,W,C].

        Condition is one-hot [B,K].
        """
        if self.affine:
            scale, offset = tf.convert_to_tensor(self.scale), tf.convert_to_tensor(self.offset)
        else:
            scale, offset = tf.ones(x.shape[-1:]), tf.zeros(x.shape[-1:])
        if self.num_conditions is not None:
            condition = tf.cast(condition, tf.float32)
            scale, offset = tf.matmul(condition, scale), tf.matmul(condition, offset)
        channels = x.shape[-1]
        scale = tf.reshape(scale, [-1, 1, 1, channels])  # [B,1,1,C], or [1,1,1,C]
        offset = tf.reshape(offset, [-1, 1, 1, channels])
        if x.shape.rank == 5:
            image = tf.reshape(x, [tf.shape(x)[0], *_in_rows(x)])
            image = tf.ensure_shape(image, [x.shape[0], *_in_rows(x)])
            normalised = instance_norm(tf.cast(image, tf.float32), scale, offset)
            volume = tf.reshape(normalised, [tf.shape(x)[0], *x.shape[1:]])
            return tf.cast(tf.ensure_shape(volume, x.shape), x.dtype)
        return tf.cast(instance_norm(tf.cast(x, tf.float32), scale, offset), x.dtype)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "num_conditions": self.num_conditions,
            "scale": self.initial_scale,
            "offset": self.initial_offset,
            "affine": self.affine,
        }


def _in_rows(x: tf.Tensor) -> tuple[int, ...]:
    """Returns the shape of a volume [B,D,H,W,C] as an image, [D*H,W,C]."""
    depth, height, width, channels = x.shape[1:]
    return depth * height, width, channels


def instance_norm_by_moments(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Returns what `instance_norm` does, by single operations and for any number of samples."""
    mean, variance = tf.nn.moments(x, axes=[1, 2], keepdims=True)
    return scale * ((x - mean) * tf.math.rsqrt(variance + EPSILON)) + offset


def instance_norm(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Returns scale * (x - mean) / sqrt(variance + 1e-5) + offset with biased variance over H, W.

    It is batch norm of one sample, for which TensorFlow has fused kernels. Single operations are
    used where the number of samples, or of pairs, is unknown.

    Args:
        x: [B,H,W,C] float32.
        scale, offset: [1,1,1,C], or [B,1,1,C] with another pair for every sample.
    """
    if None in (x.shape[0], scale.shape[0], offset.shape[0]):
        return instance_norm_by_moments(x, scale, offset)
    channels = x.shape[-1]
    return _normalised_apart(x, *(tf.reshape(v, [-1, channels]) for v in (scale, offset)))


@tf.custom_gradient
def _normalised_apart(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tuple:
    """The fused batch norm of each sample of x [B,H,W,C]; scale and offset are [1 or B,C].

    TensorFlow's gradient of the kernel also asks for the gradients of its statistics. Nobody has
    them, and zeros in their place, for every sample, would make up most of a step's graph.
    """
    unused = tf.constant([], tf.float32)  # running means, which instance norm has none of
    samples = tf.split(x, x.shape[0])
    scales, offsets = (tf.unstack(v) * (len(samples) // v.shape[0]) for v in (scale, offset))
    normalised = [
        tf.raw_ops.FusedBatchNormV3(
            x=sample, scale=s, offset=o, mean=unused, variance=unused, epsilon=EPSILON
        )
        for sample, s, o in zip(samples, scales, offsets)
    ]

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        derived = [
            tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=given,
                x=sample,
                scale=s,
                reserve_space_1=norm.reserve_space_1,
                reserve_space_2=norm.reserve_space_2,
                reserve_space_3=norm.reserve_space_3,
                epsilon=EPSILON,
            )
            for given, sample, s, norm in zip(
                tf.split(upstream, len(samples)), samples, scales, normalised
            )
        ]
        of_scale = tf.stack([each.scale_backprop for each in derived])
        of_offset = tf.stack([each.offset_backprop for each in derived])
        if scale.shape[0] == 1:
            of_scale, of_offset = (
                tf.reduce_sum(v, 0, keepdims=True) for v in (of_scale, of_offset)
            )
        return tf.concat([each.x_backprop for each in derived], axis=0), of_scale, of_offset

    return tf.concat([norm.y for norm in normalised], axis=0), gradient


def batch_norm(spread: float = 0.0) -> tf.keras.layers.BatchNormalization:
    """Returns a batch norm with PyTorch's defaults and initial scales ~ N(1, spread).

    Running mean and variance move by a tenth per step, the variance unbiased (as the fused kernel
    has it).
    """
    # A random initialiser takes a number from the seed, even with a spread of 0.
    scale = tf.keras.initializers.RandomNormal(1.0, spread) if spread else "ones"
    return tf.keras.layers.BatchNormalization(
        momentum=0.9, epsilon=EPSILON, gamma_initializer=scale, name="norm"
    )


# What a table row may ask for; "batch_spread" as pix2pix and its descendants initialise it.
NORMS = {
    "": lambda: None,
    "instance": lambda: InstanceNormalization(affine=False, name="norm"),
    "instance_affine": lambda: InstanceNormalization(name="norm"),
    "batch": batch_norm,
    "batch_spread": lambda: batch_norm(SCALE_STDDEV),
}
