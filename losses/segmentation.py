"""The lesion terms: class-weighted squared error or cross-entropy, and soft Dice.

Sources: "original code", section 2.3 (squared error and cross-entropy); the released codes of
TC-MGAN and SAMR (soft Dice).
"""

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

    Thesis eq. 15 and 22 with the soft-max of its text. The mean runs over all pixels, as above; it
    is not divided by the sum of the weights.

    Args:
        logits: [B,H,W,K], float32.
        label: class index [B,H,W,1], int32 in 0..K-1.
        weights: one per class.
    """
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(label[..., 0], logits)
    return tf.reduce_mean(entropy * tf.gather(tf.constant(weights, tf.float32), label[..., 0]))


def soft_dice_per_sample(
    probabilities: tf.Tensor, mask: tf.Tensor, smoothing: float = 1.0
) -> tf.Tensor:
    """Returns the mean of 1 - (2 sum(p m) + smoothing) / (sum(p) + sum(m) + smoothing).

    The loss of TC-MGAN's segmenters, as its code has it, and of Ellis' U-Net with context modules
    (but for the 1, with a smoothing of 1e-5). The sums run over the places of one sample and one
    mask; without lesion and without any probability its loss is 0.

    Args:
        probabilities: [B,H,W,K] or [B,D,H,W,K] in [0,1], float32.
        mask: of the same shape, 0 or 1, float32.
        smoothing: pixels.
    """
    axes = list(range(1, probabilities.shape.rank - 1))
    overlap = 2.0 * tf.reduce_sum(probabilities * mask, axes)
    sizes = tf.reduce_sum(probabilities, axes) + tf.reduce_sum(mask, axes)
    return tf.reduce_mean(1.0 - (overlap + smoothing) / (sizes + smoothing))


def soft_dice_per_class(probabilities: tf.Tensor, one_hot: tf.Tensor) -> tf.Tensor:
    """Returns 1 - the mean over classes of 2 sum(p r) / (sum(p) + sum(r) + 1e-7).

    SAMR's eq. 3 and 4 as its code has them: the sums run over batch, height and width, and the
    background is a class like the others. A class that is neither there nor found counts as wrong.

    Args:
        probabilities: p [B,H,W,K] in [0,1], float32.
        one_hot: r [B,H,W,K], 0 or 1, float32.
    """
    overlap = tf.reduce_sum(probabilities * one_hot, axis=[0, 1, 2])
    sizes = tf.reduce_sum(probabilities, axis=[0, 1, 2]) + tf.reduce_sum(one_hot, axis=[0, 1, 2])
    return 1.0 - tf.reduce_mean(2.0 * overlap / (sizes + 1e-7))


def weighted_binary_cross_entropy(logits: tf.Tensor, target: tf.Tensor, weight: float) -> tf.Tensor:
    """Returns the mean over all pixels of -(weight y log p + (1 - y) log(1 - p)), p = sigmoid.

    U-Net's weighted cross-entropy with one weight for all vessels (thesis 5.6.2).

    Args:
        logits: [B,H,W,1], float32.
        target: y [B,H,W,1], 0 or 1, float32.
        weight: of a pixel with y = 1.
    """
    return tf.reduce_mean(tf.nn.weighted_cross_entropy_with_logits(target, logits, weight))
