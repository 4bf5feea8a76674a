"""The class-weighted squared error on four pixels of two samples."""

from __future__ import annotations

import pytest
import tensorflow as tf

from losses.segmentation import class_weighted_squared_error

LABEL = tf.reshape(tf.constant([0, 2, 2, 1]), [2, 1, 2, 1])
PROBABILITIES = tf.reshape(
    tf.constant([[0.5, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]]),
    [2, 1, 2, 3],
)


def test_class_weighted_squared_error():
    # Class 0: 0.25 / 4. Class 1: (1 + 0.25) / 4. Class 2: (1 + 0.25) / 4.
    loss = class_weighted_squared_error(PROBABILITIES, LABEL, (2.0, 10.0, 100.0))
    assert float(loss) == pytest.approx((2.0 * 0.25 + 10.0 * 1.25 + 100.0 * 1.25) / 4)


def test_perfect_prediction_costs_nothing():
    perfect = tf.one_hot(LABEL[..., 0], 5)
    weights = (2.5, 25.0, 125.0, 125.0, 125.0)
    assert float(class_weighted_squared_error(perfect, LABEL, weights)) == pytest.approx(0.0)


def test_gradient_carries_the_weight_of_the_class():
    with tf.GradientTape() as tape:
        tape.watch(PROBABILITIES)
        loss = class_weighted_squared_error(PROBABILITIES, LABEL, (2.0, 10.0, 100.0))
    gradient = tape.gradient(loss, PROBABILITIES)[:, 0].numpy()
    # 2 w (p - target) / 4
    assert gradient[0, 0] == pytest.approx([-0.5, 0.0, 0.0])
    assert gradient[0, 1] == pytest.approx([0.0, 0.0, 0.0])
    assert gradient[1, 0] == pytest.approx([0.0, 5.0, -50.0])
    assert gradient[1, 1] == pytest.approx([0.0, -2.5, 25.0])
