"""Shapes of phantoms: how much of a pixel they cover, and how vessels branch."""

from __future__ import annotations

import numpy as np
import pytest

from data.drawing import (
    Growth,
    blend,
    cover_of,
    edge_cover,
    ellipse_cover,
    ellipse_value,
    grow,
    paint,
    pixel_grid,
    smooth_noise,
    stroke,
)

SIDE = 64


def test_pixels_lie_at_their_centres():
    x, y = pixel_grid(4)
    np.testing.assert_allclose(x, [[0.125, 0.375, 0.625, 0.875]])
    np.testing.assert_array_equal(y, x.T)


def test_an_ellipse_has_its_half_axes_and_tilt():
    quarter = np.pi / 2  # The first half axis points down then.
    at = [(0.5, 0.5), (0.7, 0.5), (0.5, 0.6)]
    values = [ellipse_value(np.float32(x), np.float32(y), (0.5, 0.5), (0.2, 0.1)) for x, y in at]
    np.testing.assert_allclose(values, [0, 1, 1], atol=1e-5)
    turned = ellipse_value(np.float32(0.5), np.float32(0.7), (0.5, 0.5), (0.2, 0.1), quarter)
    assert turned == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("side", [32, 64, 128])
def test_an_ellipse_covers_its_area_at_any_size(side):
    cover = ellipse_cover(*pixel_grid(side), (0.4, 0.5), (0.3, 0.2))
    assert cover.mean() == pytest.approx(np.pi * 0.3 * 0.2, rel=0.02)
    assert 0 <= cover.min() and cover.max() <= 1


def test_a_stroke_covers_its_width():
    # 5 pixels wide in the middle of row 10: rows 8..12 wholly.
    row = (10 + 0.5) / SIDE
    cover = cover_of(SIDE, [stroke([(-0.5, row), (1.5, row)], 2.5 / SIDE)])
    np.testing.assert_allclose(cover[7:14, 20], [0, 1, 1, 1, 1, 1, 0], atol=1e-4)
    np.testing.assert_allclose(cover.sum(0), 5, atol=1e-3)


def test_a_stroke_narrower_than_a_pixel_covers_a_part_of_it():
    row = (10 + 0.5) / SIDE
    cover = cover_of(SIDE, [stroke([(0.1, row), (0.9, row)], 0.15 / SIDE)])
    np.testing.assert_allclose(cover[9:12, 32], [0, 0.3, 0], atol=1e-4)


def test_overlapping_strokes_leave_the_larger_value_and_nothing_is_painted_outside():
    canvas = np.zeros((2, SIDE, SIDE), np.float32)
    line = stroke([(0.5, 0.2), (0.5, 0.8)], 0.05)
    paint(canvas, line, np.float32([1, 0.5])[:, None, None])
    paint(canvas, line, 0.25)
    assert canvas[0].max() == 1 and canvas[1].max() == 0.5
    before = canvas.copy()
    paint(canvas, stroke([(1.2, 0.2), (1.5, 0.8)], 0.05))
    np.testing.assert_array_equal(canvas, before)


def test_blending_moves_to_the_value_by_the_cover():
    picture = np.array([[0.0, 10.0]])
    blend(picture, np.array([[0.5, 1.0]]), 4.0)
    np.testing.assert_array_equal(picture, [[2.0, 4.0]])


def test_a_border_through_a_pixels_centre_covers_half_of_it():
    np.testing.assert_allclose(edge_cover(np.array([-0.1, 0.0, 0.1]), 10), [0, 0.5, 1])


def test_smooth_noise_is_standardised_and_about_the_same_at_every_size():
    small, large = (smooth_noise(np.random.default_rng(3), side, 0.1) for side in (32, 64))
    assert large.mean() == pytest.approx(0, abs=1e-4) and large.std() == pytest.approx(1, abs=1e-4)
    halved = large.reshape(32, 2, 32, 2).mean((1, 3))
    assert np.corrcoef(small.ravel(), halved.ravel())[0, 1] > 0.99
    neighbours = np.corrcoef(large[:, 1:].ravel(), large[:, :-1].ravel())[0, 1]
    rough = smooth_noise(np.random.default_rng(3), 64, 0.02)
    assert neighbours > np.corrcoef(rough[:, 1:].ravel(), rough[:, :-1].ravel())[0, 1] + 0.05


STRAIGHT = Growth(step=0.02, steps=10, wander=0.0, taper=1.0)


def test_a_vessel_runs_in_its_direction_until_it_may_not():
    (line,) = grow(np.random.default_rng(0), STRAIGHT, (0.1, 0.5), 0.0, 0.01)
    np.testing.assert_allclose(line.points[-1], (0.3, 0.5), atol=1e-9)
    (short,) = grow(
        np.random.default_rng(0), STRAIGHT, (0.1, 0.5), 0.0, 0.01, allowed=lambda x, y: x < 0.2
    )
    assert 0.15 < short.points[-1, 0] < 0.2


def test_a_vessel_turns_to_the_right_of_its_way():
    (line,) = grow(np.random.default_rng(0), STRAIGHT, (0.1, 0.5), 0.0, 0.01, turn=0.1)
    assert line.points[-1, 1] > 0.52  # y grows downwards


def test_branches_take_volume_from_their_parent():
    growth = Growth(0.02, 6, 0.0, 1.0, branching=(1.0,), shares=(0.6, 0.6))
    trunk, *branches = grow(np.random.default_rng(0), growth, (0.1, 0.5), 0.0, 0.01)
    assert len(branches) == 6
    np.testing.assert_allclose(branches[0].radii[0], 0.006)
    # After the first branch, at the second point of the trunk.
    assert trunk.radii[2] ** 3 + branches[0].radii[0] ** 3 == pytest.approx(0.01**3)


def test_a_vessel_that_runs_out_of_steps_fades():
    growth = Growth(0.02, 20, 0.0, 1.0)
    (line,) = grow(np.random.default_rng(0), growth, (0.1, 0.5), 0.0, 0.01)
    assert line.radii[10] == 0.01 and line.radii[-1] < 0.004


def test_a_vessel_ends_where_it_is_too_thin():
    growth = Growth(0.02, 50, 0.0, 0.5, thinnest=0.001)
    (line,) = grow(np.random.default_rng(0), growth, (0.1, 0.5), 0.0, 0.01)
    assert line.radii.min() >= 0.001 and len(line.radii) == 4
