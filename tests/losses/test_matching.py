"""Feature matching of two layers, by hand."""

from __future__ import annotations

import pytest
import tensorflow as tf

from losses.matching import feature_matching

REAL = [tf.constant([1.0, 2.0]), tf.constant([0.0, 0.0, 0.0, 4.0])]
FAKE = [tf.constant([0.0, 2.0]), tf.constant([0.0, 0.0, 2.0, 0.0])]


def test_layers_are_means_and_their_sum_is_taken():
    assert float(feature_matching(REAL, FAKE)) == pytest.approx(1 / 2 + (4 + 16) / 4)
    assert float(feature_matching(REAL, FAKE, "absolute")) == pytest.approx(1 / 2 + (2 + 4) / 4)


def test_no_gradient_reaches_the_real_features():
    real, fake = tf.Variable([1.0]), tf.Variable([3.0])
    with tf.GradientTape() as tape:
        loss = feature_matching([2 * real], [2 * fake])
    assert [g if g is None else float(g) for g in tape.gradient(loss, [real, fake])] == [None, 16.0]


def test_sixteen_bits_are_summed_in_float32():
    halves = [[tf.cast(layer, tf.bfloat16) for layer in part] for part in (REAL, FAKE)]
    found = feature_matching(*halves)
    assert found.dtype == tf.float32 and float(found) == pytest.approx(5.5)
