"""Adversarial terms on four patch scores of two samples, and the penalty of known gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from losses.adversarial import (
    FAKE,
    REAL,
    binary_cross_entropy,
    critic_accuracy,
    critic_score_sum,
    gradient_penalty_of_sum,
    least_squares,
    least_squares_accuracy,
)

SCORES = tf.reshape(tf.constant([0.0, 1.0, 2.0, 3.0]), [2, 2, 1, 1])


@pytest.mark.parametrize("target, expected", [(REAL, 1.5), (FAKE, 3.5)])
def test_least_squares(target, expected):
    assert float(least_squares(SCORES, target)) == pytest.approx(expected)


def test_cross_entropy_of_a_score():
    # -log(sigmoid(s)) and -log(1 - sigmoid(s)), s = 0 and log(3): sigmoid 1/2 and 3/4.
    scores = tf.math.log([1.0, 3.0])
    assert float(binary_cross_entropy(scores, REAL)) == pytest.approx(-np.log(1 / 2 * 3 / 4) / 2)
    assert float(binary_cross_entropy(scores, FAKE)) == pytest.approx(-np.log(1 / 2 * 1 / 4) / 2)


def test_least_squares_counts_the_nearer_target():
    real = tf.constant([1.2, 0.6, 0.4, -3.0])  # two are nearer to 1
    fake = tf.constant([0.4, -2.0, 0.1, 0.6])  # three are nearer to 0
    assert float(least_squares_accuracy(real, fake)) == pytest.approx((2 / 4 + 3 / 4) / 2)
    assert float(least_squares_accuracy(real + 9, fake - 9)) == 1.0
    assert float(least_squares_accuracy(real, real)) == 0.5
    assert float(least_squares_accuracy(real, fake, 0.0)) == pytest.approx((3 / 4 + 1 / 4) / 2)


def test_a_critic_has_to_prefer_the_real_image_of_a_pair():
    real = tf.reshape(tf.constant([[5.0, -4.0], [0.0, 0.0], [1.0, 1.0]]), [3, 2, 1, 1])
    fake = tf.reshape(tf.constant([[0.5, 0.4], [0.0, 0.0], [-9.0, 10.0]]), [3, 2, 1, 1])
    assert float(critic_accuracy(real, fake)) == pytest.approx(2 / 3)  # sums 1 > 0.9, 0 = 0, 2 > 1


def test_critic_score_sums_a_map_and_averages_samples():
    assert float(critic_score_sum(SCORES)) == pytest.approx((1.0 + 5.0) / 2)


def pair() -> list:
    """Real and generated images [2,4,4,1] and the share [2,1,1,1] of the real one."""
    rng = np.random.default_rng(0)
    shapes = [(2, 4, 4, 1), (2, 4, 4, 1), (2, 1, 1, 1)]
    return [tf.constant(rng.random(shape), tf.float32) for shape in shapes]


def test_penalty_of_a_linear_critic():
    """Every score of the 2x2 map is the sum of four pixels with weights w: the gradient is w."""
    w = np.arange(1.0, 5.0).reshape(2, 2, 1, 1)
    penalty = gradient_penalty_of_sum(lambda x: tf.nn.conv2d(x, w, 2, "VALID"), *pair())
    norm = np.sqrt(4 * (w**2).sum())  # four patches
    assert float(penalty) == pytest.approx((norm - 1) ** 2, rel=1e-5)


def test_penalty_is_taken_between_the_images_of_each_sample():
    real, fake, share = pair()
    mixed = share * real + (1 - share) * fake
    # The gradient of the sum of x^2 is 2 x.
    norms = np.sqrt((4 * mixed.numpy() ** 2).sum((1, 2, 3)))
    penalty = gradient_penalty_of_sum(tf.square, real, fake, share)
    assert float(penalty) == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-5)


def test_gradient_of_the_penalty_is_finite_where_the_critic_is_flat():
    w = tf.Variable(tf.zeros([4, 4, 1]))
    with tf.GradientTape() as tape:
        penalty = gradient_penalty_of_sum(lambda x: x * w, *pair())
    assert float(penalty) == pytest.approx(1.0, rel=1e-5)
    assert np.all(np.isfinite(tape.gradient(penalty, w)))


def test_gradient_of_the_penalty_reaches_the_critic():
    """The derivative of (|w| - 1)^2 is 2 (|w| - 1) w / |w|."""
    w = tf.Variable(tf.fill([4, 4, 1], 0.5))  # norm 2
    with tf.GradientTape() as tape:
        penalty = gradient_penalty_of_sum(lambda x: x * w, *pair())
    np.testing.assert_allclose(tape.gradient(penalty, w), np.full((4, 4, 1), 0.5), rtol=1e-5)
