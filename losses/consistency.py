"""Agreement between several versions of one image (original code, 2.2 and 2.4)."""

from __future__ import annotations

import itertools

import tensorflow as tf


def pairwise_consistency(versions: tf.Tensor) -> tf.Tensor:
    """Returns the sum over pairs j < k of mean((versions_j - versions_k)^2).

    Beside thesis eq. 16 and 19, in its code (original code, 2.2 and 2.4).

    Args:
        versions: [B,V,H,W,C]; V versions that should be equal. The mean runs over all but V.
    """
    first, second = zip(*itertools.combinations(range(versions.shape[1]), 2))
    differences = tf.gather(versions, first, axis=1) - tf.gather(versions, second, axis=1)
    return len(first) * tf.reduce_mean(tf.square(differences))
