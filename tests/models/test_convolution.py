"""The convolution unit: what the plain readings of whole networks do not show."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.blocks.convolution import ConvUnit, Row, capped_relu, upsample, with_activation

ONES = tf.ones([1, 4, 4, 1])


def bare(row: Row, initializer="ones") -> ConvUnit:
    """A unit without normalisation whose kernel is all ones."""
    return ConvUnit(row, 1, tf.keras.initializers.get(initializer))


def plane(tensor) -> np.ndarray:
    """The only channel of the only sample."""
    return tensor.numpy()[0, :, :, 0]


def test_capped_relu_values_and_gradients():
    x = tf.constant([-5.0, -0.1, 0.1, 99.0, 101.0, 1e4])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = capped_relu(x)
    assert y.numpy() == pytest.approx([0.0, 0.0, 0.1, 99.0, 100.0, 100.0])
    assert list(tape.gradient(y, x).numpy()) == [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]


def test_a_leak_replaces_the_capped_relu_only():
    rows = [Row("a", 1, kernel=1), Row("b", 1, activation="relu"), Row("c", 1, activation="")]
    changed = with_activation(rows, "leaky_relu")
    assert [row.activation for row in changed] == ["leaky_relu", "relu", ""]
    x = tf.reshape([-5.0, 0.0, 1.0, 200.0], [1, 2, 2, 1])
    np.testing.assert_allclose(plane(bare(changed[0])(x)), [[-1, 0], [1, 200]])


def test_unknown_activation_is_refused():
    with pytest.raises(KeyError, match="tanh"):
        bare(Row("conv", 1, activation="tanh"))


def test_upsample_gradient_sums_the_copies():
    x = tf.zeros([1, 2, 2, 1])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = upsample(x) * tf.reshape(tf.range(16.0), [1, 4, 4, 1])
    np.testing.assert_array_equal(plane(tape.gradient(y, x)), [[10, 18], [42, 50]])


def test_stride_two_pads_bottom_and_right():
    # A sum over 3x3 (5x5) pixels of a 4x4 image of ones counts those inside the image.
    np.testing.assert_array_equal(plane(bare(Row("conv", 1, stride=2))(ONES)), [[9, 6], [6, 4]])
    wide = bare(Row("conv", 1, kernel=5, stride=2))(ONES)
    np.testing.assert_array_equal(plane(wide), [[16, 12], [12, 9]])


def test_pooling_takes_the_maximum_after_the_activation():
    x = tf.reshape([-1.0, -2.0, 3.0, 4.0, -5.0, -6.0, 7.0, 200.0], [1, 2, 4, 1])
    found = bare(Row("conv", 1, kernel=1, resample="pool"))(x)
    np.testing.assert_array_equal(plane(found), [[0, 100]])
