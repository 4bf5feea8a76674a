"""The class term of the modality head (thesis eq. 13, 14, 20, 21)."""

from __future__ import annotations

import tensorflow as tf


def class_index_regression(scores: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Returns mean((scores - index)^2): every patch regresses the class *index*, no soft-max.

    Args:
        scores: linear patch scores [B,h,w,1], float32.
        index: class of each sample [B], integer.
    """
    target = tf.cast(index, tf.float32)[:, None, None, None]
    return tf.reduce_mean(tf.math.squared_difference(scores, target))
