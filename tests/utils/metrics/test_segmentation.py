"""Dice and the original code's scores against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from utils.errors import UserError
from utils.metrics.segmentation import (
    dice,
    mean_and_count,
    segmentation_metrics,
    sensitivity,
    specificity,
)

NAMES = ("background", "core", "non-enhancing")
REGIONS = {"wt": (1, 2), "tc": (2,)}


def scores(prediction, reference):
    """`segmentation_metrics` of label maps with three classes, given as nested lists."""
    arrays = (np.array(labels, np.uint8) for labels in (prediction, reference))
    return segmentation_metrics(*arrays, 3, NAMES, REGIONS)


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


def test_smoothed_dice_by_hand():
    prediction = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]])
    reference = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0]])
    found = dice(prediction, reference, smoothing=1)
    np.testing.assert_allclose(found, [(2 * 1 + 1) / (2 + 2 + 1), 1, 1 / (0 + 3 + 1), 1])
    for smoothing in (-1, np.nan):
        with pytest.raises(UserError, match="smoothing"):
            dice(prediction, reference, smoothing)


def test_sensitivity_and_specificity_by_hand():
    prediction = np.array([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 0]])
    reference = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1]])
    # Found of the reference's pixels: 1 of 2, none to find, 0 of 1, 4 of 5.
    np.testing.assert_allclose(sensitivity(prediction, reference), [0.5, np.nan, 0, 0.8])
    # Left out of the pixels beyond it: 2 of 3, 4 of 5, 4 of 4, none to leave out.
    np.testing.assert_allclose(specificity(prediction, reference), [2 / 3, 0.8, 1, np.nan])
    for score in (sensitivity, specificity):
        with pytest.raises(UserError, match="one shape"):
            score(prediction, reference[:2])


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


def test_regions_join_their_labels():
    labels = np.array([[[0, 1, 2, 3, 4, 4]]]), np.array([[[0, 3, 1, 2, 4, 2]]])
    names, regions = list("abcde"), {"wt": (1, 2, 3, 4), "tc": (1, 3, 4), "et": (4,)}
    found = segmentation_metrics(*labels, 5, names, regions)
    # Whole: the same 5 pixels. Core: pixels 1, 3, 4, 5 and 1, 2, 4. Enhancing: 4, 5 and 4.
    assert (found["dice_wt"], found["sensitivity_wt"], found["specificity_wt"]) == (1, 1, 1)
    assert found["dice_tc"] == pytest.approx(2 * 2 / (4 + 3))
    assert found["sensitivity_tc"] == pytest.approx(2 / 3)
    assert found["specificity_tc"] == pytest.approx(1 / 3)
    assert found["dice_et"] == pytest.approx(2 * 1 / (2 + 1))
    assert found["specificity_et"] == pytest.approx(4 / 5)


def test_regional_scores_leave_out_images_that_do_not_define_them():
    found = scores([[[1, 1, 0, 0]], [[1, 0, 0, 0]]], [[[1, 2, 2, 0]], [[0, 0, 0, 0]]])
    assert found["sensitivity_wt"] == pytest.approx(2 / 3)  # the second has nothing to find
    assert found["specificity_wt"] == pytest.approx((1 + 3 / 4) / 2)


@pytest.mark.parametrize("regions", [{"wt": ()}, {"wt": (0, 1)}, {"wt": (3,)}, {"core": (1,)}])
def test_regions_of_foreign_labels_or_names_are_refused(regions):
    with pytest.raises(UserError, match=r"labels in 1\.\.2, found"):
        segmentation_metrics(*np.zeros((2, 1, 2, 2), int), 3, NAMES, regions)


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
    found = segmentation_metrics(prediction, reference, 5, [str(k) for k in range(5)], {})
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
        segmentation_metrics(prediction, reference, 3, NAMES, REGIONS)
    with pytest.raises(UserError, match="all 4 classes .* found 3"):
        segmentation_metrics(*np.zeros((2, 1, 2, 2), int), 4, NAMES, REGIONS)
