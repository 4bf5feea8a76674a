"""Crops of volumes: sizes, and what lies beyond the scan."""

from __future__ import annotations

import numpy as np
import pytest

from data.cropping import CropConfig, cropped, cut, put_back, volume_size
from data.grids import Volume
from utils.errors import UserError


@pytest.mark.parametrize(
    "config, size",
    [
        (CropConfig(crop=(150, 200, 160)), (152, 200, 160)),
        (CropConfig((4, 4, 4), (150, 200, 160)), (40, 56, 40)),
        (CropConfig(spacing=(2.5, 1, 1), crop=(20, 8, 9)), (8, 8, 16)),
    ],
)
def test_sides_are_multiples_of_eight(config, size):
    assert volume_size(config) == size


def test_a_crop_around_an_organ_at_the_border_is_filled_with_zeros():
    config = CropConfig((3.0, 2.0, 1.0), (24.0, 16.0, 8.0))  # 8 x 8 x 8 voxels
    label = np.zeros((10, 9, 20), np.int64)
    label[6:10, 2:8, 12:14] = 2
    images = np.random.default_rng(0).random((10, 9, 20, 2)).astype(np.float32)
    grid = Volume(label, (1.0, 2.0, 3.0), (5.0, 6.0, 7.0), tuple(np.eye(3).ravel()))
    found = cropped(label > 0, images, label, grid, config)
    # The organ's middle is (8, 5, 13), so that the crop begins at (4, 1, 9), 2 slices beyond.
    assert found.place.origin == (5.0 + 9, 6.0 + 2, 7.0 + 12)
    np.testing.assert_array_equal(found.images[0, :6], images[4:, 1:9, 9:17])
    np.testing.assert_array_equal(found.label[0, :6], label[4:, 1:9, 9:17])
    assert not found.images[0, 6:].any() and not found.label[0, 6:].any()
    assert found.label.dtype == np.uint8 and found.index.tolist() == [0]


@pytest.mark.parametrize("options", [{"spacing": (1, 0, 1)}, {"crop": (-1, 8, 8)}])
def test_lengths_are_above_zero(options):
    with pytest.raises(UserError, match=f"--slicing.{next(iter(options))}"):
        CropConfig(**options)


@pytest.mark.parametrize("start", [(0, 0, 0), (2, 1, 3), (-3, 2, -1), (4, -2, 5)])
def test_a_crop_is_put_back_where_it_was(start):
    array = np.random.default_rng(0).integers(1, 9, (7, 6, 8))
    inside = put_back(cut(np.ones_like(array), start, (5, 6, 4)), start, array.shape)
    found = put_back(cut(array, start, (5, 6, 4)), start, array.shape)
    np.testing.assert_array_equal(found, array * inside)
    assert 0 < inside.sum() <= 5 * 6 * 4
