"""Least-squares adversarial terms (Mao et al. 2017; thesis eq. 8-11, 13-14, 20-21)."""

from __future__ import annotations

import tensorflow as tf

REAL, FAKE = 1.0, 0.0


def least_squares(scores: tf.Tensor, target: float) -> tf.Tensor:
    """Returns mean((scores - target)^2) over all elements.

    Args:
        scores: linear patch scores [B,h,w,1], float32.
        target: `REAL` or `FAKE`. D's terms take (real, REAL) and (fake, FAKE), G's (fake, REAL).
    """
    return tf.reduce_mean(tf.math.squared_difference(scores, target))
