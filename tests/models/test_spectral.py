"""Spectral normalisation against SVD, and what one step of the power iteration changes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.blocks.convolution import Row, table_unit
from models.blocks.spectral import SpectralConv2D, SpectralConv3D, power_iterations

LAYERS = {2: SpectralConv2D, 3: SpectralConv3D}


def layer_of(rank: int, filters: int = 5, channels: int = 4):
    layer = LAYERS[rank](filters, 3, padding="same")
    layer(tf.zeros([1, *[4] * rank, channels]))
    return layer


def matrix(kernel: np.ndarray) -> np.ndarray:
    return np.reshape(kernel, [-1, kernel.shape[-1]])


def settled(layer) -> float:
    for _ in range(200):
        layer.power_iteration()
    return float(layer.sigma())


@pytest.mark.parametrize("rank", LAYERS)
def test_after_many_iterations_sigma_is_the_largest_singular_value(rank):
    layer = layer_of(rank)
    expected = np.linalg.svd(matrix(layer.kernel.numpy()), compute_uv=False)[0]
    assert settled(layer) == pytest.approx(expected, rel=1e-5)
    assert np.linalg.norm(layer.u) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("rank", LAYERS)
def test_the_kernel_as_applied_has_the_largest_singular_value_one(rank):
    layer, applied = layer_of(rank), []
    settled(layer)
    plain = layer.__class__.__mro__[2].convolution_op  # that of Keras

    def record(self, inputs, kernel):
        applied.append(kernel.numpy())
        return plain(self, inputs, kernel)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer.__class__.__mro__[2], "convolution_op", record)
        layer(tf.ones([1, *[4] * rank, 4]))
    largest = np.linalg.svd(matrix(applied[0]), compute_uv=False)[0]
    assert largest == pytest.approx(1, rel=1e-5)


def test_gradients_flow_through_sigma_as_for_the_exact_value():
    layer = layer_of(3)
    settled(layer)
    x = tf.random.stateless_normal([2, 4, 4, 4, 4], [1, 2])

    def loss(sigma):
        return tf.reduce_sum(tf.nn.conv3d(x, layer.kernel / sigma, [1] * 5, "SAME") ** 2)

    with tf.GradientTape(persistent=True) as tape:
        found = tf.reduce_sum(layer(x) ** 2)  # the bias is 0
        exact = loss(tf.linalg.svd(tf.reshape(layer.kernel, [-1, 5]), compute_uv=False)[0])
        constant = loss(layer.sigma().numpy())
    found, exact, constant = (
        tape.gradient(each, layer.kernel) for each in (found, exact, constant)
    )
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-4)
    assert not np.allclose(constant, exact, rtol=1e-1, atol=1e-2)


def test_only_the_power_iteration_changes_the_state():
    network = tf.keras.Sequential([layer_of(2), layer_of(2, channels=5)])
    network(tf.zeros([1, 4, 4, 4]))
    before = [layer.u.numpy() for layer in network.layers]
    kernels = [layer.kernel.numpy() for layer in network.layers]
    network(tf.ones([1, 4, 4, 4]), training=True)
    for layer, u in zip(network.layers, before):
        np.testing.assert_array_equal(layer.u, u)
    power_iterations(network)
    for layer, u, kernel in zip(network.layers, before, kernels):
        assert not np.array_equal(layer.u, u)
        np.testing.assert_array_equal(layer.kernel, kernel)
        v = matrix(kernel) @ u
        step = matrix(kernel).T @ v
        np.testing.assert_allclose(layer.u, step / np.linalg.norm(step), rtol=1e-5)


def test_u_is_saved_but_not_trained():
    layer = layer_of(3)
    assert [w is v for w, v in zip(layer.trainable_weights, (layer.kernel, layer.bias))] == [
        True
    ] * 2
    assert [w is layer.u for w in layer.non_trainable_weights] == [True]


def test_units_are_normalised_when_told():
    row = Row("conv", 2, activation="leaky_relu", norm="instance", resample="halve")
    unit = table_unit(row, 3, "glorot_uniform", rank=3, spectral=True)
    y = unit(tf.random.normal([2, 8, 6, 4, 3]))
    assert isinstance(unit.convolution, SpectralConv3D) and y.shape == (2, 4, 3, 2, 6)
