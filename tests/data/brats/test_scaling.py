"""Backgrounds that are not the minimum of their volume, and voxels that are far too bright."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.brats.preparation import slices_with_brain
from data.brats.scaling import BRIGHT as BRIGHT_NOTE
from data.brats.scaling import (
    DARK,
    OVERSHOT,
    background,
    bright_background,
    darkness_note,
    extremes,
    scaled_slices,
    zero_point,
)
from data.brats.slices import SliceConfig
from data.structure_maps.extraction import DATASETS, extract_outside
from utils.errors import UserError

SOURCE = Path("t1.mha")
CONFIG = SliceConfig((0, 8), (0, 20), (0, 20), frame=(8, 20, 20))
BRAIN = (slice(1, 7), slice(4, 16), slice(4, 16))


def head(seed: int = 0) -> np.ndarray:
    """A bright cube of noise on 0, [8,20,20] float32."""
    volume = np.zeros((8, 20, 20), np.float32)
    volume[BRAIN] = np.random.default_rng(seed).normal(500, 100, volume[BRAIN].shape)
    return volume


def z_scored(volume: np.ndarray) -> np.ndarray:
    brain = volume != 0
    return np.where(brain, (volume - volume[brain].mean()) / volume[brain].std(), 0)


def negative(volume: np.ndarray) -> np.ndarray:
    """A few voxels below the background, as resampling leaves them."""
    volume[2, 5, 5:8] = -40
    return volume


BRIGHT = {
    "z-scored": z_scored,
    "z-scored whole numbers": lambda v: np.rint(10 * z_scored(v)).astype(np.int16),
    "z-scored, resampled": lambda v: z_scored(v) + 1e-6 * np.sin(np.arange(20)),
    "z-scored, shifted": lambda v: z_scored(v) + 100,
    "overshoot": negative,
    "inverted": lambda v: -v,
}


def scaled(volume: np.ndarray) -> np.ndarray:
    return scaled_slices({SOURCE: volume}, np.arange(8), CONFIG)[..., 0]


@pytest.mark.parametrize("kind", BRIGHT)
def test_a_background_above_the_minimum_becomes_0_and_the_brain_keeps_its_scale(kind):
    volume = BRIGHT[kind](head())
    outside = np.full(volume.shape, True)
    outside[BRAIN] = False
    found = scaled(volume)
    assert not found[outside].any()
    low, high = float(volume.min()), float(volume.max())
    expected = 0.2 + 0.8 * (volume[BRAIN].astype(np.float64) - low) / (high - low)
    if kind == "overshoot":
        expected = np.maximum(volume[BRAIN], 0) / high
    # Voxels of the brain that have the background's value keep it, unless they touch it.
    inner = (slice(1, -1),) * 3
    np.testing.assert_allclose(found[BRAIN][inner], expected[inner], atol=1e-6)
    np.testing.assert_array_equal(bright_background(volume) & outside, outside)
    assert zero_point(volume)[1] == (OVERSHOT if kind == "overshoot" else BRIGHT_NOTE)


def test_a_mask_of_a_z_scored_volume_is_that_of_the_volume():
    constants = DATASETS["brats2015"]
    before, after = (
        extract_outside(scaled(v)[..., None], constants) for v in (head(), z_scored(head()))
    )
    assert 0 < np.mean(before) < 1
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    "volume",
    [head(), head() - 1024, np.random.default_rng(1).normal(0, 1, (8, 20, 20))],
    ids=["0", "below 0", "noise"],
)
def test_other_volumes_are_scaled_by_minimum_and_maximum_as_ever(volume):
    assert bright_background(volume) is None and zero_point(volume)[1] == ""
    expected = (volume.astype(np.float64) - volume.min()) / (volume.max() - volume.min())
    np.testing.assert_allclose(scaled(volume), expected, atol=1e-6)


def test_slices_with_brain_do_not_count_the_background_whatever_it_is():
    config = replace(CONFIG, min_brain_pixels=100)
    for volume in (head(), head() - 1024, z_scored(head()) + 7):
        chosen = slices_with_brain({SOURCE: volume}, np.arange(8), config)
        assert np.flatnonzero(chosen).tolist() == [1, 2, 3, 4, 5, 6]
    assert background(head() - 1024) == -1024


@pytest.mark.parametrize("shift, found", [(100, 100), (-3, -3)])
def test_a_scale_by_the_maximum_needs_a_background_of_0_and_the_advice_is_followed(shift, found):
    config = replace(CONFIG, scaling="slice_maximum")
    with pytest.raises(UserError, match=f"background of 0 .* found {found}; shift") as caught:
        extremes(SOURCE, head() + shift, config)
    assert "choose --slicing.scaling minmax." in str(caught.value)
    extremes(SOURCE, head() + shift, CONFIG)
    extremes(SOURCE, head(), config)


def bright(volume: np.ndarray, factor: float, voxels: int = 1) -> np.ndarray:
    """A volume in which the first voxels of the brain are `factor` times its maximum."""
    volume = volume.copy()
    volume[1, 4, 4 : 4 + voxels] = factor * volume.max()
    return volume


PERCENTILE = replace(CONFIG, scaling="percentile")


def test_percentile_scales_by_the_brain_and_clips_what_is_brighter():
    volume = bright(head(), 8)
    found = scaled_slices({SOURCE: volume}, np.arange(8), PERCENTILE)[..., 0]
    limit = np.sort(volume[BRAIN].ravel())[-2]  # 0.1 % of 864 voxels are less than one
    np.testing.assert_allclose(found, np.minimum(volume / limit, 1), atol=1e-6)
    assert found[1, 4, 4] == 1 and np.median(found[BRAIN]) > 3 * np.median(scaled(volume)[BRAIN])


def test_percentile_keeps_the_zero_of_z_scored_volumes():
    volume = z_scored(head())
    found = scaled_slices({SOURCE: volume}, np.arange(8), PERCENTILE)[..., 0]
    outside = np.full(volume.shape, True)
    outside[BRAIN] = False
    # A voxel of the surface may have the value of the background.
    assert not found[outside].any() and np.mean(found[BRAIN] > 0.199) > 0.99 and found.max() == 1


def test_a_dark_brain_is_noted_and_the_advice_is_followed():
    volume = bright(head(), 8)
    assert darkness_note(head(), 0, CONFIG) == ""
    assert darkness_note(volume, 0, CONFIG) == DARK and "--slicing.scaling percentile" in DARK
    assert darkness_note(volume, 0, PERCENTILE) == ""


def test_outliers_above_are_clipped_by_percentile_and_the_advice_is_given_only_where_it_helps():
    with pytest.raises(UserError, match="almost no contrast; choose --slicing.scaling percentile"):
        extremes(SOURCE, bright(head(), 1e6), CONFIG)
    extremes(SOURCE, bright(head(), 1e6), PERCENTILE)
    low = head()
    low[1, 4, 4] = -1e9
    for config in (CONFIG, PERCENTILE):
        with pytest.raises(UserError, match="almost no contrast; clip the outliers or remove"):
            extremes(SOURCE, low, config)


def test_a_background_with_rounding_is_no_brain():
    volume = bright(head(), 8) + 1e-4 * np.sin(np.arange(20))
    assert darkness_note(volume, 0, CONFIG) == DARK and darkness_note(volume, 0, PERCENTILE) == ""
    _, high = extremes(SOURCE, volume, PERCENTILE)
    assert high == pytest.approx(np.sort(volume[BRAIN].ravel())[-2])
    assert darkness_note(head() + 1e-4 * np.sin(np.arange(20)), 0, CONFIG) == ""
