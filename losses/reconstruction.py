"""Pixel-wise terms: the *mean* over all elements of batch, space and channels, or a named sum."""

from __future__ import annotations

from typing import Optional, Union

import tensorflow as tf


def mean_squared_error(a: tf.Tensor, b: Union[tf.Tensor, float]) -> tf.Tensor:
    """Returns mean((a - b)^2) over the elements of `a`, against which `b` is broadcast."""
    return tf.reduce_mean(tf.math.squared_difference(a, b))


def mean_absolute_error(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Returns mean(|a - b|) of two tensors of one shape."""
    return tf.reduce_mean(tf.abs(a - b))


ERRORS = {"squared": mean_squared_error, "absolute": mean_absolute_error}


def absolute_error_sum(a: tf.Tensor, b: tf.Tensor, weight: Optional[tf.Tensor] = None) -> tf.Tensor:
    """Returns the mean over the batch of the *sum* of |a - b| over a sample's pixels and channels.

    TC-MGAN's weight of 0.1 belongs to this sum, 16384 pixels of [B,H,W,C], in its released code.
    `weight` [B,H,W,1] multiplies the error of each pixel.
    """
    error = tf.abs(a - b)
    error = error if weight is None else error * weight
    return tf.reduce_mean(tf.reduce_sum(error, axis=[1, 2, 3]))


def masked_squared_error(a: tf.Tensor, b: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns mean((a * mask - b * mask)^2), the second term of thesis eq. 18.

    The mean runs over all pixels, so the weight of a pixel does not depend on the mask's area.
    `mask` [B,H,W,1] (0/1) broadcasts over the channels of a and b [B,H,W,C].
    """
    return tf.reduce_mean(tf.square((a - b) * mask))


def masked_energy(a: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns mean((mask * a)^2): what of `a` lies under the mask (thesis eq. 7 and 11)."""
    return tf.reduce_mean(tf.square(a * mask))
