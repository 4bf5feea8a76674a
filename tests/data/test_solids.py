"""Solids and what is painted of them: volumes by hand, partial voxels, boxes, noise."""

from __future__ import annotations

import numpy as np
import pytest

from data.solids import Canvas, Waves, column, ellipsoid, half_space, tube

GRID = tuple(np.meshgrid(*[np.arange(-19.5, 20)] * 3, indexing="ij"))  # x, y, z; 1 mm


def voxels(solid) -> int:
    return int((np.broadcast_to(solid.depth(*GRID), GRID[0].shape) > 0).sum())


@pytest.mark.parametrize(
    "solid, volume",
    [
        (ellipsoid((1, -2, 0), (9, 7, 5)), 4 / 3 * np.pi * 9 * 7 * 5),
        (ellipsoid((0, 0, 0), (9, 7, 5), 0.7), 4 / 3 * np.pi * 9 * 7 * 5),
        (column((0, 0), (8, 6), heights=(-10, 10)), np.pi * 8 * 6 * 20),
        (tube([(-8, 0, 0), (8, 0, 0)], 5)[0], np.pi * 25 * 16 + 4 / 3 * np.pi * 125),
        (ellipsoid((0, 0, 0), (9, 9, 9)) & half_space((0, 0, 1), 0), 2 / 3 * np.pi * 729),
        (ellipsoid((0, 0, 0), (9, 9, 9)) - half_space((0, 0, 1), 0), 2 / 3 * np.pi * 729),
        (ellipsoid((0, 0, 0), (7, 7, 7)).grown(2), 4 / 3 * np.pi * 729),
        (ellipsoid((-9, 0, 0), (5,) * 3) | ellipsoid((9, 0, 0), (5,) * 3), 8 / 3 * np.pi * 125),
    ],
)
def test_solids_have_their_volumes_and_lie_in_their_boxes(solid, volume):
    assert voxels(solid) == pytest.approx(volume, rel=0.06)
    inside = np.broadcast_to(solid.depth(*GRID), GRID[0].shape) > 0
    for axis, low, high in zip(GRID, solid.low, solid.high):
        assert low <= axis[inside].min() and axis[inside].max() <= high


def test_depths_are_distances_from_the_surface():
    ball, rod = ellipsoid((0, 0, 0), (9, 9, 9)), tube([(0, 0, 0), (10, 0, 0)], (4, 2))[0]
    assert ball.depth(np.float32(6), 0, 0) == pytest.approx(3)
    assert ball.depth(0, np.float32(11), 0) == pytest.approx(-2)
    assert rod.depth(np.float32(5), np.float32(1), 0) == pytest.approx(2)  # 3 wide there


def test_a_canvas_paints_shares_of_voxels_labels_and_textures():
    canvas = Canvas((2, 4, 6), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), -10.0)
    # Faces at x = 0.75 and 3.5; the voxels' centres at 0, 1, 2, ...
    block = column((2.125, 1.5), (1.375, 100), 50.0)
    canvas.paint(block, 30.0, 2)
    np.testing.assert_allclose(canvas.values[0, 1], [-10, 20, 30, 30, -10, -10], atol=1.5)
    assert canvas.label[0, 1].tolist() == [0, 2, 2, 2, 0, 0]
    texture = np.full((2, 4, 6), 5.0, np.float32)
    canvas.paint(column((2, 1.5), (0.5, 100), 50.0), 0.0, texture=texture)
    assert canvas.values[1, 1, 2] == pytest.approx(5) and canvas.label[1, 1, 2] == 0
    before = canvas.values.copy()
    canvas.paint(ellipsoid((50, 0, 0), (3, 3, 3)), 99.0)  # beyond the canvas
    np.testing.assert_array_equal(canvas.values, before)


def test_noise_is_smooth_has_deviation_one_and_depends_on_the_place_only():
    waves = Waves(np.random.default_rng(0), 4.0, count=200)
    noise = waves(*GRID)
    assert noise.mean() == pytest.approx(0, abs=0.3) and noise.std() == pytest.approx(1, rel=0.2)
    # Neighbours 1 mm apart: the correlation is exp(-1/2 (1/4)^2).
    assert np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1] == pytest.approx(0.97, abs=0.02)
    opened = (GRID[0][:, :1, :1], GRID[1][:1, :, :1], GRID[2][:1, :1, :])
    np.testing.assert_allclose(waves(*opened), noise, atol=1e-4)
    np.testing.assert_array_equal(Waves(np.random.default_rng(0), 4.0, 200)(*GRID), noise)
