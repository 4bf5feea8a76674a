"""Least-squares terms on four patch scores of two samples, by hand."""

from __future__ import annotations

import pytest
import tensorflow as tf

from losses.adversarial import FAKE, REAL, least_squares

SCORES = tf.reshape(tf.constant([0.0, 1.0, 2.0, 3.0]), [2, 2, 1, 1])


def test_real_and_fake_are_one_and_zero():
    assert (REAL, FAKE) == (1.0, 0.0)


@pytest.mark.parametrize("target, expected", [(REAL, 1.5), (FAKE, 3.5)])
def test_least_squares(target, expected):
    assert float(least_squares(SCORES, target)) == pytest.approx(expected)


def test_gradient_points_from_the_score_to_the_target():
    with tf.GradientTape() as tape:
        tape.watch(SCORES)
        loss = least_squares(SCORES, REAL)
    expected = [-0.5, 0.0, 0.5, 1.0]  # 2 (score - 1) / 4
    assert tf.reshape(tape.gradient(loss, SCORES), [-1]).numpy() == pytest.approx(expected)
