"""The lesion losses on four pixels of two samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from losses.segmentation import (
    class_weighted_cross_entropy,
    class_weighted_squared_error,
    soft_dice_per_class,
    soft_dice_per_sample,
    weighted_binary_cross_entropy,
)

LABEL = tf.reshape(tf.constant([0, 2, 2, 1]), [2, 1, 2, 1])
PROBABILITIES = tf.reshape(
    tf.constant([[0.5, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]]),
    [2, 1, 2, 3],
)


def test_class_weighted_squared_error():
    # Class 0: 0.25 / 4. Class 1: (1 + 0.25) / 4. Class 2: (1 + 0.25) / 4.
    loss = class_weighted_squared_error(PROBABILITIES, LABEL, (2.0, 10.0, 100.0))
    assert float(loss) == pytest.approx((2.0 * 0.25 + 10.0 * 1.25 + 100.0 * 1.25) / 4)


def test_class_weighted_cross_entropy():
    loss = class_weighted_cross_entropy(200.0 * PROBABILITIES, LABEL, (2.0, 10.0, 100.0))
    # Sure and right, twice; wrong by a logit of 200 (class 2); undecided between two (class 1).
    assert float(loss) == pytest.approx((100.0 * 200.0 + 10.0 * math.log(2)) / 4, rel=1e-6)


def test_soft_dice_is_a_ratio_of_each_sample():
    rng = np.random.default_rng(0)
    p, m = rng.random((3, 4, 4, 1)), (rng.random((3, 4, 4, 1)) < 0.5).astype(float)
    p[2] = m[2] = 0.0  # nothing there and nothing found
    overlap, sizes = (2 * (p * m).sum((1, 2, 3)), (p + m).sum((1, 2, 3)))
    expected = 1 - (overlap + 1) / (sizes + 1)
    assert expected[2] == 0
    loss = soft_dice_per_sample(tf.constant(p), tf.constant(m))
    assert float(loss) == pytest.approx(expected.mean(), rel=1e-6)
    alone = soft_dice_per_sample(tf.constant(p[:1]), tf.constant(m[:1]), smoothing=0.0)
    assert float(alone) == pytest.approx(1 - overlap[0] / sizes[0], rel=1e-6)


def test_soft_dice_per_class():
    # Sums over all pixels, class by class: p 0.5, 1.5, 1.5; r 1, 1, 2; overlap 0.5, 0.5, 1.
    found = soft_dice_per_class(PROBABILITIES, tf.one_hot(LABEL[..., 0], 3))
    dice = [2 * 0.5 / 1.5, 2 * 0.5 / 2.5, 2 * 1.0 / 3.5]
    assert float(found) == pytest.approx(1 - sum(dice) / 3, rel=1e-5)


def test_soft_dice_of_a_class_that_is_not_there_counts_as_wrong():
    nothing = tf.one_hot(tf.zeros([1, 2, 2], tf.int32), 2)
    assert float(soft_dice_per_class(nothing, nothing)) == pytest.approx(0.5)


def test_a_weight_makes_vessels_count_more():
    logits = np.array([0.5, -1.0, 2.0, 0.0], np.float32).reshape(1, 2, 2, 1)
    target = np.array([1.0, 0.0, 0.0, 1.0], np.float32).reshape(1, 2, 2, 1)
    p = 1 / (1 + np.exp(-logits.astype(float)))
    expected = -np.mean(5 * target * np.log(p) + (1 - target) * np.log(1 - p))
    found = weighted_binary_cross_entropy(tf.constant(logits), tf.constant(target), 5.0)
    assert float(found) == pytest.approx(expected, rel=1e-6)
    plain = weighted_binary_cross_entropy(tf.constant(logits), tf.constant(target), 1.0)
    assert float(plain) == pytest.approx(0.901853, rel=1e-5)
