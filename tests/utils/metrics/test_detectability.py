"""The network that tells textures apart, on textures that differ or not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from utils.errors import UserError
from utils.metrics.detectability import DetectorConfig, _patches, _places, detection_accuracy

CONFIG = DetectorConfig(patch=16, steps=60, tests=300)


def textures(seed: int, blur: float = 0.0, size: int = 32) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (12, size, size, 2))
    smooth = gaussian_filter(noise, (0, blur, blur, 0))
    return np.clip(0.5 + 0.1 * smooth / smooth.std(), 0, 1).astype(np.float32)


def test_textures_that_differ_are_told_apart_and_equal_ones_are_not():
    real, test = textures(0), textures(1)
    other = detection_accuracy((real, textures(2, 1)), (test, textures(3, 1)), CONFIG, 0)
    same = detection_accuracy((real, textures(2)), (test, textures(3)), CONFIG, 0)
    assert other > 0.95 and 0.4 < same < 0.6
    assert detection_accuracy((real, textures(2)), (test, textures(3)), CONFIG, 0) == same


def test_a_slight_difference_is_found_by_a_network_that_is_tested_as_it_was_trained():
    """Batch statistics of the test that lag behind give every patch one answer: 0.5."""
    training, test = (textures(0, 1), textures(2, 1.3)), (textures(1, 1), textures(3, 1.3))
    assert detection_accuracy(training, test, CONFIG, 0) > 0.8


def test_patches_lie_in_the_organ_and_show_neither_brightness_nor_contrast():
    images = textures(0)
    images[:, :, :10] = 0
    places = _places(images, 16)
    assert sorted(map(tuple, places)) == [
        (n, row, column)
        for n in range(12)
        for row in range(17)
        for column in range(17)
        if (images[n, row : row + 16, column : column + 16].max(-1) > 0.02).all()
    ]
    assert len(places) == 12 * 17 * 7
    patches = _patches(images, places, 50, 16, np.random.default_rng(0))
    assert patches.shape == (50, 16, 16, 2)
    np.testing.assert_allclose(patches.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(patches.std((1, 2)), 1, atol=0.03)


def test_slices_without_such_a_patch_have_no_accuracy():
    images = textures(0)
    images[:, ::4] = 0
    assert np.isnan(detection_accuracy((images, images), (images, images), CONFIG, 0))


def test_a_single_place_is_enough():
    images = textures(0)
    images[1:] = 0
    images[0, :, 16:] = images[0, 16:] = 0
    assert len(_places(images, 16)) == 1
    assert np.isfinite(detection_accuracy((images, images), (images, images), CONFIG, 0))


def test_slices_smaller_than_a_patch_are_refused():
    images = textures(0, size=12)
    with pytest.raises(UserError, match="at least 16 pixels a side, found 12x12"):
        detection_accuracy((images, images), (images, images), CONFIG, 0)
