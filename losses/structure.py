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


def soft_edges(images: tf.Tensor, threshold: float, softness: float = 0.02) -> tf.Tensor:
    """Returns the probability of a line at each pixel, [B,H,W,1] in (0,1), with a gradient.

    The early paper's structure map (Sobel, min-max, two thresholds) with logistic functions of
    width `softness` in the place of thresholds, and a soft union. No gradient flows through the
    extremes.

    Args:
        images: [B,H,W,1] in [0,1].
        threshold: on the distance of a normalised response from its mean.
        softness: of a threshold, in the same unit.
    """
    responses = tf.image.sobel_edges(images)

    def normalised(x: tf.Tensor) -> tf.Tensor:
        low, high = (
            tf.stop_gradient(extreme(x, axis=(1, 2, 3), keepdims=True))
            for extreme in (tf.reduce_min, tf.reduce_max)
        )
        return tf.math.divide_no_nan(x - low, high - low)

    lowest, highest = (
        normalised(extreme(responses, axis=-1)) for extreme in (tf.reduce_min, tf.reduce_max)
    )
    below = tf.reduce_mean(lowest, axis=(1, 2, 3), keepdims=True) - lowest
    above = highest - tf.reduce_mean(highest, axis=(1, 2, 3), keepdims=True)
    none = [1.0 - tf.sigmoid((distance - threshold) / softness) for distance in (below, above)]
    return 1.0 - none[0] * none[1]
