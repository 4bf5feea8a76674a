"""The convolution unit: activations, resampling, order of operations, fate of a condition."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from models.blocks.convolution import ConvUnit, Row, capped_relu, plain_unit, upsample

ONES = tf.ones([1, 4, 4, 1])


@pytest.fixture(autouse=True)
def seeded():
    tf.keras.utils.set_random_seed(0)


def bare(row: Row, initializer="ones") -> ConvUnit:
    """A unit without normalisation whose kernel is all ones."""
    return ConvUnit(row, 1, tf.keras.initializers.get(initializer))


def capped(y):
    return tf.clip_by_value(y, 0, 100)


def apply_unit(unit: ConvUnit, x, stride: int = 1, activation=capped):
    """Convolution with bias, then norm and activation if the unit has a norm, spelled out."""
    y = tf.nn.conv2d(x, unit.convolution.kernel, stride, "SAME") + unit.convolution.bias
    if unit.norm is None:
        return y
    mean = tf.reduce_mean(y, [1, 2], keepdims=True)
    variance = tf.reduce_mean((y - mean) ** 2, [1, 2], keepdims=True)
    return activation(unit.norm.scale * (y - mean) / tf.sqrt(variance + 1e-5) + unit.norm.offset)


def record_units(monkeypatch) -> list:
    """Fills the list with every unit that runs: (name, kernel, stride, output shape, has norm)."""
    rows, call = [], ConvUnit.call

    @functools.wraps(call)
    def recording(self, x, condition=None):
        y = call(self, x, condition)
        conv = self.convolution
        norm = self.norm is not None
        rows.append((self.name, conv.kernel_size[0], conv.strides[0], tuple(y.shape[1:]), norm))
        return y

    monkeypatch.setattr(ConvUnit, "call", recording)
    return rows


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


@pytest.mark.parametrize(
    "activation, expected",
    [
        ("capped_relu", [0.0, 100.0]),
        ("relu", [0.0, 200.0]),
        ("", [-200.0, 200.0]),
        ("sigmoid", [0.0, 1.0]),
    ],
)
def test_activation_of_a_row(activation, expected):
    unit = bare(Row("conv", 1, kernel=1, activation=activation))
    found = unit(tf.reshape([-200.0, 200.0], [1, 1, 2, 1]))
    assert found.numpy().ravel() == pytest.approx(expected)


def test_unknown_activation_is_refused():
    with pytest.raises(KeyError, match="tanh"):
        bare(Row("conv", 1, activation="tanh"))


def test_upsample_doubles_every_pixel():
    x = np.random.default_rng(0).random((2, 3, 2, 2))
    expected = np.kron(x, np.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(upsample(tf.constant(x)), expected)


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


def test_upsampling_comes_before_the_convolution():
    found = plane(bare(Row("conv", 1, resample="up"))(tf.ones([1, 1, 2, 1])))
    np.testing.assert_array_equal(found, [[4, 6, 6, 4]] * 2)


def test_pooling_takes_the_maximum_after_the_activation():
    x = tf.reshape([-1.0, -2.0, 3.0, 4.0, -5.0, -6.0, 7.0, 200.0], [1, 2, 4, 1])
    found = bare(Row("conv", 1, kernel=1, resample="pool"))(x)
    np.testing.assert_array_equal(plane(found), [[0, 100]])


def test_norm_stands_between_convolution_and_activation():
    unit = plain_unit(Row("conv", 1, kernel=1), 1, tf.keras.initializers.get("ones"))
    found = unit(tf.reshape([1.0, 2.0, 3.0, 6.0], [1, 2, 2, 1])).numpy().ravel()
    # Mean 3, variance 3.5.
    expected = np.maximum([-2.0, -1.0, 0.0, 3.0], 0) / np.sqrt(3.50001) * unit.norm.scale.numpy()
    assert found == pytest.approx(expected)


def test_a_linear_row_has_no_norm():
    assert plain_unit(Row("conv", 1, activation=""), 1, "zeros").norm is None


def test_filters_are_units_of_the_width_and_bias_starts_at_zero():
    unit = ConvUnit(Row("conv", 3, kernel=5), 4, tf.keras.initializers.get("ones"))
    unit(tf.zeros([1, 4, 4, 2]))
    assert unit.convolution.kernel.shape == (5, 5, 2, 12)
    assert list(unit.convolution.bias.numpy()) == [0.0] * 12


def coded(code: int) -> tf.Tensor:
    """A picture [1,8,8,2] with a one-hot code of four classes as constant channels behind it."""
    picture = np.random.default_rng(0).normal(size=(1, 8, 8, 2)).astype(np.float32)
    return tf.concat([picture, np.broadcast_to(np.eye(4, dtype=np.float32)[code], [1, 8, 8, 4])], 3)


def test_instance_norm_cancels_a_concatenated_condition_without_padding():
    unit = plain_unit(Row("conv", 5, kernel=1), 1, tf.keras.initializers.get("he_normal"))
    np.testing.assert_allclose(unit(coded(0)), unit(coded(3)), atol=1e-5)
    before = unit.convolution(coded(0)) - unit.convolution(coded(3))
    assert np.abs(before).max() > 0.1


def test_padding_lets_a_condition_change_only_the_border():
    unit = bare(Row("conv", 5, activation=""), "he_normal")
    change = (unit(coded(0)) - unit(coded(3))).numpy()[0]
    inside = change[1:-1, 1:-1]  # one constant per filter, which the norm takes away
    np.testing.assert_allclose(inside, np.broadcast_to(inside[0, 0], inside.shape), atol=1e-5)
    assert np.abs(change[0] - inside[0, 0]).max() > 0.1
