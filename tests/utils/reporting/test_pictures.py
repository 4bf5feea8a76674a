"""Every pixel of small pictures, as drawn by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from utils.errors import UserError
from utils.reporting.pictures import (
    PALETTE,
    draw_contour,
    grid,
    label_picture,
    palette_with_brain,
    slice_rows,
    to_uint8,
    write_png,
)

GREY = np.full((4, 4), 100, np.uint8)


def colour_at(picture: np.ndarray, colour) -> np.ndarray:
    """0/1 map [H,W] of the pixels with a colour."""
    return np.all(picture == colour, axis=-1).astype(int)


def test_floats_are_clipped_and_rounded():
    found = to_uint8(np.array([-0.5, 0.0, 0.001, 0.5, 1.0, 1.7]))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, [0, 0, 0, 128, 255, 255])  # 127.5 goes to the even 128


def test_contours_lie_inside_their_classes_and_leave_the_rest():
    label = np.zeros((4, 4), int)
    label[1:3, 1:3], label[:, 0] = 2, 3
    picture = draw_contour(GREY, label, scale=2)  # a 4x4 square at 2..5, a line two pixels wide
    square, line = np.zeros((2, 8, 8), int)
    square[2:6, 2:6] = 1
    square[3:5, 3:5] = 0
    line[:, 1] = 1  # the edge of the picture is no contour
    assert picture.dtype == np.uint8 and picture.shape == (8, 8, 3)
    np.testing.assert_array_equal(colour_at(picture, PALETTE[2]), square)
    np.testing.assert_array_equal(colour_at(picture, PALETTE[3]), line)
    np.testing.assert_array_equal(colour_at(picture, (100, 100, 100)), 1 - square - line)
    colours = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    picture = draw_contour(GREY, label, colours, scale=2)
    np.testing.assert_array_equal(colour_at(picture, colours[3]), line)


def test_contour_takes_floats_and_keeps_its_input():
    grey, label = np.full((4, 4), 0.2), np.zeros((4, 4), int)
    picture = draw_contour(grey, label)
    np.testing.assert_array_equal(picture, np.full((12, 12, 3), 51))
    draw_contour(GREY, np.eye(4, dtype=int), scale=1)
    assert np.all(GREY == 100)


@pytest.mark.parametrize("shape, value", [((4, 5), 0), ((4, 4, 1), 0), ((4, 4), 5), ((4, 4), -1)])
def test_contour_refuses_foreign_labels(shape, value):
    with pytest.raises(UserError):
        draw_contour(GREY, np.full(shape, value))


def test_tissues_are_greys_and_lesions_keep_their_colours():
    plain, tissues = palette_with_brain(), palette_with_brain(4)
    assert plain == (PALETTE[0], (90, 90, 90), *PALETTE[2:])
    assert tissues[4:] == plain[2:] and len(tissues) == len(plain) + 2
    assert [len(set(grey)) for grey in tissues[1:4]] == [1, 1, 1]
    assert tissues[1][0] < tissues[2][0] < tissues[3][0] <= 255
    label = np.zeros((1, 4, 4), int)
    label[0, 1:3, 1:3] = 6
    ((picture,),) = slice_rows(np.zeros((1, 4, 4, 1)), label, tissues)
    assert colour_at(picture, PALETTE[4]).any()
    with pytest.raises(UserError):
        slice_rows(np.zeros((1, 4, 4, 1)), label)


def test_label_picture_has_one_colour_per_known_label():
    label = np.array([[0, 1, 2], [3, 4, 0]])
    picture = label_picture(label)
    assert picture.dtype == np.uint8 and picture.shape == (2, 3, 3)
    for value in range(5):
        np.testing.assert_array_equal(colour_at(picture, PALETTE[value]), label == value)
    with pytest.raises(UserError, match=r"0\.\.4.*found 0\.\.7"):
        label_picture(np.array([[0, 7]]))


def test_grid_enlarges_small_cells_and_places_all_with_a_white_gap():
    red = np.zeros((2, 2, 3), np.uint8) + np.uint8([255, 0, 0])
    grey = np.full((2, 2), 9, np.uint8)
    expected = np.full((5, 5, 3), 255, np.uint8)
    expected[:2, :2] = (255, 0, 0)
    expected[:2, 3:] = expected[3:, :2] = 9
    sheet = grid([[red, grey], [grey]], gap=1)
    assert sheet.dtype == np.uint8
    np.testing.assert_array_equal(sheet, expected)
    small, large = np.array([[1, 2]], np.uint8), np.zeros((2, 4), np.uint8)
    sheet = grid([[large], [small]], gap=0)
    np.testing.assert_array_equal(sheet[2:, :, 0], [[1, 1, 2, 2], [1, 1, 2, 2]])


def test_grid_writes_titles_beside_their_rows():
    black = np.zeros((40, 30), np.uint8)
    plain, titled = grid([[black]] * 2), grid([[black]] * 2, titles=["", "Flair"])
    margin = titled.shape[1] - plain.shape[1]
    np.testing.assert_array_equal(titled[:, margin:], plain)
    assert np.all(titled[:42, :margin] == 255)
    ink = np.argwhere(titled[42:, :margin, 0] < 128)
    assert len(ink) > 20
    # Whole letters, in the middle of the row and clear of both sides.
    assert 8 < ink[:, 0].min() and ink[:, 0].max() < 32
    assert 0 < ink[:, 1].min() and ink[:, 1].max() < margin - 1


@pytest.mark.parametrize(
    "rows, titles, message",
    [
        ([], (), "at least one picture"),
        ([[]], (), "at least one picture"),
        ([[GREY]], ("a", "b"), "2 titles"),
        ([[GREY, np.zeros((3, 4), np.uint8)]], (), "whole factor"),
        ([[GREY, np.zeros((2, 4), np.uint8)]], (), "whole factor"),
        ([[GREY.astype(float)]], (), "float64"),
    ],
)
def test_grid_refuses_what_does_not_fit(rows, titles, message):
    with pytest.raises(UserError, match=message):
        grid(rows, titles=titles)


def test_headers_stand_above_their_columns():
    cell = np.zeros((40, 60), np.uint8)
    plain = grid([[cell, cell]], gap=4)
    sheet = grid([[cell, cell]], gap=4, headers=("", "map"))
    band = len(sheet) - len(plain)
    np.testing.assert_array_equal(sheet[band:], plain)
    dark = np.flatnonzero((sheet[:band] < 200).any(axis=(0, 2)))
    assert dark.min() > 64 and abs((dark.min() + dark.max()) / 2 - 94) < 4  # middle of the second
    with pytest.raises(UserError, match="found 1 headers for 2 columns"):
        grid([[cell, cell]], headers=("map",))


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_a_written_picture_reads_back(tmp_path, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    write_png(tmp_path / "a.png", picture)
    found = cv2.imread(str(tmp_path / "a.png"))[..., ::-1]
    expected = picture if picture.ndim == 3 else picture[..., None].repeat(3, -1)
    np.testing.assert_array_equal(found, expected)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("picture", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 1), np.uint8)])
def test_what_would_be_black_or_colourless_is_refused(tmp_path, picture):
    with pytest.raises(ValueError, match="must be uint8 .*, found"):
        write_png(tmp_path / "a.png", picture)
    assert not list(tmp_path.iterdir())
