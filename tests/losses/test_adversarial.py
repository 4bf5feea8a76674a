"""Least-squares terms on four patch scores of two samples, by hand."""

from __future__ import annotations

import pytest
import tensorflow as tf

from losses.adversarial import FAKE, REAL, least_squares

SCORES = tf.reshape(tf.constant([0.0, 1.0, 2.0, 3.0]), [2, 2, 1, 1])


@pytest.mark.parametrize("target, expected", [(REAL, 1.5), (FAKE, 3.5)])
def test_least_squares(target, expected):
    assert float(least_squares(SCORES, target)) == pytest.approx(expected)
