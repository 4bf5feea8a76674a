"""Scores of whole patients against numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from data.brats.dataset import BRATS
from data.slice_sets import Slices
from experiments.engine.volumes import score_volumes, volume_figures

SIDE = 10


def test_figures_are_means_over_patients_and_networks():
    label = np.zeros((7, SIDE, SIDE), np.uint8)
    label[:4, :5, :5] = 4  # patient 3: 100 voxels; patient 8 has no tumour
    found = np.repeat(label[..., None].astype(np.int32), 2, -1)
    found[1, ..., 1] = 0  # the second network misses a slice
    found[5, 0, 0, 1] = 2  # and makes up a voxel
    slices = Slices(
        np.zeros((7, SIDE, SIDE, 4)),
        label,
        subjects=np.array([3, 3, 3, 3, 8, 8, 8]),
        index=np.array([50, 51, 52, 55, 50, 51, 52]),
    )
    volumes = score_volumes(slices, found, BRATS, (1, 2, 2))
    assert volumes.subjects.tolist() == [3, 8] and volumes.missing.tolist() == [2, 0]
    dice = 2 * 75 / 175
    np.testing.assert_allclose(volumes.scores["dice_wt"], [[1, dice], [np.nan, 0]])
    np.testing.assert_allclose(volumes.scores["dice_tc"], [[1, dice], [np.nan, np.nan]])
    np.testing.assert_allclose(volumes.scores["hd95_wt"], [[0, 1], [0, np.nan]])
    np.testing.assert_allclose(volumes.scores["lesionwise_dice_wt"], [[1, dice], [1, 0]])

    figures = volume_figures(volumes, "x")
    assert figures["x/patients"] == 2 and figures["x/missing_slices"] == 2
    assert figures["x/dice_wt"] == pytest.approx((1 + dice / 2) / 2)
    assert figures["x/left_out_dice_wt"] == 0.5 and figures["x/left_out_dice_et"] == 1
    assert figures["x/hd95_wt"] == pytest.approx((0 + 1) / 2)
    assert figures["x/left_out_hd95_wt"] == 0.5 and figures["x/left_out_hd95_et"] == 0
    assert figures["x/lesionwise_dice_wt"] == pytest.approx((1 + dice / 2) / 2)
    assert figures["x/lesionwise_hd95_wt"] == pytest.approx((0 + (1 + 374) / 2) / 2)
    assert not any(key.startswith("x/left_out_lesionwise") for key in figures)


def test_a_gap_is_not_closed():
    """Two lesions at neighbouring rows of the arrays, ten slices apart in the patient."""
    label = np.zeros((8, SIDE, SIDE), np.uint8)
    label[:, :4, :4] = 1  # 64 voxels before the gap and behind it
    found = label[..., None].astype(np.int32)
    found[4:] = 0
    index = np.array([0, 1, 2, 3, 14, 15, 16, 17])
    slices = Slices(np.zeros((8, SIDE, SIDE, 4)), label, subjects=np.zeros(8, int), index=index)
    scores = score_volumes(slices, found, BRATS, (1, 1, 1)).scores
    assert scores["lesionwise_dice_wt"] == 0.5  # one of two lesions; without the gap 2/3 of one
    assert scores["hd95_wt"] > 10


def test_figures_that_exist_for_no_patient_are_left_out():
    label = np.zeros((2, SIDE, SIDE), np.uint8)
    slices = Slices(np.zeros((2, SIDE, SIDE, 4)), label, subjects=np.zeros(2), index=np.arange(2))
    figures = volume_figures(score_volumes(slices, label[..., None], BRATS, (1, 1, 1)), "x")
    assert "x/dice_wt" not in figures and figures["x/left_out_dice_wt"] == 1
    assert figures["x/hd95_wt"] == 0 and figures["x/lesionwise_dice_wt"] == 1
