"""The lesion term (original code, 2.3): squared error of sigmoids, or soft-max cross-entropy."""

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


def class_weighted_cross_entropy(
    logits: tf.Tensor, label: tf.Tensor, weights: Sequence[float]
) -> tf.Tensor:
    """Returns sum_c weights[c] * mean(one_hot(label)_c * -log softmax(logits)_c).

    The mean runs over all pixels, as above; it is not divided by the sum of the weights.

    Args:
        logits: [B,H,W,K], float32.
        label: class index [B,H,W,1], int32 in 0..K-1.
        weights: one per class.
    """
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(label[..., 0], logits)
    return tf.reduce_mean(entropy * tf.gather(tf.constant(weights, tf.float32), label[..., 0]))
