"""Terms that are particular to two-channel structure maps (no line, line)."""

from __future__ import annotations

import tensorflow as tf


def line_sparsity(probabilities: tf.Tensor) -> tf.Tensor:
    """Returns mean(no line) - mean(line) of a map [B,H,W,2]; minimising it asks for more lines.

    In the thesis' code only (original code, 2.1).
    """
    return tf.reduce_mean(probabilities[..., 0]) - tf.reduce_mean(probabilities[..., 1])
