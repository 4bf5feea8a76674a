"""The convolution unit: what the plain readings of whole networks do not show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import correlate

from experiments.benchmarking.single_operations import double_then_convolve, join_then_convolve
from models.blocks.convolution import (
    ConvUnit,
    Row,
    capped_relu,
    double_and_convolve,
    double_linearly,
    join_and_convolve,
    run_units,
    table_unit,
    with_activation,
)
from models.blocks.normalization import InstanceNormalization
from tests.models.toys import random_image, torch_convolution, torch_transposed

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
    with pytest.raises(KeyError, match="swish"):
        bare(Row("conv", 1, activation="swish"))


def test_activations_by_name():
    x = tf.reshape([-5.0, 0.0, 1.0, 200.0], [1, 2, 2, 1])
    slight = bare(Row("conv", 1, kernel=1, activation="leaky_relu_0.01"))(x)
    np.testing.assert_allclose(plane(slight), [[-0.05, 0], [1, 200]], rtol=1e-6)
    tanh = bare(Row("conv", 1, kernel=1, activation="tanh"))(x)
    np.testing.assert_allclose(plane(tanh), np.tanh([[-5, 0], [1, 200]]), rtol=1e-5)
    before = bare(Row("conv", 1, kernel=1, before="relu", activation="leaky_relu"), "zeros")
    before.convolution.build((None, 2, 2, 1))
    before.convolution.kernel.assign(-tf.ones([1, 1, 1, 1]))  # relu, sign, leak
    np.testing.assert_allclose(plane(before(x)), [[0, 0], [-0.2, -40]], rtol=1e-6)


def test_a_row_drops_a_share_of_its_outputs_in_training_alone():
    x, seeds = 1 + random_image(2, 40, 40, 1), tf.constant([[1, 2], [3, 4]])
    unit = bare(Row("conv", 1, kernel=1, activation="", drop=0.25))
    whole, _ = run_units([unit], x)
    np.testing.assert_array_equal(whole, x)
    found, _ = run_units([unit], x, training=True, seeds=seeds)
    kept = found != 0
    np.testing.assert_allclose(found[kept], x[kept] / 0.75, rtol=1e-6)
    assert np.mean(kept) == pytest.approx(0.75, abs=0.03)
    alone, _ = run_units([unit], x[1:], training=True, seeds=seeds[1:])  # of its seed, not place
    np.testing.assert_array_equal(alone, found[1:])
    assert np.mean(kept[0] == kept[1]) < 0.8


@pytest.mark.parametrize("side", [1, 3, 5])
def test_doubled_pixels_are_convolved_without_doubling_them(side):
    """Against scipy's correlation of the doubled image, borders of zeros."""
    x, kernel = random_image(2, 3, 4, 1), tf.random.stateless_normal([side, side, 1, 1], [1, 2])
    found = double_and_convolve(x, kernel)
    for sample, image in zip(found[..., 0].numpy(), x[..., 0].numpy()):
        doubled = image.repeat(2, axis=0).repeat(2, axis=1)
        expected = correlate(doubled, kernel[..., 0, 0].numpy(), mode="constant")
        np.testing.assert_allclose(sample, expected, rtol=1e-4, atol=1e-5)


def test_channels_of_doubled_pixels_are_kept_apart():
    kernel = tf.reshape(tf.range(6.0), [1, 1, 2, 3])
    x = tf.constant([1.0, 10.0], shape=[1, 1, 1, 2])
    found = double_and_convolve(x, kernel).numpy()
    assert found.tolist() == [[[[30.0, 41.0, 52.0]] * 2] * 2]


def test_a_joined_skip_serves_several_samples_in_a_row():
    skip, x = tf.reshape([1.0, 2.0], [2, 1, 1, 1]), tf.reshape(tf.range(6.0), [6, 1, 1, 1])
    kernel = tf.reshape([100.0, 1.0], [1, 1, 2, 1])  # of the skip, of x
    found = join_and_convolve(skip, x, kernel)
    assert found.numpy().ravel().tolist() == [100, 101, 102, 203, 204, 205]


# An operation, the single ones that do the same, and the shapes of its inputs.
faster = pytest.mark.parametrize(
    "fast, single, shapes",
    [
        (double_and_convolve, double_then_convolve, [(2, 6, 8, 32), (3, 3, 32, 16)]),
        (join_and_convolve, join_then_convolve, [(2, 6, 8, 16), (2, 6, 8, 32), (3, 3, 48, 16)]),
    ],
)


@faster
def test_faster_convolutions_are_the_single_operations(fast, single, shapes):
    inputs = [tf.random.stateless_normal(shape, [1, i]) for i, shape in enumerate(shapes)]

    def derivatives(operation) -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = operation(*inputs)
            loss = tf.reduce_sum(y**3)
        return [x.numpy() for x in (y, *tape.gradient(loss, inputs))]

    for a, b in zip(derivatives(fast), derivatives(single)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


@faster
def test_faster_convolutions_in_16_bits_are_as_precise_as_the_single_ones(fast, single, shapes):
    inputs = [tf.random.stateless_normal(shape, [1, i]) for i, shape in enumerate(shapes)]
    halves, exact = [tf.cast(x, tf.bfloat16) for x in inputs], single(*inputs)
    errors = [tf.norm(tf.cast(form(*halves), tf.float32) - exact) for form in (fast, single)]
    assert 0 < errors[0] < 1.5 * errors[1]


@pytest.mark.parametrize(
    "options",
    [{"stride": 2}, {"kernel": 4}, {"bias": False}, {"padding": 1}, {"kernel": (3, 2)}],
)
@pytest.mark.parametrize("kind", [{"resample": "up"}, {"join": "A"}])
def test_rows_that_the_faster_convolutions_cannot_follow_are_refused(kind, options):
    with pytest.raises(ValueError, match="need an odd kernel, stride 1 and a bias"):
        bare(Row("conv", 1, **kind, **options))


def test_stride_two_pads_bottom_and_right():
    # A sum over 3x3 (5x5) pixels of a 4x4 image of ones counts those inside the image.
    np.testing.assert_array_equal(plane(bare(Row("conv", 1, stride=2))(ONES)), [[9, 6], [6, 4]])
    wide = bare(Row("conv", 1, kernel=5, stride=2))(ONES)
    np.testing.assert_array_equal(plane(wide), [[16, 12], [12, 9]])


def test_pooling_takes_the_maximum_after_the_activation():
    x = tf.reshape([-1.0, -2.0, 3.0, 4.0, -5.0, -6.0, 7.0, 200.0], [1, 2, 4, 1])
    found = bare(Row("conv", 1, kernel=1, resample="pool"))(x)
    np.testing.assert_array_equal(plane(found), [[0, 100]])


@pytest.mark.parametrize(
    "row",
    [
        Row("conv", 2, stride=2, padding=1, activation=""),
        Row("conv", 2, kernel=5, stride=2, padding=2, activation=""),
        Row("conv", 2, kernel=4, stride=2, activation=""),
        Row("conv", 2, stride=2, padding=1, resample="transposed", activation=""),
        Row("conv", 2, kernel=4, stride=2, resample="transposed", activation=""),
    ],
)
def test_pixels_stand_where_pytorch_puts_them(row):
    """All with padding (kernel - 1) // 2; the transposed ones double the size."""
    unit, x = bare(row, "normal"), random_image(2, 6, 8, 3)
    rule = torch_transposed if row.resample else torch_convolution
    found = unit(x)
    np.testing.assert_allclose(found, rule(x, unit.convolution), rtol=1e-4, atol=1e-5)
    size = (12, 16) if row.resample else (3, 4)
    assert found.shape == (2, *size, 2)


def test_a_valid_kernel_covers_what_it_is_told_to():
    row = Row("conv", 3, kernel=(4, 5), padding="valid", activation="", bias=False)
    unit = bare(row)
    assert unit(tf.ones([1, 4, 5, 1])).numpy().tolist() == [[[[20.0] * 3]]]
    assert [v.name.rpartition("/")[2] for v in unit.variables] == ["kernel:0"]


def test_a_row_tells_its_norm():
    norms = [table_unit(Row("a", 1, norm=name), 1, None).norm for name in ("", "instance", "batch")]
    assert norms[0] is None
    assert isinstance(norms[1], InstanceNormalization) and not norms[1].affine
    assert isinstance(norms[2], tf.keras.layers.BatchNormalization)
    assert (norms[2].momentum, norms[2].epsilon) == (0.9, 1e-5)
    with pytest.raises(KeyError, match="layer"):
        table_unit(Row("a", 1, norm="layer"), 1, None)


def test_a_table_joins_its_skips_in_front():
    rows = [Row("a", 1, kernel=1, keep="A"), Row("b", 1, kernel=1, join="A")]
    units, x = [bare(row) for row in rows], tf.fill([1, 1, 1, 1], 2.0)
    y, skips = run_units(units, x, {"old": x})
    assert float(y) == 4.0 and set(skips) == {"old", "A"}
    assert units[1].convolution.kernel.shape == (1, 1, 2, 1)
    units[1].convolution.kernel.assign(tf.reshape([1.0, 0.0], [1, 1, 2, 1]))
    assert float(run_units(units[1:], x, {"A": 3 * x})[0]) == 6.0


def test_linear_doubling_is_that_of_bilinear_images():
    x = random_image(2, 3, 5, 2)
    np.testing.assert_allclose(
        double_linearly(x), tf.image.resize(x, [6, 10], "bilinear"), rtol=1e-5, atol=1e-6
    )
    volume = tf.reshape(tf.range(4.0), [1, 4, 1, 1, 1]) * tf.ones([1, 4, 2, 3, 1])
    doubled = double_linearly(volume)
    assert doubled.shape == (1, 8, 4, 6, 1)
    np.testing.assert_allclose(doubled[0, :, 1, 1, 0], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])


def test_halving_takes_the_maximum_before_the_convolution():
    x = tf.reshape([-1.0, -2.0, 3.0, 4.0, -5.0, -6.0, 7.0, 200.0], [1, 2, 4, 1])
    found = bare(Row("conv", 1, kernel=1, resample="halve", activation=""))(x)
    np.testing.assert_array_equal(plane(found), [[-1, 200]])


def test_a_unit_of_volumes_of_equal_slices_is_that_of_images():
    row = Row("conv", 2, kernel=(1, 3, 3), norm="instance", activation="leaky_relu")
    volume_unit = table_unit(row, 2, "glorot_uniform", rank=3)
    image_unit = table_unit(replace(row, kernel=3), 2, "glorot_uniform")
    image = random_image(2, 6, 4, 3)
    volume = tf.repeat(image[:, None], 3, axis=1)
    expected, _ = image_unit(image), volume_unit(volume)
    volume_unit.convolution.kernel.assign(image_unit.convolution.kernel[None])
    found = volume_unit(volume)
    for i in range(3):
        np.testing.assert_allclose(found[:, i], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{"resample": "up"}, {"padding": "reflect"}])
def test_what_volumes_do_not_have_is_refused(options):
    with pytest.raises(ValueError, match="of images without"):
        table_unit(Row("conv", 1, **options), 1, "glorot_uniform", rank=3)
