"""Instance norm against NumPy, Keras and tensorflow-addons, and what it does to a modality code."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tensorflow as tf

from models.blocks.normalization import NORMS, InstanceNormalization, instance_norm


def image(seed: int = 0) -> np.ndarray:
    """[2,6,5,3] with a different level and contrast in every sample and channel."""
    rng = np.random.default_rng(seed)
    level, contrast = rng.normal(0, 3, (2, 1, 1, 3)), rng.uniform(0.01, 2, (2, 1, 1, 3))
    return (level + contrast * rng.normal(size=(2, 6, 5, 3))).astype(np.float32)


def normalised(x: np.ndarray, scale=1.0, offset=0.0) -> np.ndarray:
    """The definition, in double precision: biased variance, epsilon 1e-5 under the root."""
    x = x.astype(np.float64)
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    return scale * (x - mean) / np.sqrt(variance + 1e-5) + offset


SCALE, OFFSET = np.array([0.5, 1.0, -2.0]), np.array([0.0, 3.0, 1.0])


def tables(samples: int) -> list:
    """Scales and offsets [samples,1,1,3]: one pair for the batch, or one for each sample."""
    rng = np.random.default_rng(1)
    return [tf.constant(rng.normal(size=(samples, 1, 1, 3)), tf.float32) for _ in range(2)]


@pytest.mark.parametrize("samples", [1, 2])
def test_formula(samples):
    scale, offset = tables(samples)
    found = instance_norm(tf.constant(image()), scale, offset)
    expected = normalised(image(), scale.numpy(), offset.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_batch_of_unknown_size_gives_the_same_numbers():
    inputs = [tf.constant(image()), *tables(1)]
    specs = [
        tf.TensorSpec([None, 6, 5, 3]),
        tf.TensorSpec([1, 1, 1, 3]),
        tf.TensorSpec([1, 1, 1, 3]),
    ]
    found = tf.function(instance_norm, input_signature=specs)(*inputs)
    np.testing.assert_allclose(found, instance_norm(*inputs), rtol=1e-4, atol=1e-5)


def gradients(norm, inputs: list) -> list:
    """First and second derivatives of a curved function of the normalised image."""
    weight = np.random.default_rng(2).normal(size=image().shape)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(inputs)
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            y = tf.reduce_sum(tf.tanh(norm(*inputs)) * tf.constant(weight, tf.float32))
        first = inner.gradient(y, inputs)
        penalty = tf.reduce_sum(first[0] ** 2)
    return first + outer.gradient(penalty, inputs)


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("mode", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_first_and_second_gradients_equal_those_of_the_plain_formula(samples, mode):
    def plain(x, scale, offset):
        mean = tf.reduce_mean(x, [1, 2], keepdims=True)
        variance = tf.reduce_mean((x - mean) ** 2, [1, 2], keepdims=True)
        return scale * (x - mean) / tf.sqrt(variance + 1e-5) + offset

    inputs = [tf.constant(image()), *tables(samples)]
    expected = gradients(plain, inputs)
    found = mode(lambda: gradients(instance_norm, inputs))()
    for ours, theirs in zip(found, expected):
        assert ours.shape == theirs.shape
        size = np.abs(theirs).max()
        np.testing.assert_allclose(ours / size, theirs / size, atol=1e-5)


def test_gradient_of_a_condition_reaches_only_its_row():
    layer = InstanceNormalization(num_conditions=3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(image(), tf.one_hot([2, 2], 3)) ** 3)
    for gradient in tape.gradient(loss, layer.trainable_variables):
        assert list(np.any(gradient, axis=1)) == [False, False, True]


def test_epsilon_shows_in_a_nearly_flat_channel():
    x = np.zeros((1, 1, 2, 1), np.float32)
    x[0, 0, 1] = 2e-3  # variance 1e-6, a tenth of epsilon
    found = instance_norm(tf.constant(x), tf.ones([1] * 4), tf.zeros([1] * 4)).numpy().ravel()
    assert found == pytest.approx(np.array([-1e-3, 1e-3]) / np.sqrt(1.1e-5), rel=1e-4)


def test_layer_equals_those_of_keras_and_tensorflow_addons():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorflow_addons.layers import InstanceNormalization as FromAddons
    keras = tf.keras.layers.GroupNormalization(-1, epsilon=1e-5)
    layers = [InstanceNormalization(), keras, FromAddons(epsilon=1e-5)]
    for layer in layers:
        layer.build(tf.TensorShape(image().shape))
        layer.set_weights([SCALE, OFFSET])
    ours, *others = (layer(image()) for layer in layers)
    for theirs in others:
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_initial_scale_and_offset():
    layer = InstanceNormalization(scale=1.5, offset=-2.0)
    layer.build((None, 4, 4, 5000))
    assert np.mean(layer.scale) == pytest.approx(1.5, abs=6 * 0.02 / 5000**0.5)
    assert np.std(layer.scale) == pytest.approx(0.02, rel=0.06)
    assert set(layer.offset.numpy()) == {-2.0}


def test_initial_table_has_other_scales_in_every_row_and_the_offset_of_each_channel():
    layer = InstanceNormalization(num_conditions=2, offset=(0.0, -3.0, 1.5))
    layer.build((None, 4, 4, 3))
    assert layer.scale.shape == (2, 3) and len(np.unique(layer.scale)) == 6
    np.testing.assert_array_equal(layer.offset, [[0.0, -3.0, 1.5]] * 2)


def test_each_sample_takes_the_scale_and_offset_of_its_condition():
    layer = InstanceNormalization(num_conditions=3)
    layer.build((None, 6, 5, 3))
    tables = np.random.default_rng(1).normal(size=(2, 3, 3)).astype(np.float32)
    layer.set_weights(list(tables))
    chosen = tables[:, [2, 0]][:, :, None, None, :]  # sample 0 has condition 2, sample 1 has 0
    found = layer(image(), tf.one_hot([2, 0], 3))
    np.testing.assert_allclose(found, normalised(image(), *chosen), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name, dtype, precision",
    [("mixed_float16", np.float16, 2e-3), ("mixed_bfloat16", tf.bfloat16.as_numpy_dtype, 2e-2)],
)
def test_statistics_are_float32_under_mixed_precision(policy, name, dtype, precision):
    policy(name)
    # In float16 the sum of a channel and the square of any pixel would be infinite.
    x = (2e4 + 3e3 * normalised(image())).astype(dtype)
    layer = InstanceNormalization()
    layer.build(x.shape)
    layer.set_weights([SCALE, OFFSET])
    found = layer(x)
    assert found.dtype == dtype and layer.scale.dtype == layer.offset.dtype == tf.float32
    expected = normalised(x, SCALE, OFFSET)
    np.testing.assert_allclose(found.numpy().astype(float), expected, rtol=precision, atol=0.02)


def test_gradients_are_finite_in_float16(policy):
    policy("mixed_float16")
    x = tf.constant((2e4 + 3e3 * normalised(image())).astype(np.float16))
    layer = InstanceNormalization()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(x), tf.float32) ** 2)
    found = tape.gradient(loss, layer.trainable_variables)
    assert len(found) == 2
    assert all(np.all(np.isfinite(g)) and np.any(g) for g in found)


def test_without_scale_and_offset_it_only_normalises():
    layer = InstanceNormalization(affine=False)
    np.testing.assert_allclose(layer(image()), normalised(image()), rtol=1e-4, atol=1e-5)
    assert layer.weights == []
    copy = InstanceNormalization.from_config(layer.get_config())
    assert not copy.affine


def test_batch_norm_counts_like_pytorch():
    """A tenth of the new statistics enters the running ones, the variance unbiased."""
    layer, x = NORMS["batch"](), image()
    found = layer(x, training=True)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    expected = (x - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    count = x[..., 0].size
    unbiased = variance * count / (count - 1)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * unbiased, rtol=1e-4)
    still = (x - 0.1 * mean) / np.sqrt(0.9 + 0.1 * unbiased + 1e-5)
    np.testing.assert_allclose(layer(x, training=False), still, rtol=1e-3, atol=1e-4)


def test_configuration_round_trip():
    layer = InstanceNormalization(num_conditions=4, scale=2.0, offset=-1.0, name="norm")
    assert InstanceNormalization.from_config(layer.get_config()).get_config() == layer.get_config()
    expected = {"num_conditions": 4, "scale": 2.0, "offset": -1.0, "name": "norm"}
    assert layer.get_config().items() >= expected.items()


def test_batch_norm_takes_no_random_number():
    """The weights of other layers are the same with and without it."""
    kernels = []
    for norms in ((), ("batch",)):
        tf.keras.utils.set_random_seed(0)
        for name in norms:
            NORMS[name]().build((None, 4, 4, 3))
        kernels.append(tf.keras.initializers.RandomNormal()((4,)).numpy())
    np.testing.assert_array_equal(*kernels)


def test_volumes_are_normalised_over_all_three_axes():
    x = np.stack([image(seed) for seed in range(4)], axis=1)  # [2,4,6,5,3]
    mean, variance = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
    layer = InstanceNormalization(affine=False)
    np.testing.assert_allclose(
        layer(x), (x - mean) / np.sqrt(variance + 1e-5), rtol=1e-4, atol=1e-4
    )
