"""Terms that are particular to structure maps, whose channels are no line and line."""

from __future__ import annotations

import tensorflow as tf


def line_sparsity(probabilities: tf.Tensor) -> tf.Tensor:
    """Returns mean(no line) - mean(line) of maps [B,H,W,2K]; minimising it asks for more lines.

    The first K channels are no line of each of K maps, the others line.

    In the thesis' code only (original code, 2.1).
    """
    without, lines = tf.split(probabilities, 2, axis=-1)
    return tf.reduce_mean(without) - tf.reduce_mean(lines)
