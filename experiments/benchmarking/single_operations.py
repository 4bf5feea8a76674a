"""Single operations in the place of the faster ones that networks train with.

Networks have fused kernels, gradients written out, or fewer products with the same sum. The
reference implementation of a step is traced with what the original graph has, so that numbers and
times can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from models.blocks import convolution, normalization
from models.blocks.convolution import LEAK, RELU_CAP


def clipped_leaky_relu(x: tf.Tensor) -> tf.Tensor:
    """Returns what `capped_relu` does, with the gradient that TensorFlow derives."""
    return tf.clip_by_value(tf.nn.leaky_relu(x, LEAK), 0.0, RELU_CAP)


def double_then_convolve(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Returns what `double_and_convolve` does: [B,H,W,C] -> [B,2H,2W,filters]."""
    doubled = tf.raw_ops.ResizeNearestNeighbor(images=x, size=2 * tf.shape(x)[1:3])
    return tf.nn.conv2d(doubled, kernel, 1, "SAME")


def join_then_convolve(skip: tf.Tensor, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Returns what `join_and_convolve` does for one sample of x [B,H,W,C] to each of `skip`."""
    return tf.nn.conv2d(tf.concat([skip, x], axis=-1), kernel, 1, "SAME")


# Module, name under which its layers look a function up at each call, and what does the same.
SINGLE = (
    (normalization, "instance_norm", normalization.instance_norm_by_moments),
    (convolution, "capped_relu", clipped_leaky_relu),
    (convolution, "double_and_convolve", double_then_convolve),
    (convolution, "join_and_convolve", join_then_convolve),
)


@contextmanager
def single_operations() -> Iterator[None]:
    """Context in which networks are called and traced with single operations, in all threads."""
    former = [getattr(module, name) for module, name, _ in SINGLE]
    for module, name, single in SINGLE:
        setattr(module, name, single)
    try:
        yield
    finally:
        for (module, name, _), function in zip(SINGLE, former):
            setattr(module, name, function)
