"""Discriminators against the table of the original code, and the literal VGG11 trunk."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.blocks.convolution import ConvUnit
from models.blocks.normalization import InstanceNormalization
from models.networks.discriminator import Discriminator, check_image_size
from tests.models.toys import apply_unit, capped, random_image, record_units
from utils.errors import UserError

# Name, kernel, stride, channels in n, has norm and activation, output size for 184x144.
PATCH = [
    ("conv0", 5, 2, 1, True, (92, 72)),
    ("conv1", 5, 2, 1, True, (46, 36)),
    ("conv2", 3, 2, 2, True, (23, 18)),
    ("conv3", 3, 2, 2, True, (12, 9)),
]
FINE = [
    ("conv0", 5, 2, 1, True, (92, 72)),
    ("conv1", 3, 2, 2, True, (46, 36)),
    ("conv2", 3, 1, 2, True, (46, 36)),
]
VGG11 = [
    ("conv1_1", 3, 1, 1, True, (92, 72)),
    ("conv2_1", 3, 1, 2, True, (46, 36)),
    ("conv3_1", 3, 1, 4, True, (46, 36)),
    ("conv3_2", 3, 1, 4, True, (23, 18)),
    ("conv4_1", 3, 1, 8, True, (23, 18)),
    ("conv4_2", 3, 1, 8, True, (12, 9)),
    ("conv5_1", 3, 1, 8, True, (12, 9)),
    ("conv5_2", 3, 1, 8, True, (6, 5)),
]


def units(network: Discriminator) -> list[ConvUnit]:
    return [*network.trunk, *(unit for head in network.heads for unit in head)]


@pytest.mark.parametrize(
    "width, heads, channels, expected",
    [
        (64, 2, 1, 475_330),  # D, D_t
        (64, 1, 1, 400_833),
        (64, 1, 2, 402_433),  # D_s
        (4, 2, 1, 2_110),
    ],
)
def test_parameters(width, heads, channels, expected):
    network = Discriminator(width, heads, channels, "D")
    assert network.count_params() == expected
    assert sum(np.prod(v.shape) for v in network.trainable_variables) == expected


@pytest.mark.parametrize("trunk, table", [("patch", PATCH), ("fine", FINE), ("vgg11", VGG11)])
def test_rows_of_the_table(monkeypatch, trunk, table):
    network = Discriminator(2, 2, 1, "D", trunk)
    recorded = record_units(monkeypatch)
    network(random_image(1, 184, 144, 1))
    expected = [(name, k, s, (*size, 2 * out), n) for name, k, s, out, n, size in table]
    size = table[-1][-1]
    for head in ("validity", "modality"):
        expected.append((f"{head}_conv", 3, 1, (*size, 2), True))
        expected.append((f"{head}_score", 3, 1, (*size, 1), False))
    assert recorded == expected


@pytest.mark.parametrize(
    "options, hidden", [({}, capped), ({"activation": "leaky_relu"}, tf.nn.leaky_relu)]
)
def test_scores_equal_the_plain_forward_pass(options, hidden):
    network = Discriminator(3, 2, 1, "D", **options)
    for unit in units(network):  # strong scales: the cap matters
        if unit.norm is not None:
            unit.norm.scale.assign(80 * unit.norm.scale)
    x = image = random_image(2, 32, 48, 1)
    for unit in network.trunk:
        x = apply_unit(unit, x, stride=2, activation=hidden)
    heads = network.heads
    scores = [apply_unit(last, apply_unit(first, x, activation=hidden)) for first, last in heads]
    for found, expected in zip(network(image), scores):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_one_head_returns_one_tensor():
    assert Discriminator(2, 1, 1, "D")(random_image(3, 16, 16, 1)).shape == (3, 1, 1, 1)


@pytest.mark.parametrize("options, stddev", [({}, 0.02), ({"stddev": 0.2}, 0.2)])
@pytest.mark.parametrize("trunk", ["patch", "fine", "vgg11"])
def test_initial_kernels_and_norms(options, stddev, trunk):
    network = Discriminator(8, 2, 1, "D", trunk, **options)
    for unit in units(network):
        kernel = unit.convolution.kernel.numpy()
        assert abs(kernel.mean()) < 6 * stddev / kernel.size**0.5, unit.name
        assert kernel.std() == pytest.approx(stddev, rel=5 / (2 * kernel.size) ** 0.5), unit.name
        assert not np.any(unit.convolution.bias)
    norms = [unit.norm for unit in units(network) if unit.norm]
    scales = np.concatenate([norm.scale for norm in norms])
    assert scales.mean() == pytest.approx(1, abs=6 * 0.02 / scales.size**0.5)
    assert scales.std() == pytest.approx(0.02, rel=5 / (2 * scales.size) ** 0.5)
    assert not any(np.any(norm.offset) for norm in norms)
    kernels = [unit.convolution.kernel.numpy() for unit in units(network)]
    filters = [f.tobytes() for k in kernels for f in k.reshape(-1, k.shape[-1]).T]
    assert len(set(filters)) == len(filters)


def test_initial_scores_are_near_zero_and_vary():
    scores = Discriminator(16, 2, 1, "D")(random_image(2, 64, 64, 1))
    for head in scores:
        assert abs(np.mean(head)) < 1 and 0.01 < np.std(head) < 1


def test_a_score_of_the_fine_trunk_sees_33_pixels(monkeypatch):
    monkeypatch.setattr(InstanceNormalization, "call", lambda self, x: x)  # it sees everything
    image = tf.Variable(random_image(1, 96, 96, 1))
    network = Discriminator(2, 1, 1, "D", "fine", stddev=0.2, activation="leaky_relu")
    with tf.GradientTape() as tape:
        score = network(image)[0, 12, 12, 0]
    seen = np.argwhere(tape.gradient(score, image)[0, ..., 0].numpy())
    np.testing.assert_array_equal(seen.max(axis=0) - seen.min(axis=0) + 1, [33, 33])


def test_scores_are_float32_under_mixed_precision(policy):
    policy("mixed_float16")
    scores = Discriminator(2, 2, 1, "D")(random_image(1, 16, 16, 1))
    assert [head.dtype for head in scores] == [tf.float32] * 2


@pytest.mark.parametrize("trunk, side", [("patch", 16), ("fine", 4), ("vgg11", 32)])
def test_images_that_shrink_to_a_pixel_are_refused(trunk, side):
    low = min(8, side)
    size = {side: (side, low), side + 1: (low, side + 1)}
    with pytest.raises(UserError, match=rf"^s.discriminator is {trunk}.* give {side + 1} or more"):
        check_image_size("s.discriminator", trunk, size[side])
    check_image_size("s.discriminator", trunk, size[side + 1])
    scores = Discriminator(1, 1, 1, "D", trunk)
    pixels = {n: np.prod(scores(random_image(1, *size[n], 1)).shape) for n in size}
    assert pixels == {side: 1, side + 1: 2}


def test_unknown_trunk_is_refused():
    with pytest.raises(
        ValueError, match="discriminator is 'resnet'; expected one of patch, fine, vgg11"
    ):
        Discriminator(2, 1, 1, "D", trunk="resnet")
