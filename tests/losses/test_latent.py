"""Moments and divergence of two codes of length two, by hand."""

from __future__ import annotations

import math

import pytest
import tensorflow as tf

from losses.latent import kl_divergence, moment_matching


def log_variance(deviations):
    return 2.0 * tf.math.log(tf.constant(deviations))


def test_moment_matching_averages_within_a_code_first():
    mean = tf.constant([[1.0, 3.0], [-2.0, 0.0]])  # code means 2 and -1
    spread = log_variance([[1.0, 2.0], [2.0, 4.0]])  # code means 1.5 and 3
    first, second = moment_matching(mean, spread)
    assert float(first) == pytest.approx((4.0 + 1.0) / 2)
    assert float(second) == pytest.approx((0.25 + 4.0) / 2)


def test_opposite_codes_of_a_batch_do_not_cancel():
    first, _ = moment_matching(tf.constant([[1.0, 1.0], [-1.0, -1.0]]), tf.zeros([2, 2]))
    assert float(first) == pytest.approx(1.0)


def test_standard_codes_cost_nothing():
    codes = tf.constant([[1.0, -1.0], [0.5, -0.5]]), tf.zeros([2, 2])
    assert [float(term) for term in moment_matching(*codes)] == pytest.approx([0.0, 0.0])


def test_kl_divergence():
    mean = tf.constant([[1.0, 0.0], [0.0, 2.0]])
    spread = log_variance([[1.0, 2.0], [1.0, 1.0]])
    # mean^2 + variance - log(variance) - 1 per dimension: 1, 3 - log 4, 0, 4.
    expected = 0.5 * (8.0 - math.log(4.0)) / 4
    assert float(kl_divergence(mean, spread)) == pytest.approx(expected)


def test_gradients_of_the_divergence():
    mean, spread = tf.constant([[3.0, -1.0]]), log_variance([[1.0, 2.0]])
    with tf.GradientTape() as tape:
        tape.watch([mean, spread])
        loss = kl_divergence(mean, spread)
    by_mean, by_spread = tape.gradient(loss, [mean, spread])
    assert by_mean.numpy()[0] == pytest.approx([1.5, -0.5])  # mean / 2
    assert by_spread.numpy()[0] == pytest.approx([0.0, 0.75])  # (variance - 1) / 4
