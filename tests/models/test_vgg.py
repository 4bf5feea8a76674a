"""The VGG11 classifier: sizes, parameters, plain readings of both heads, what training changes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.networks.vgg import VGGSpec, build_vgg, check_image_size
from tests.models.toys import random_image, record_units
from utils.errors import UserError

# Name, channels in n, side for 64x64 pixels behind the row's pooling, if it has one.
TRUNK = [
    ("conv1_1", 1, 32),
    ("conv2_1", 2, 16),
    ("conv3_1", 4, 16),
    ("conv3_2", 4, 8),
    ("conv4_1", 8, 8),
    ("conv4_2", 8, 4),
    ("conv5_1", 8, 4),
    ("conv5_2", 8, 2),
]
POOLED = {"conv1_1", "conv2_1", "conv3_2", "conv4_2", "conv5_2"}
SEEDS = tf.constant([[1, 2], [3, 4]])


def build(width: int = 2, head: str = "gap", norm: str = "none", channels: int = 1):
    return build_vgg(VGGSpec(width, 3, head, norm), channels, "G_l")


@pytest.mark.parametrize(
    "width, head, norm, trained",
    [
        (64, "gap", "none", 9_220_867),
        (16, "gap", "none", 577_219),
        (8, "gap", "none", 144_611),
        (64, "gap", "batch", 9_226_371),
        (16, "gap", "batch", 578_595),
        (8, "gap", "batch", 145_299),
        (8, "fc", "none", 29_787_171),
        pytest.param(16, "fc", "none", 43_064_643, marks=pytest.mark.slow),
        pytest.param(64, "fc", "none", 128_777_475, marks=pytest.mark.slow),
    ],
)
def test_parameters(width, head, norm, trained):
    network = build(width, head, norm)
    assert sum(np.prod(v.shape) for v in network.trainable_variables) == trained
    moving = 2 * width * sum(filters for _, filters, _ in TRUNK) if norm == "batch" else 0
    assert network.count_params() == trained + moving


def test_parameters_of_each_row():
    network = build(64)
    counts = [unit.count_params() for unit in [*network.trunk, *network.head]]
    wide = [1_180_160, 2_359_808, 2_359_808, 2_359_808]
    assert counts == [640, 73_856, 295_168, 590_080, *wide, 1_539]


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_rows_of_the_table(monkeypatch, norm):
    network = build(2, norm=norm)
    rows = record_units(monkeypatch)
    logits = network(random_image(1, 64, 64, 1))
    normed = norm == "batch"
    expected = [(name, 3, 1, (side, side, 2 * n), normed) for name, n, side in TRUNK]
    assert rows == [*expected, ("score", 1, 1, (1, 1, 3), False)]
    assert logits.shape == (1, 3)


def plain_trunk(network, x):
    for unit in network.trunk:
        y = tf.nn.conv2d(x, unit.convolution.kernel, 1, "SAME") + unit.convolution.bias
        if unit.norm is not None:  # at rest, with the first statistics 0 and 1
            y = y / np.sqrt(1 + 1e-5)
        x = tf.maximum(y, 0)
        if unit.name in POOLED:
            x = tf.nn.max_pool2d(x, 2, 2, "SAME")
    return x


def shift_biases(network):
    rng = np.random.default_rng(0)
    for variable in network.trainable_variables:
        if "bias" in variable.name:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return network


@pytest.mark.parametrize("norm, size", [("none", (64, 32)), ("batch", (41, 70))])
def test_mean_head_equals_the_plain_form(norm, size):
    network, images = shift_biases(build(norm=norm, channels=2)), random_image(2, *size, 2)
    means = tf.reduce_mean(plain_trunk(network, images), [1, 2])
    score = network.head[0].convolution
    expected = means @ score.kernel[0, 0] + score.bias
    np.testing.assert_allclose(network(images), expected, rtol=1e-4, atol=1e-5)
    assert np.std(expected) > 0.01


def test_dense_head_equals_the_plain_form():
    network, images = shift_biases(build(1, "fc")), random_image(2, 48, 20, 1)
    x = plain_trunk(network, tf.image.resize(images, [224, 224]))
    assert x.shape == (2, 7, 7, 8)
    x = tf.reshape(x, [2, 7 * 7 * 8])
    for i, unit in enumerate(network.head):
        kernel = tf.reshape(unit.convolution.kernel, [x.shape[1], -1])
        x = x @ kernel + unit.convolution.bias
        x = tf.maximum(x, 0) if i < 2 else x
    np.testing.assert_allclose(network(images), x, rtol=1e-3, atol=1e-4)


def test_dense_head_drops_by_the_seeds_of_the_samples():
    network, images = build(1, "fc"), random_image(2, 32, 32, 1)
    trained = network(images, training=True, seeds=SEEDS)
    np.testing.assert_array_equal(trained, network(images, training=True, seeds=SEEDS))
    turned = network(images[::-1], training=True, seeds=SEEDS[::-1])
    np.testing.assert_allclose(turned[::-1], trained, rtol=1e-4, atol=1e-6)
    for other in (network(images, training=True, seeds=SEEDS + 1), network(images)):
        assert np.abs(other - trained).max() > 0.01


def test_batch_norm_moves_its_statistics_in_training_alone():
    network, images = build(norm="batch"), random_image(4, 32, 32, 1)
    norm, convolution = network.trunk[0].norm, network.trunk[0].convolution
    at_rest = network(images)
    assert not np.any(norm.moving_mean) and np.all(norm.moving_variance == 1)
    in_training = network(images, training=True)
    means = tf.reduce_mean(tf.nn.conv2d(images, convolution.kernel, 1, "SAME"), [0, 1, 2])
    np.testing.assert_allclose(norm.moving_mean, 0.1 * means, rtol=1e-4, atol=1e-7)
    assert norm.momentum == 0.9 and norm.epsilon == 1e-5
    assert np.abs(in_training - at_rest).max() > 0.01


def test_initial_values():
    network = build(8, "fc", "batch")
    for unit in [*network.trunk, *network.head]:
        kernel = unit.convolution.kernel.numpy()
        expected = np.sqrt(2 / np.prod(kernel.shape[:-1]))
        assert kernel.std() == pytest.approx(expected, rel=6 / np.sqrt(kernel.size)), unit.name
        assert not np.any(unit.convolution.bias)
    assert all(np.all(u.norm.gamma == 1) and not np.any(u.norm.beta) for u in network.trunk)


@pytest.mark.parametrize("head", ["gap", "fc"])
def test_a_gradient_reaches_every_variable_and_the_image(head):
    network, images = build(2, head, "batch"), random_image(2, 64, 64, 1)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = network(images, training=True, seeds=SEEDS)
        loss = tf.reduce_sum(logits * random_image(2, 3))
    gradients = tape.gradient(loss, [images, *network.trainable_variables])
    assert None not in gradients
    kernels = [g for v, g in zip(network.trainable_variables, gradients[1:]) if "kernel" in v.name]
    assert all(np.abs(gradient).max() > 1e-4 for gradient in [gradients[0], *kernels])


def test_images_too_small_for_five_poolings_are_refused():
    with pytest.raises(UserError, match="G_l has 64x31 pixels; give 32 or more on each side"):
        build()(random_image(1, 64, 31, 1))
    with pytest.raises(UserError, match="--slicing has 16x32 pixels"):
        check_image_size("--slicing", "gap", (16, 32))
    assert build(1, "fc")(random_image(1, 16, 31, 1)).shape == (1, 3)
    check_image_size("--slicing", "gap", (32, None))


@pytest.mark.parametrize(
    "options, named", [({"head": "mean"}, "gap or fc"), ({"norm": "instance"}, "none or batch")]
)
def test_unknown_options_are_refused(options, named):
    with pytest.raises(UserError, match=f"{[*options][0]} is .*; expected {named}"):
        build(**options)


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16"])
def test_outputs_are_float32_under_mixed_precision(policy, name):
    policy(name)
    logits = build(norm="batch")(random_image(2, 32, 32, 1), training=True)
    assert logits.dtype == tf.float32 and np.all(np.isfinite(logits))
