"""Pictures in files: what is read, brought to squares, and refused."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from data.pictures import (
    PAD,
    STRETCH,
    PictureCase,
    as_grey,
    min_max,
    picture_files,
    read_picture,
    squared,
    squared_mask,
    verify_pictures,
)
from utils.errors import UserError

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.stack([GREY, GREY // 2, 255 - GREY], axis=-1)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".gif"])
def test_grey_pictures_come_back(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(GREY).save(path)
    found = read_picture(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, GREY)


def test_colours_and_signed_numbers_come_back(tmp_path):
    for name in ("a.png", "a.tif"):
        Image.fromarray(COLOUR).save(tmp_path / name)
        np.testing.assert_array_equal(read_picture(tmp_path / name), COLOUR)
    Image.fromarray(COLOUR).save(tmp_path / "a.jpeg", quality=95)
    assert read_picture(tmp_path / "a.jpeg").shape == (6, 8, 3)
    signed = GREY.astype(np.int16) * 10 - 1000
    sitk.WriteImage(sitk.GetImageFromArray(signed), str(tmp_path / "ct.tif"))
    np.testing.assert_array_equal(read_picture(tmp_path / "ct.tif"), signed)
    alpha = np.dstack([COLOUR, np.full_like(GREY, 9)])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "alpha.png"), COLOUR)


def test_damaged_files_are_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    for name in ("a.jpeg", "a.png", "a.tif", "a.gif"):
        path = tmp_path / name
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(UserError, match=f"{name} is damaged or of another type"):
            read_picture(path)
    (tmp_path / "b.jpeg").write_text("<html>sign in first</html>")
    for name, problem in (("b.jpeg", "damaged"), ("none.tif", "missing; fetch it again")):
        with pytest.raises(UserError, match=f"{name} is {problem}"):
            read_picture(tmp_path / name)


def test_films_are_refused(tmp_path):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match="holds 2 pictures"):
        read_picture(tmp_path / "a.gif")
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([GREY] * 4)), str(tmp_path / "stack.tif"))
    with pytest.raises(UserError, match=r"an array of \(4, 6, 8\)"):
        read_picture(tmp_path / "stack.tif")


def test_hidden_files_and_others_are_passed_over(tmp_path):
    for name in ("b.JPG", "a.tif", "._a.tif", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "c.png").mkdir()
    assert [path.name for path in picture_files(tmp_path)] == ["a.tif", "b.JPG"]
    assert picture_files(tmp_path / "none") == []


def test_squares():
    np.testing.assert_allclose(squared(np.ones((4, 8)), 2, PAD), [[0.5, 0.5]] * 2)
    np.testing.assert_allclose(squared(np.ones((4, 8)), 2, PAD, fill=3.0), [[2, 2]] * 2)
    blocks = np.repeat(np.repeat(np.float32([[0, 1], [2, 3]]), 2, axis=0), 4, axis=1)
    np.testing.assert_allclose(squared(blocks, 2, STRETCH), [[0, 1], [2, 3]])
    assert squared(COLOUR, 16, STRETCH).shape == (16, 16, 3)
    mask = np.zeros((2, 4), bool)
    mask[0, 2] = True
    expected = np.zeros((8, 8), bool)
    expected[2:4, 4:6] = True  # one row of margin above
    np.testing.assert_array_equal(squared_mask(mask, 8, PAD), expected)


def test_grey_values():
    np.testing.assert_allclose(as_grey(COLOUR)[0, 1], (5 + 2 + 250) / 3)
    np.testing.assert_allclose(min_max(np.float32([2, 4, 6])), [0, 0.5, 1])
    np.testing.assert_array_equal(min_max(np.full(3, 7.0)), 0)


def test_every_bad_picture_of_a_case_is_told(tmp_path):
    def read(case, number, config):
        if number != 1:
            raise UserError(f"{case.paths[number]} is bad")
        return np.zeros((2, 2, 1)), np.uint8(2)

    case = PictureCase("p", tuple(tmp_path / f"{i}.png" for i in range(3)))
    (found,) = verify_pictures([case], None, tmp_path, progress=False, read=read)
    assert [text[-12:] for text in found.problems] == ["0.png is bad", "2.png is bad"]
    assert found.lesions == 1 and found.files == (case.paths[0], case.paths[2])
