"""Volumes on voxels of another size."""

from __future__ import annotations

import numpy as np
import pytest

from data.grids import Volume
from data.resampling import on_grid_of, resampled

STRAIGHT = tuple(np.eye(3).ravel())
TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def positions(volume: Volume) -> np.ndarray:
    """Centres of the voxels in mm, [D,H,W,3] (x, y, z)."""
    z, y, x = np.meshgrid(*map(np.arange, volume.array.shape), indexing="ij")
    steps = np.stack([x, y, z], axis=-1) * np.asarray(volume.spacing)
    return steps @ np.reshape(volume.direction, (3, 3)).T + np.asarray(volume.origin)


@pytest.mark.parametrize("spacing", [(0.5, 0.8, 5.0), (2.0, 1.0, 0.25)])
def test_a_plane_in_space_stays_where_it_is(spacing):
    """Intensities that rise linearly in mm do so afterwards, away from the faces."""
    shape = tuple(int(round(30 / length)) for length in reversed(spacing))
    volume = Volume(np.zeros(shape), spacing, (7.0, -3.0, 11.0), TURNED)
    slope = np.array([0.3, -0.7, 1.1])
    volume = Volume(positions(volume) @ slope, *vars_of(volume))
    found = resampled(volume, (1.0, 1.0, 1.0), label=False)
    assert found.spacing == (1.0,) * 3 and found.direction == TURNED
    assert found.array.shape == (30, 30, 30) and found.array.dtype == np.float32
    inner = (slice(6, -6),) * 3
    np.testing.assert_allclose(found.array[inner], (positions(found) @ slope)[inner], atol=2e-3)


def vars_of(volume: Volume):
    return volume.spacing, volume.origin, volume.direction


def test_outer_faces_stay_where_they_are():
    volume = Volume(np.zeros((4, 6, 10)), (2.0, 1.0, 3.0), (5.0, 5.0, 5.0), STRAIGHT)
    found = resampled(volume, (1.0, 1.0, 1.0), label=False)
    assert found.array.shape == (12, 6, 20)
    for first in (volume, found):
        faces = np.asarray(first.origin) - np.asarray(first.spacing) / 2
        np.testing.assert_allclose(faces, (4.0, 4.5, 3.5))


def test_labels_take_no_values_in_between():
    label = np.zeros((6, 8, 8), np.uint8)
    label[2:4, 2:6, 2:6] = 4
    volume = Volume(label, (1.5, 1.5, 3.0), (0.0,) * 3, STRAIGHT)
    found = resampled(volume, (1.0, 1.0, 1.0), label=True)
    assert found.array.dtype == np.uint8 and set(np.unique(found.array)) == {0, 4}
    # 6 x 6 x 6 mm: the edges lie on faces of the new voxels.
    assert np.count_nonzero(found.array) == 6 * 6 * 6


def test_structures_finer_than_the_new_voxels_are_averaged():
    """Stripes of 0.25 mm would become black or white if every fourth voxel were taken."""
    stripes = np.tile(np.arange(160) % 2, (4, 4, 1)).astype(float)
    volume = Volume(stripes, (0.25, 1.0, 1.0), (0.0,) * 3, STRAIGHT)
    found = resampled(volume, (1.0, 1.0, 1.0), label=False)
    np.testing.assert_allclose(found.array[..., 4:-4], 0.5, atol=0.1)


def test_voxels_of_the_right_size_are_not_touched():
    volume = Volume(np.arange(8.0).reshape(2, 2, 2), (1.0, 0.995, 1.0), (0.0,) * 3, TURNED)
    assert resampled(volume, (1.0, 1.0, 1.0), label=False) is volume


@pytest.mark.parametrize("direction", [STRAIGHT, TURNED])
def test_on_its_own_grid_a_volume_is_the_same(direction):
    array = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    volume = Volume(array, (1.0, 2.0, 3.0), (7.0, -2.0, 5.0), direction)
    for nearest in (True, False):
        np.testing.assert_allclose(on_grid_of(volume, volume, nearest), array, atol=1e-6)


def test_on_a_finer_grid_a_volume_is_interpolated_and_0_beyond():
    coarse = Volume(np.array([[[0.0, 4.0]]]), (4.0, 1.0, 1.0), (0.0, 0.0, 0.0), STRAIGHT)
    fine = Volume(np.zeros((1, 1, 9)), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), STRAIGHT)
    expected = [0, 1, 2, 3, 4, 4, 0, 0, 0]  # half a voxel reaches beyond the last centre
    np.testing.assert_allclose(on_grid_of(coarse, fine, nearest=False)[0, 0], expected, atol=1e-6)
    assert on_grid_of(coarse, fine, nearest=True)[0, 0, :6].tolist() == [0, 0, 4, 4, 4, 4]
