"""Pixel-wise means over batch, space and channels, and sums over space, by hand."""

from __future__ import annotations

import pytest
import tensorflow as tf

from losses.reconstruction import (
    absolute_error_sum,
    masked_energy,
    masked_squared_error,
    mean_absolute_error,
    mean_squared_error,
)

# Two samples of two pixels and two channels; B is zero.
A = tf.reshape(tf.constant([1.0, -2.0, 3.0, 0.0, 2.0, 2.0, -1.0, 4.0]), [2, 1, 2, 2])
B = tf.zeros_like(A)
# The first pixel of sample 0 and the second of sample 1.
MASK = tf.reshape(tf.constant([1.0, 0.0, 0.0, 1.0]), [2, 1, 2, 1])


def test_mean_errors():
    assert float(mean_squared_error(A, B)) == pytest.approx(39.0 / 8)
    assert float(mean_absolute_error(A, B)) == pytest.approx(15.0 / 8)


def test_masked_terms_divide_by_all_pixels():
    # Under the mask 1, -2 and -1, 4 against 1: squares 0, 9, 4, 9.
    loss = masked_squared_error(A, tf.ones_like(A), MASK)
    assert float(loss) == pytest.approx(22.0 / 8)
    assert float(masked_energy(A, MASK)) == pytest.approx((1.0 + 4.0 + 1.0 + 16.0) / 8)


def test_absolute_error_sums_pixels_and_averages_samples():
    assert float(absolute_error_sum(A, B)) == pytest.approx(15.0 / 2)


def test_a_weight_multiplies_the_absolute_error_of_its_pixel():
    # Pixels have errors 3, 3 in sample 0 and 4, 5 in sample 1.
    weight = tf.reshape(tf.constant([2.0, 0.0, 1.0, 3.0]), [2, 1, 2, 1])
    assert float(absolute_error_sum(A, B, weight)) == pytest.approx((6.0 + 0.0 + 4.0 + 15.0) / 2)


@pytest.mark.parametrize("samples", [1, 3])
def test_a_constant_difference_counts_once_for_every_pixel(samples):
    a = tf.fill([samples, 128, 128, 1], 0.75)
    assert float(absolute_error_sum(a, a - 0.5)) == pytest.approx(16384 * 0.5)
