"""The SSD detector: sizes and parameters of its table, its default boxes, their order."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from losses.detection import box_targets, iou, match
from models.networks.ssd import (
    RATIOS,
    SSDSpec,
    build_ssd,
    check_image_size,
    default_boxes,
    level_shapes,
)
from tests.models.toys import random_image, record_units
from utils.errors import UserError

# Name, kernel, stride, channels in n, side for 512 pixels, parameters at n = 64 for 3 channels.
TRUNK = [
    ("conv1_1", 3, 1, 1, 512, 1_920),
    ("conv1_2", 3, 1, 1, 512, 37_056),
    ("conv2_1", 3, 1, 2, 256, 74_112),
    ("conv2_2", 3, 1, 2, 256, 147_840),
    ("conv3_1", 3, 1, 4, 256, 295_680),
    ("conv3_2", 3, 1, 4, 256, 590_592),
    ("conv3_3", 3, 1, 4, 256, 590_592),
    ("conv4_1", 3, 1, 8, 128, 1_181_184),
    ("conv4_2", 3, 1, 8, 128, 2_360_832),
    ("conv4_3", 3, 1, 8, 128, 2_360_832),
    ("conv5_1", 3, 1, 8, 64, 2_360_832),
    ("conv5_2", 3, 1, 8, 64, 2_360_832),
    ("conv5_3", 3, 1, 8, 64, 2_360_832),
    ("conv6_1", 3, 1, 16, 32, 4_721_664),
    ("conv7_1", 1, 1, 16, 32, 1_051_648),
    ("conv8_1", 1, 1, 4, 32, 262_912),
    ("conv8_2", 3, 2, 8, 16, 1_181_184),
    ("conv9_1", 1, 1, 2, 16, 65_920),
    ("conv9_2", 3, 2, 4, 8, 295_680),
    ("conv10_1", 1, 1, 2, 8, 33_152),
    ("conv10_2", 3, 2, 4, 4, 295_680),
]
HEADS = [  # side for 512 pixels, output channels for 5 classes, parameters at n = 64
    (64, 36, 165_924),
    (32, 54, 497_718),
    (16, 54, 248_886),
    (8, 54, 124_470),
    (4, 36, 82_980),
    (2, 36, 9_252),
]
SIDES = (0.03, 0.06, 0.12, 0.25, 0.45, 0.70, 1.0)


def build(width: int = 2, classes: int = 3, fine_levels: int = 0, channels: int = 1):
    return build_ssd(SSDSpec(width, classes, fine_levels), channels, "G_l")


def units_of(network) -> list:
    return [*(unit for units in network.pooled.values() for unit in units), *network.rest]


def trained(layer) -> int:
    return sum(int(np.prod(v.shape)) for v in layer.trainable_variables)


@pytest.mark.parametrize("width, count", [(64, 23_760_206), (16, 1_701_662), (8, 497_750)])
def test_parameters(width, count):
    network = build(width, 5, channels=3)
    assert trained(network) == count
    moving = 2 * width * sum(row[3] for row in TRUNK)
    assert network.count_params() == count + moving
    if width == 64:
        assert [trained(unit) for unit in units_of(network)] == [row[-1] for row in TRUNK]
        assert [trained(head) for head in network.heads] == [row[-1] for row in HEADS]


def test_rows_of_the_table(monkeypatch):
    network = build(1, 5, channels=3)
    recorded = record_units(monkeypatch)
    logits, offsets = network(random_image(1, 512, 512, 3))
    expected = [(name, k, s, (side, side, n), True) for name, k, s, n, side, _ in TRUNK]
    assert recorded[: len(TRUNK)] == expected
    heads = [(side, side, channels) for side, channels, _ in HEADS]
    assert [row[3] for row in recorded[len(TRUNK) :]] == heads
    assert [row[1] for row in recorded[len(TRUNK) :]] == [3] * 5 + [1]
    assert not any(row[4] for row in recorded[len(TRUNK) :])
    assert logits.shape == (1, 24_528, 5) and offsets.shape == (1, 24_528, 4)


def plain_boxes(shapes) -> list:
    """The definition in loops: level, row, column, box."""
    boxes = []
    for level, (rows, columns) in enumerate(shapes):
        side, following = SIDES[level : level + 2]
        kinds = [(side, side), (np.sqrt(side * following),) * 2]
        for ratio in (2, 1 / 2, 3, 1 / 3)[: 4 if level in (1, 2, 3) else 2]:
            kinds.append((side * np.sqrt(ratio), side / np.sqrt(ratio)))
        for row in range(rows):
            for column in range(columns):
                centre = ((column + 0.5) / columns, (row + 0.5) / rows)
                boxes += [(*centre, *kind) for kind in kinds]
    return boxes


FINE = [(32, 24), (16, 12), (8, 6), (4, 3), (2, 2), (1, 1)]  # of 128x96 pixels


@pytest.mark.parametrize(
    "size, fine_levels, shapes, count",
    [
        ((512, 512), 0, [(side, side) for side in (64, 32, 16, 8, 4, 2)], 24_528),
        ((160, 256), 0, [(20, 32), (10, 16), (5, 8), (3, 4), (2, 2), (1, 1)], 3_852),
        ((128, 96), 1, FINE, 4_604),
        ((128, 128), 2, [(side, side) for side in (64, 32, 16, 8, 4, 2)], 24_528),
    ],
)
def test_default_boxes(size, fine_levels, shapes, count):
    assert level_shapes(size, fine_levels) == shapes
    boxes = default_boxes(size, fine_levels)
    assert boxes.shape == (count, 4) and boxes.dtype == np.float32
    np.testing.assert_allclose(boxes, plain_boxes(shapes), rtol=1e-6)
    with pytest.raises(ValueError, match="read-only"):  # it is kept and shared
        boxes[0] = 0
    logits, offsets = build(1, 3, fine_levels)(random_image(1, *size, 1))
    assert logits.shape == (1, count, 3) and offsets.shape == (1, count, 4)


def test_a_box_is_predicted_by_the_pixels_around_it():
    """The centre of what a prediction depends on; an exchange of rows and columns moves it far."""
    network, size = build(4, 3), (160, 256)
    images, boxes = random_image(1, *size, 1), default_boxes(size)
    # Row 5, column 25 of level 1; row 3, column 12 of level 2.
    for number in ((5 * 32 + 25) * 4 + 1, 20 * 32 * 4 + (3 * 16 + 12) * 6 + 5):
        for part in (0, 1):
            with tf.GradientTape() as tape:
                tape.watch(images)
                output = tf.reduce_sum(network(images)[part][0, number])
            weight = np.abs(tape.gradient(output, images)[0, ..., 0])
            rows, columns = (np.arange(side) + 0.5 for side in size)
            cy = weight.sum(1) @ rows / weight.sum() / size[0]
            cx = weight.sum(0) @ columns / weight.sum() / size[1]
            assert (cx, cy) == pytest.approx(boxes[number, :2], abs=0.1)


def test_boxes_of_a_cell_are_outputs_in_a_row():
    """A head's channels are, box by box, the class logits and then the offsets."""
    network = build(1, 3)
    for head, ratios in zip(network.heads, RATIOS):
        head.convolution.kernel.assign(0 * head.convolution.kernel)
        head.convolution.bias.assign(tf.range(7.0 * (len(ratios) + 2)))
    logits, offsets = network(random_image(1, 144, 144, 1))
    np.testing.assert_array_equal(logits[0, :2], [[0, 1, 2], [7, 8, 9]])
    np.testing.assert_array_equal(offsets[0, :2], [[3, 4, 5, 6], [10, 11, 12, 13]])
    np.testing.assert_array_equal(logits[0, 4:8], logits[0, :4])
    np.testing.assert_array_equal(logits[0, -4:], logits[0, :4])


def test_trunk_equals_the_plain_form():
    network, x = build(1, 2, fine_levels=1), random_image(1, 64, 48, 1)
    maps = {}
    for number, unit in enumerate(units_of(network)):
        y = tf.nn.conv2d(x, unit.convolution.kernel, unit.convolution.strides[0], "SAME")
        x = tf.maximum(y / np.sqrt(1 + 1e-5), 0)  # biases are 0, the norm is at rest
        maps[unit.name] = x
        if TRUNK[number][0] in ("conv1_2", "conv3_3", "conv4_3", "conv5_3"):
            x = tf.nn.avg_pool2d(x, 2, 2, "SAME")
            maps[f"pooled {unit.name}"] = x
    used = ("conv4_3", "pooled conv4_3", "conv7_1", "conv8_2", "conv9_2", "conv10_2")
    outputs = []
    for name, head in zip(used, network.heads):
        y = tf.nn.conv2d(maps[name], head.convolution.kernel, 1, "SAME") + head.convolution.bias
        outputs.append(tf.reshape(y, [-1, 6]))
    found = tf.concat(network(random_image(1, 64, 48, 1)), axis=-1)[0]
    np.testing.assert_allclose(found, tf.concat(outputs, axis=0), rtol=1e-3, atol=1e-4)


def test_initial_values():
    network = build(8, 3)
    for unit in [*units_of(network), *network.heads]:
        kernel = unit.convolution.kernel.numpy()
        expected = np.sqrt(2 / np.prod(kernel.shape[:-1]))
        assert kernel.std() == pytest.approx(expected, rel=6 / np.sqrt(kernel.size)), unit.name
    for unit in units_of(network):
        assert unit.norm.momentum == 0.9 and unit.norm.epsilon == 1e-5
        assert not np.any(unit.convolution.bias) and np.all(unit.norm.gamma == 1)
    for head, ratios in zip(network.heads, RATIOS):
        assert head.norm is None
        expected = [4.0, 0, 0, 0, 0, 0, 0] * (len(ratios) + 2)
        np.testing.assert_array_equal(head.convolution.bias, expected)


def test_batch_norm_moves_its_statistics_in_training_alone():
    network, images = build(1, fine_levels=1), random_image(2, 32, 32, 1)
    norms = [unit.norm for unit in units_of(network)]
    at_rest = network(images)[0]
    assert all(not np.any(norm.moving_mean) for norm in norms)
    in_training = network(images, training=True)[0]
    moved = [np.any(norm.moving_mean) or np.all(norm.moving_variance < 1) for norm in norms]
    assert all(moved) and np.abs(in_training - at_rest).max() > 0.01


def test_a_gradient_reaches_every_variable_and_the_image():
    network, images = build(2, 3), random_image(2, 144, 144, 1)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = tf.concat(network(images, training=True), axis=-1)
        loss = tf.reduce_sum(outputs * random_image(*outputs.shape))
    gradients = tape.gradient(loss, [images, *network.trainable_variables])
    assert None not in gradients
    kernels = [g for v, g in zip(network.trainable_variables, gradients[1:]) if "kernel" in v.name]
    assert all(np.abs(gradient).max() > 1e-4 for gradient in [gradients[0], *kernels])


def test_sizes_without_a_map_for_every_level_are_refused():
    with pytest.raises(UserError, match="G_l has 256x120 pixels; .* divisible by 16"):
        build(1)(random_image(1, 256, 120, 1))
    with pytest.raises(UserError, match="has 128x512 pixels; without fine_levels .* needs 144"):
        default_boxes((128, 512))
    with pytest.raises(UserError, match="--slicing has 40x64 pixels; .* divisible by 16"):
        check_image_size("--slicing", (40, 64), 1)
    check_image_size("--slicing", (16, None), 1)
    check_image_size("--slicing", (144, None), 0)


@pytest.mark.parametrize("low, high, share", [(7, 16, 0.0), (16, 60, 0.95)])
def test_every_nodule_of_a_slice_has_positives(low, high, share):
    """Of 512 pixels: small ones by force, most of the others also by an IoU of 0.5."""
    rng, defaults = np.random.default_rng(0), default_boxes((512, 512))
    sides = rng.uniform(low, high, (2, 20, 1)) * rng.uniform(0.8, 1.2, (2, 20, 2)) / 512
    centres = rng.uniform(0.2, 0.8, (2, 20, 2))
    truths = np.concatenate([np.ones((2, 20, 1)), centres, sides], -1).astype(np.float32)
    owner = match(truths, defaults).numpy()
    assert [set(row) for row in owner] == [set(range(-1, 20))] * 2
    overlap = iou(truths[..., 1:], defaults[None]).numpy()
    assert np.mean(overlap.max(-1) >= 0.5) >= share
    classes, offsets = box_targets(truths, defaults, (0.1, 0.1, 0.2, 0.2))
    np.testing.assert_array_equal(classes, owner >= 0)
    assert np.all(np.isfinite(offsets)) and np.abs(offsets).max() < 30


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16"])
def test_outputs_are_float32_under_mixed_precision(policy, name):
    policy(name)
    outputs = build(2, fine_levels=1)(random_image(2, 32, 32, 1), training=True)
    assert {part.dtype for part in outputs} == {tf.float32}
    assert all(np.all(np.isfinite(part)) for part in outputs)
