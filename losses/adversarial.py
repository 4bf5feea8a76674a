"""Adversarial terms: least squares, cross-entropy, the Wasserstein critic with gradient penalty.

Sources: Mao et al. 2017, thesis eq. 8-11, 13-14, 20-21; Goodfellow et al. 2014, SAMR eq. 1;
Gulrajani et al. 2017, TC-MGAN eq. 5-7.
"""

from __future__ import annotations

from typing import Callable

import tensorflow as tf

from losses.reconstruction import mean_squared_error

REAL, FAKE = 1.0, 0.0
# Inside the root: at a gradient of zero its derivative is infinite. The norm is 1e-6 there.
SAFE = 1e-12


def least_squares(scores: tf.Tensor, target: float) -> tf.Tensor:
    """Returns mean((scores - target)^2) over all elements (thesis eq. 8-11, 13-14, 20-21).

    Args:
        scores: linear patch scores [B,h,w,1], float32.
        target: `REAL` or `FAKE`. D's terms take (real, REAL) and (fake, FAKE), G's (fake, REAL).
    """
    return mean_squared_error(scores, target)


def binary_cross_entropy(scores: tf.Tensor, target: float) -> tf.Tensor:
    """Returns the mean cross-entropy of sigmoid(scores) to `target` (SAMR eq. 1, pix2pix).

    Args: as of `least_squares`.
    """
    targets = tf.fill(tf.shape(scores), target)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, scores))


# Each loss with the score that means as much real as generated.
ADVERSARIAL = {
    "least_squares": (least_squares, (REAL + FAKE) / 2),
    "cross_entropy": (binary_cross_entropy, 0.0),
}


def least_squares_accuracy(
    real: tf.Tensor, fake: tf.Tensor, middle: float = (REAL + FAKE) / 2
) -> tf.Tensor:
    """Returns the share of scores that are nearer to their own target than to the other, 0..1.

    Real and fake scores count half each; a discriminator that knows nothing has 0.5.

    Args:
        real, fake: linear patch scores [...], float32.
        middle: the score between both targets; 0 for cross-entropies.
    """
    shares = [tf.cast(right, tf.float32) for right in (real > middle, fake < middle)]
    return (tf.reduce_mean(shares[0]) + tf.reduce_mean(shares[1])) / 2


def critic_accuracy(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Returns the share of pairs whose real image has the higher sum over its score map, 0..1.

    The sum is what the critic of TC-MGAN's eq. 5-7 maximises.

    Args:
        real, fake: linear patch scores [B,h,w,1], float32; pair b is row b of both.
    """
    higher = tf.reduce_sum(real - fake, axis=[1, 2, 3]) > 0.0
    return tf.reduce_mean(tf.cast(higher, tf.float32))


def critic_score_sum(scores: tf.Tensor) -> tf.Tensor:
    """Returns the mean over the batch of the *sum* over each score map (TC-MGAN's released code).

    The critic minimises it on generated images and its negative on real ones; the generator
    minimises the negative on generated ones.

    Args:
        scores: linear patch scores [B,h,w,1], float32.
    """
    return tf.reduce_mean(tf.reduce_sum(scores, axis=[1, 2, 3]))


def gradient_penalty_of_sum(
    critic: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, fake: tf.Tensor, share: tf.Tensor
) -> tf.Tensor:
    """Returns the batch's mean of (norm of the score's gradient - 1)^2 (TC-MGAN eq. 5).

    The gradient is that of the *sum* over the score map with respect to share * real +
    (1 - share) * fake, and its norm runs over all pixels of a sample.

    Args:
        critic: from images to linear patch scores [B,h,w,1], each sample on its own; what else it
            sees is held fixed.
        real, fake: images [B,H,W,C], float32.
        share: of the real image, [B,1,1,1] in [0,1].
    """
    mixed = share * real + (1.0 - share) * fake
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(mixed)
        scores = tf.reduce_sum(critic(mixed))
    gradient = tape.gradient(scores, mixed)
    norm = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3]) + SAFE)
    return tf.reduce_mean(tf.square(norm - 1.0))
