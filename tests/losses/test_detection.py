"""Boxes, their matching and the multi-box loss against numbers by hand and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from losses.detection import (
    box_targets,
    decode,
    encode,
    from_corners,
    iou,
    match,
    multibox_loss,
    smooth_l1,
    to_corners,
)

VARIANCES = (0.1, 0.1, 0.2, 0.2)
NOTHING = (0.0, 0.0, 0.0, 0.0, 0.0)


def constant(values) -> tf.Tensor:
    return tf.constant(np.asarray(values), tf.float32)


def random_boxes(rng, *shape: int) -> np.ndarray:
    centres, sides = rng.uniform(0.1, 0.9, (*shape, 2)), rng.uniform(0.05, 0.4, (*shape, 2))
    return np.concatenate([centres, sides], axis=-1).astype(np.float32)


def random_truths(rng, samples: int, rows: int, lesions: int) -> np.ndarray:
    """The first rows are lesions of classes 1 and 2, the others fill up."""
    classes = rng.integers(1, 3, (samples, rows, 1)).astype(np.float32)
    truths = np.concatenate([classes, random_boxes(rng, samples, rows)], axis=-1)
    truths[:, lesions:] = 0
    return truths


def plain_iou(a, b) -> float:
    wide = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    high = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    both = max(wide, 0) * max(high, 0)
    return both / (a[2] * a[3] + b[2] * b[3] - both)


def plain_match(truths, defaults) -> list:
    """The rule in loops: pairs by falling IoU take each other, then 0.5 decides."""
    lesions = [i for i, row in enumerate(truths) if row[0] > 0]
    overlap = {(i, a): plain_iou(truths[i][1:], d) for i in lesions for a, d in enumerate(defaults)}
    owner, done = [-1] * len(defaults), set()
    for i, a in sorted(overlap, key=lambda pair: (-overlap[pair], pair)):
        if i not in done and owner[a] < 0:
            owner[a] = i
            done.add(i)
    for a in [a for a, i in enumerate(owner) if i < 0]:
        best = max(lesions, key=lambda i: (overlap[i, a], -i), default=None)
        if best is not None and overlap[best, a] >= 0.5:
            owner[a] = best
    return owner


def test_corners_have_rows_first():
    boxes = constant([[0.5, 0.3, 0.4, 0.2]])
    np.testing.assert_allclose(to_corners(boxes), [[0.2, 0.3, 0.4, 0.7]], rtol=1e-6)
    np.testing.assert_allclose(from_corners(to_corners(boxes)), boxes, rtol=1e-6)


def test_iou_of_pairs():
    square = (0.5, 0.5, 0.2, 0.2)
    a = constant([square, (0.2, 0.2, 0.0, 0.0)])
    others = [square, (0.6, 0.5, 0.2, 0.2), (0.5, 0.5, 0.2, 0.1), (0.9, 0.9, 0.1, 0.1), (0.2,) * 4]
    # The same; a third of both together; a half; apart; touching in a corner of 0.3.
    found = iou(a, constant([*others[:4], (0.2, 0.2, 0.0, 0.0)]))
    np.testing.assert_allclose(found, [[1, 1 / 3, 1 / 2, 0, 0], [0] * 5], atol=1e-6)


def test_offsets_by_hand():
    box, default = constant([0.6, 0.5, 0.4, 0.1]), constant([0.5, 0.55, 0.2, 0.2])
    plain = [0.5, -0.25, math.log(2), -math.log(2)]
    np.testing.assert_allclose(encode(box, default, (1, 1, 1, 1)), plain, rtol=1e-5)
    divided = np.divide(plain, VARIANCES)
    np.testing.assert_allclose(encode(box, default, VARIANCES), divided, rtol=1e-5)
    np.testing.assert_allclose(decode(constant(divided), default, VARIANCES), box, rtol=1e-5)


@pytest.mark.parametrize("variances", [VARIANCES, (1.0, 1.0, 1.0, 1.0)])
def test_decoding_is_the_inverse_of_encoding(variances):
    rng = np.random.default_rng(0)
    boxes, defaults = random_boxes(rng, 3, 50), random_boxes(rng, 50)
    decoded = decode(encode(boxes, defaults, variances), defaults, variances)
    np.testing.assert_allclose(decoded, boxes, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_matching_equals_plain_loops(seed):
    rng = np.random.default_rng(seed)
    truths, defaults = random_truths(rng, 3, 6, 4), random_boxes(rng, 200)
    found = tf.function(match)(constant(truths), constant(defaults))
    expected = [plain_match(rows, defaults) for rows in truths]
    np.testing.assert_array_equal(found, expected)
    assert all(len(set(row) - {-1}) == 4 for row in expected)
    assert max(row.count(i) for row in expected for i in range(4)) > 1  # some by IoU alone


def test_two_truths_do_not_share_their_best_default_box():
    defaults = constant([[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]])
    near, nearer = (1.0, 0.5, 0.5, 0.3, 0.2), (2.0, 0.5, 0.5, 0.2, 0.18)
    # Both overlap box 0 most; the nearer one comes later and keeps it, the other takes box 1.
    truths = constant([[near, nearer, NOTHING], [nearer, NOTHING, NOTHING]])
    np.testing.assert_array_equal(match(truths, defaults), [[1, 0, -1], [0, -1, -1]])


def test_equal_overlaps_take_the_first():
    """A truth in the middle of four cells, and two truths of one box."""
    cells = [[x, y, 0.5, 0.5] for y in (0.25, 0.75) for x in (0.25, 0.75)]
    middle = (1.0, 0.5, 0.5, 0.5, 0.5)
    found = match(constant([[middle, middle]]), constant(cells))
    np.testing.assert_array_equal(found, [[0, 1, -1, -1]])


def test_an_image_with_fewer_truths_keeps_its_last_default_box():
    defaults = constant([[0.2, 0.2, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2], [0.8, 0.8, 0.2, 0.2]])
    small, one, two = ((1.0, place, place, 0.05, 0.05) for place in (0.8, 0.2, 0.5))
    found = match(constant([[small, NOTHING], [one, two]]), defaults)
    np.testing.assert_array_equal(found, [[-1, -1, 0], [0, 1, -1]])


def test_one_truth_per_image_in_a_compiled_function():
    truths = constant([[(1.0, 0.5, 0.5, 0.2, 0.2)]] * 2)
    found = tf.function(match)(truths, constant([[0.1, 0.1, 0.1, 0.1], [0.5, 0.5, 0.2, 0.1]]))
    np.testing.assert_array_equal(found, [[-1, 0], [-1, 0]])


def test_more_truths_than_default_boxes():
    truths = constant([[(1.0, 0.5, 0.5, 0.2, 0.2)] * 3])
    np.testing.assert_array_equal(match(truths, truths[0, :2, 1:]), [[0, 1]])


def test_targets_of_background_and_lesions():
    defaults = constant([[0.5, 0.5, 0.2, 0.2], [0.2, 0.2, 0.1, 0.1]])
    truths = constant([[NOTHING, (3.0, 0.5, 0.5, 0.2, 0.18)], [NOTHING, NOTHING]])
    classes, offsets = box_targets(truths, defaults, VARIANCES)
    np.testing.assert_array_equal(classes, [[3, 0], [0, 0]])
    expected = np.zeros((2, 2, 4))
    expected[0, 0, 3] = math.log(0.9) / 0.2
    np.testing.assert_allclose(offsets, expected, atol=1e-5)


def test_smooth_l1():
    found = smooth_l1(constant([[0.5, 3.0], [1.0, -2.0]]), constant([[0.0, 1.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [0.125 + 1.5, 0.5 + 1.5], rtol=1e-6)


def plain_loss(logits, offsets, truths, defaults, most: int) -> tuple:
    """One image in loops."""
    owner = plain_match(truths, defaults)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    positives = [a for a, i in enumerate(owner) if i >= 0]
    negatives = sorted(-np.log(shares[a, 0]) for a, i in enumerate(owner) if i < 0)[::-1]
    classes = sum(-np.log(shares[a, int(truths[owner[a]][0])]) for a in positives)
    boxes = 0.0
    for a in positives:
        (gx, gy, gw, gh), (dx, dy, dw, dh) = truths[owner[a]][1:], defaults[a]
        aim = [(gx - dx) / dw / 0.1, (gy - dy) / dh / 0.1]
        aim += [math.log(gw / dw) / 0.2, math.log(gh / dh) / 0.2]
        for error in np.abs(offsets[a] - aim):
            boxes += 0.5 * error**2 if error < 1 else error - 0.5
    if not positives:
        return np.mean(negatives[:most]), 0.0
    count = len(positives)
    return (classes + sum(negatives[: most * count])) / count, boxes / count


@pytest.mark.parametrize("lesions, negatives", [(0, 3), (1, 3), (4, 3), (0, 7), (1, 7)])
def test_loss_equals_plain_loops(lesions, negatives):
    rng = np.random.default_rng(lesions)
    truths, defaults = random_truths(rng, 3, 5, lesions), random_boxes(rng, 60)
    truths[2] = 0  # in one image there is never a lesion
    logits, offsets = rng.normal(0, 2, (3, 60, 3)), rng.normal(0, 2, (3, 60, 4))
    data = [constant(part) for part in (logits, offsets, truths, defaults)]
    found = tf.function(lambda *parts: multibox_loss(*parts, VARIANCES, negatives))(*data)
    plain = [plain_loss(*parts, defaults, negatives) for parts in zip(logits, offsets, truths)]
    np.testing.assert_allclose(found, np.mean(plain, axis=0), rtol=1e-4)


def test_loss_when_no_box_is_left_for_negatives():
    """Two default boxes, both of a truth; then none, and two are fewer than three."""
    truths = constant([[(1.0, 0.5, 0.5, 0.2, 0.2)] * 2])
    defaults, logits = truths[0, :, 1:], constant(np.zeros((1, 2, 4)))
    found = multibox_loss(logits, tf.zeros([1, 2, 4]), truths, defaults, VARIANCES)
    np.testing.assert_allclose(found, [math.log(4), 0.0], rtol=1e-6)
    nothing = multibox_loss(logits, tf.zeros([1, 2, 4]), 0 * truths, defaults, VARIANCES)
    np.testing.assert_allclose(nothing, [math.log(4), 0.0], rtol=1e-6)


def test_gradients_reach_predictions_alone_and_are_finite():
    rng = np.random.default_rng(0)
    inputs = [constant(rng.normal(0, 1, (2, 60, size))) for size in (3, 4)]
    inputs += [constant(random_truths(rng, 2, 5, 2)), constant(random_boxes(rng, 60))]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.add_n(multibox_loss(*inputs, VARIANCES))
    logits, offsets, truths, defaults = tape.gradient(loss, inputs)
    assert truths is None and defaults is None
    owner = match(*inputs[2:]).numpy()
    np.testing.assert_array_equal(np.any(offsets, axis=-1), owner >= 0)
    chosen = np.any(logits, axis=-1)
    positives = np.count_nonzero(owner >= 0, axis=1)
    np.testing.assert_array_equal(np.count_nonzero(chosen, axis=1), 4 * positives)
    assert np.all(chosen[owner >= 0]) and np.all(np.isfinite(logits))
