"""Gradients, spectra and shares of lines, against numbers computed by hand or with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from utils.metrics.sharpness import (
    BANDS,
    healthy_inside,
    inside_rim,
    line_share,
    power_spectrum,
    relative_gradient,
)

EVERYWHERE = np.ones((1, 48, 48), bool)


def wave(cycles: float, amplitude: float = 0.2) -> np.ndarray:
    """A wave along the columns, mean 0.5: [1,48,48,1]; `cycles` per pixel."""
    row = 0.5 + amplitude * np.sin(2 * np.pi * cycles * np.arange(48))
    return np.broadcast_to(row, (48, 48))[None, ..., None].astype(np.float32)


def test_relative_gradient_of_a_ramp_is_its_slope_over_its_mean():
    rows, columns = np.mgrid[:5, :5]
    images = np.stack([0.03 * rows + 0.04 * columns, 0.1 * rows], axis=-1)[None]
    region = np.zeros((1, 5, 5), bool)
    region[0, 1:3, 1:4] = True
    means = [images[0, 1:3, 1:4, i].mean() for i in range(2)]
    expected = [0.05 / means[0], 0.1 / means[1]]
    np.testing.assert_allclose(relative_gradient(images, region), expected)


def test_relative_gradient_does_not_depend_on_brightness_and_falls_with_blur():
    image = np.random.default_rng(0).random((2, 32, 32, 1))
    region = np.ones((2, 32, 32), bool)
    sharp = relative_gradient(image, region)
    np.testing.assert_allclose(relative_gradient(0.5 * image, region), sharp)
    blurred = gaussian_filter(image, (0, 1, 1, 0))
    assert relative_gradient(blurred, region) < 0.5 * sharp


def test_relative_gradient_of_nothing_is_nan():
    images = np.zeros((1, 8, 8, 2))
    assert np.isnan(relative_gradient(images, np.zeros((1, 8, 8), bool))).all()
    assert np.isnan(relative_gradient(images, np.ones((1, 8, 8), bool))).all()


@pytest.mark.parametrize("cycles, band", [(1 / 24, "low"), (1 / 8, "middle"), (3 / 8, "high")])
def test_the_power_of_a_wave_lies_in_its_band(cycles, band):
    power = power_spectrum(wave(cycles), EVERYWHERE)
    assert max(power, key=lambda name: power[name][0]) == band
    twice = power_spectrum(wave(cycles, amplitude=0.4), EVERYWHERE)
    np.testing.assert_allclose(twice[band], 4 * power[band], rtol=1e-3)


def test_the_power_of_white_noise_is_its_relative_variance_in_every_band():
    rng = np.random.default_rng(0)
    images = np.clip(rng.normal(0.5, 0.05, (40, 48, 48, 1)), 0, 1)
    region = np.zeros((40, 48, 48), bool)
    region[:, 8:40, 8:40] = True
    power = power_spectrum(images, region)
    for band in BANDS:
        np.testing.assert_allclose(power[band], 0.1**2, rtol=0.05)


def test_the_power_does_not_see_what_lies_outside_of_the_region():
    images, region = wave(1 / 8), np.zeros((1, 48, 48), bool)
    region[:, 12:36, 12:36] = True
    framed = np.where(region[..., None], images, 0)
    whole, cut = power_spectrum(images, region), power_spectrum(framed, region)
    for band in BANDS:
        np.testing.assert_allclose(whole[band], cut[band])


def test_the_power_of_nothing_is_nan():
    power = power_spectrum(wave(1 / 8), ~EVERYWHERE)
    assert all(np.isnan(values).all() for values in power.values())


def organ() -> np.ndarray:
    """A mask [1,48,48] with 1 outside a square of 32 pixels a side."""
    outside = np.ones((1, 48, 48), np.uint8)
    outside[0, 8:40, 8:40] = 0
    return outside


def test_the_rim_is_a_share_of_the_slice_and_stays_in_it():
    inside = inside_rim(np.concatenate([organ(), np.ones((1, 48, 48)), organ()]))
    expected = np.zeros((48, 48), bool)
    expected[10:38, 10:38] = True  # 2 pixels of 48
    np.testing.assert_array_equal(inside[0], expected)
    np.testing.assert_array_equal(inside[2], expected)
    assert not inside[1].any()


def test_the_healthy_part_leaves_out_the_lesion_and_its_border():
    label = np.zeros((1, 48, 48), np.uint8)
    label[0, 20, 20] = 4
    missing = np.argwhere(inside_rim(organ()) & ~healthy_inside(organ(), label))
    assert {tuple(p[1:]) for p in missing} == {(20, 20), (19, 20), (21, 20), (20, 19), (20, 21)}


def test_line_share_counts_only_inside_the_rim():
    structure = np.zeros((1, 48, 48), np.uint8)
    structure[0, 8] = structure[0, 39] = 1  # the rim
    assert line_share(structure, organ()) == 0
    structure[0, 10:17, 10:38] = 1  # a quarter of the 28 rows inside
    assert line_share(structure, organ()) == 0.25
    assert np.isnan(line_share(structure, np.ones((1, 48, 48))))
