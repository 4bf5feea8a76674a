"""The class term of the modality head (thesis eq. 13, 14, 20, 21; TC-MGAN eq. 2, 3)."""

from __future__ import annotations

import tensorflow as tf

from losses.reconstruction import mean_squared_error


def class_index_regression(scores: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Returns mean((scores - index)^2): every patch regresses the class *index*, no soft-max.

    Thesis eq. 13, 14, 20, 21, as its code has them (original code, 1.4).

    Args:
        scores: linear patch scores [B,h,w,1], float32.
        index: class of each sample [B], integer.
    """
    return mean_squared_error(scores, tf.cast(index, tf.float32)[:, None, None, None])


def sigmoid_cross_entropy_sum(logits: tf.Tensor, one_hot: tf.Tensor) -> tf.Tensor:
    """Returns the mean over the batch of the *sum* over the classes of binary cross-entropies.

    Each class is a yes or no of its own (TC-MGAN's released code), not a soft-max.

    Args:
        logits: [B,K], float32.
        one_hot: class of each sample [B,K], float32.
    """
    entropies = tf.nn.sigmoid_cross_entropy_with_logits(one_hot, logits)
    return tf.reduce_mean(tf.reduce_sum(entropies, axis=1))
