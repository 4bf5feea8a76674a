"""Dice and the original code's scores against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from utils.errors import UserError
from utils.metrics.segmentation import dice, mean_and_count, segmentation_metrics

NAMES = ("background", "core", "non-enhancing")


def scores(prediction, reference):
    """`segmentation_metrics` of label maps with three classes, given as nested lists."""
    arrays = (np.array(labels, np.uint8) for labels in (prediction, reference))
    return segmentation_metrics(*arrays, 3, NAMES)


def test_dice_counts_each_image_on_its_own():
    prediction = [
        [1, 1, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 1, 1],
        [0, 0, 0, 0],
        [1, 1, 1, 1],
        [0, 0, 0, 0],
    ]
    reference = [[1, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]
    images = [np.array(rows, bool).reshape(6, 2, 2) for rows in (prediction, reference)]
    # 2 * 1 / (2 + 2), 2 * 1 / (1 + 1), 2 * 1 / (4 + 1); nothing in both, nothing in one
    np.testing.assert_allclose(dice(*images), [0.5, 1.0, 0.4, np.nan, 0, 0])
    with pytest.raises(UserError, match=r"\(6, 2, 2\) and \(1, 2, 2\)"):
        dice(images[0], images[1][:1])


def test_dice_takes_volumes_and_numbers():
    prediction = np.zeros((1, 2, 3, 4), np.uint8)
    reference = prediction.copy()
    prediction[0, 0] = 1  # 12 voxels
    reference[0, :, 0] = 1  # 8 voxels, 4 of them shared
    np.testing.assert_allclose(dice(prediction, reference), [2 * 4 / 20])


def test_mean_leaves_out_nan_and_tells_how_many_remain():
    assert mean_and_count(np.array([0.2, np.nan, 0.6])) == (pytest.approx(0.4), 2)
    for nothing in ([], [np.nan, np.nan]):  # without a warning
        mean, count = mean_and_count(nothing)
        assert np.isnan(mean) and count == 0


def test_each_class_and_the_whole_tumour():
    found = scores(
        prediction=[[[1, 1, 2, 0]], [[0, 0, 0, 0]], [[0, 2, 0, 0]]],
        reference=[[[1, 2, 2, 2]], [[0, 0, 0, 0]], [[0, 0, 0, 0]]],
    )
    assert found["dice_core"] == pytest.approx(2 / 3)  # only image 0 has it: 2 * 1 / (2 + 1)
    # Image 0: 2 * 1 / (1 + 3); image 1: left out; image 2: 0.
    assert found["dice_non-enhancing"] == pytest.approx((0.5 + 0.0) / 2)
    assert found["dice_wt"] == pytest.approx((2 * 3 / (3 + 4) + 0.0) / 2)
    assert (found["images"], found["images_with_lesion"]) == (3, 1)
    assert "dice_background" not in found
    found = scores([[[0, 1]]], [[[0, 1]]])
    assert np.isnan(found["dice_non-enhancing"]) and found["dice_core"] == 1


def test_legacy_scores_weigh_classes_by_their_number():
    found = scores(prediction=[[[2, 1, 0, 2]]], reference=[[[1, 1, 1, 2]]])
    # Products 2 + 1 + 0 + 4; squares 4 + 1 + 0 + 4 and 1 + 1 + 1 + 4; differences 1, 0, 1, 0.
    assert found["legacy_dice"] == pytest.approx((2 * 7 + 1e-5) / (9 + 7 + 1e-5), abs=1e-12)
    assert found["legacy_mse"] == pytest.approx(2 / 4)


def test_legacy_dice_of_empty_images_is_one():
    found = scores([[[0, 0]], [[2, 0]]], [[[0, 0]], [[0, 0]]])
    assert found["legacy_dice"] == pytest.approx((1 + 1e-5 / (4 + 1e-5)) / 2, abs=1e-12)
    assert found["legacy_mse"] == pytest.approx(4 / 4)


def test_legacy_sums_do_not_overflow_small_integers():
    prediction = np.full((1, 184, 144), 4, np.uint8)
    reference = prediction.copy()
    reference[:, ::2] = 0  # half of the rows: 2 * 16/2 / (16 + 16/2) and 16/2 per pixel
    found = segmentation_metrics(prediction, reference, 5, [str(k) for k in range(5)])
    assert found["legacy_dice"] == pytest.approx(2 / 3) and found["legacy_mse"] == 8


@pytest.mark.parametrize(
    "prediction, reference, message",
    [
        (np.full((1, 2, 2), 3), np.zeros((1, 2, 2), int), r"prediction must hold labels 0\.\.2"),
        (np.zeros((1, 2, 2), int), np.full((1, 2, 2), -1), r"reference .* found -1\.\.-1"),
        (np.zeros((1, 2, 2, 1), int), np.zeros((1, 2, 2, 1), int), r"\[N,H,W\]"),
        (np.zeros((0, 2, 2), int), np.zeros((0, 2, 2), int), "at least one image"),
        (np.zeros((1, 2, 2), int), np.zeros((1, 2, 3), int), "one shape"),
    ],
)
def test_bad_label_maps_are_refused(prediction, reference, message):
    with pytest.raises(UserError, match=message):
        segmentation_metrics(prediction, reference, 3, NAMES)
    with pytest.raises(UserError, match="all 4 classes .* found 3"):
        segmentation_metrics(np.zeros((1, 2, 2), int), np.zeros((1, 2, 2), int), 4, NAMES)
