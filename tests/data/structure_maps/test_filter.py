"""The closed-contour error on hand-made maps."""

from __future__ import annotations

import numpy as np
import pytest

from data.structure_maps.filter import (
    ACCEPTED_ERROR,
    closed_contour_error,
    organ_pieces,
    thin_share,
    without_holes,
)
from utils.errors import UserError


def ring(gap: int = 0) -> np.ndarray:
    """A square outline of one pixel, rows and columns 10..29 of 40, with a gap in its top side."""
    structure = np.zeros((40, 40), np.float32)
    structure[10:30, 10:30] = 1
    structure[11:29, 11:29] = 0
    structure[10, 15 : 15 + gap] = 0
    return structure


def outside_square(first: int, last: int) -> np.ndarray:
    """A mask that is 0 in rows and columns first..last and 1 elsewhere."""
    outside = np.ones((40, 40), np.float32)
    outside[first : last + 1, first : last + 1] = 0
    return outside


def test_closed_ring_fills_itself_and_one_pixel_around():
    # The blurred line reaches one pixel beyond the ring: 22x22 pixels are filled.
    outside, lines_inside = outside_square(9, 30), ring()
    lines_inside[18:22, 14:25] = 1
    for structure in (ring(), lines_inside, ring(gap=2)):
        assert closed_contour_error(structure, outside) == 0
    # Only the line's own band of three pixels is filled, the 18x18 inside minus its border is not.
    assert closed_contour_error(ring(gap=4), outside) > 16**2 / 1600


def test_empty_map_encloses_nothing_and_full_map_everything():
    empty, outside = np.zeros((40, 40)), outside_square(10, 29)
    assert closed_contour_error(empty, outside) == 400 / 1600
    assert closed_contour_error(empty, np.ones((40, 40))) == 0
    assert closed_contour_error(np.ones((40, 40)), outside) == 1200 / 1600


def test_error_is_the_share_of_mismatching_pixels():
    error = closed_contour_error(ring(), outside_square(10, 29))
    assert error == pytest.approx((22**2 - 20**2) / 1600)
    assert error > ACCEPTED_ERROR
    assert closed_contour_error(ring(), outside_square(8, 30)) == pytest.approx(45 / 1600)


def test_inputs_stay_untouched_and_a_channel_axis_is_refused():
    structure, outside = ring().astype(np.uint8), outside_square(9, 30)
    closed_contour_error(structure, outside)
    np.testing.assert_array_equal(structure, ring())
    with pytest.raises(UserError, match="equal shape"):
        closed_contour_error(structure[..., np.newaxis], outside)


def test_organ_pieces_are_counted_without_specks():
    outside = np.ones((50, 40))
    assert organ_pieces(outside) == 0
    outside[5:20, 5:20] = 0
    outside[0, 39] = 0  # 1 of 2000 pixels: a speck
    assert organ_pieces(outside) == 1
    outside[30:33, 30:33] = 0  # 9 pixels
    assert organ_pieces(outside) == 2


def test_thin_parts_are_what_a_disc_does_not_cover():
    outside = np.ones((100, 120))
    assert thin_share(outside) == 0
    outside[30:70, 30:70] = 0
    corners = thin_share(outside)  # a disc of radius 7 rounds them off
    assert 0 < corners < 0.05
    outside[50:54, 70:90] = 0  # a tail, 4 pixels wide
    assert thin_share(outside) == pytest.approx((corners * 1600 + 80) / 1680, abs=0.005)
    outside[40:64, 85:109] = 0  # the tail becomes the neck of a blob that holds a disc
    assert thin_share(outside) < (corners * 1600 + 80) / 1680


def test_what_an_organ_encloses_is_part_of_it():
    outside = np.ones((12, 12), np.uint8)
    outside[2:10, 2:10] = 0
    outside[4:6, 4:6] = 1  # a lung
    outside[0:3, 6] = 1  # a notch
    found = without_holes(outside)
    expected = outside.copy()
    expected[4:6, 4:6] = 0
    np.testing.assert_array_equal(found, expected)
