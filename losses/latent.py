"""Terms that pull the encoder's codes towards N(0, I)."""

from __future__ import annotations

import tensorflow as tf


def moment_matching(mean: tf.Tensor, log_variance: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (mean of means)^2 and (mean of standard deviations - 1)^2 [original code, 2.1].

    Both statistics are taken over a sample's code and then averaged over the batch, so that a batch
    of four equals four batches of one, as on the four GPUs of the original.

    Args:
        mean, log_variance: the encoder's outputs [B,latent_size].
    """
    means = tf.reduce_mean(mean, axis=1)
    deviations = tf.reduce_mean(tf.exp(0.5 * log_variance), axis=1)
    return tf.reduce_mean(tf.square(means)), tf.reduce_mean(tf.square(deviations - 1.0))


def kl_divergence(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Returns KL(N(mean, exp(log_variance)) || N(0, I)), mean over batch *and* latent dimensions.

    Args:
        mean, log_variance: [B,latent_size] (Kingma & Welling 2014, appendix B).
    """
    per_dimension = tf.square(mean) + tf.exp(log_variance) - log_variance - 1.0
    return 0.5 * tf.reduce_mean(per_dimension)
