"""The lesion term: class-weighted squared error of independent sigmoids (original code, 2.3)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def class_weighted_squared_error(
    probabilities: tf.Tensor, label: tf.Tensor, weights: Sequence[float]
) -> tf.Tensor:
    """Returns sum_c weights[c] * mean((one_hot(label)_c - probabilities_c)^2).

    Args:
        probabilities: [B,H,W,K] in (0,1), float32.
        label: class index [B,H,W,1], int32 in 0..K-1.
        weights: one per class; the thesis runs with 2.5, 25, 125, 125, 125.
    """
    target = tf.one_hot(label[..., 0], len(weights))
    per_class = tf.reduce_mean(tf.math.squared_difference(probabilities, target), axis=[0, 1, 2])
    return tf.reduce_sum(per_class * tf.constant(weights, tf.float32))
