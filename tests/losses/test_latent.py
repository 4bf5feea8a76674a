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


def test_kl_divergence():
    mean = tf.constant([[1.0, 0.0], [0.0, 2.0]])
    spread = log_variance([[1.0, 2.0], [1.0, 1.0]])
    # mean^2 + variance - log(variance) - 1 per dimension: 1, 3 - log 4, 0, 4.
    expected = 0.5 * (8.0 - math.log(4.0)) / 4
    assert float(kl_divergence(mean, spread)) == pytest.approx(expected)
