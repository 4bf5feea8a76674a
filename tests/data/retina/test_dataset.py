"""DRIVE and FIRE: eyes, vessels, the held-out part, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.pictures import read_picture
from data.retina.dataset import FIXED, RETINA, VESSELS, RetinaConfig, divide, has_vessels
from utils.errors import UserError

CONFIG = RetinaConfig(size=32, fit="stretch")
FIELD = np.zeros((32, 32), np.uint8)
FIELD[4:28, 4:28] = 255
VESSEL = np.zeros((32, 32), np.uint8)
VESSEL[10:14] = 255


def write_drive(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for part, numbers in {"training": (21, 22), "test": (1,)}.items():
        folder = root / "DRIVE" / part
        for name in ("images", "mask", "1st_manual"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            stem = f"{number:02d}_{part}"
            colours = rng.integers(10, 200, (32, 32, 3), np.uint8) * (FIELD > 0)[..., None]
            Image.fromarray(colours).save(folder / "images" / f"{stem}.tif")
            Image.fromarray(FIELD).save(folder / "mask" / f"{stem}_mask.gif")
            Image.fromarray(VESSEL).save(folder / "1st_manual" / f"{number:02d}_manual1.gif")
    return root


def write_fire(root: Path) -> Path:
    folder = root / "FIRE" / "Images"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for name in ("S01_1", "S01_2", "P12_1"):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(folder / f"{name}.jpg")
    return root


def test_photographs_of_one_eye_are_a_case(tmp_path):
    root = write_fire(write_drive(tmp_path))
    cases = {case.id: len(case.paths) for case in RETINA.find(root, CONFIG)}
    drive = {"drive_training_21": 1, "drive_training_22": 1, "drive_test_01": 1}
    assert cases == {**drive, "fire_P12": 1, "fire_S01": 2}
    assert [case.id for case in VESSELS.find(root, CONFIG)] == list(drive)
    assert [case.id for case in VESSELS.find(root / "DRIVE", CONFIG)] == list(drive)
    split = divide(list(cases), 0.5, 0)
    assert split.test == ("drive_test_01",) and len(split.train) == 4
    assert len(divide(["fire_S01", "fire_S02"], 0.5, 0).test) == 1


def test_vessels_and_field_of_view_are_the_label(tmp_path):
    case = VESSELS.find(write_drive(tmp_path), CONFIG)[0]
    found = VESSELS.prepare(case, CONFIG)
    expected = np.where(FIELD > 0, 1 + (VESSEL > 0), 0)
    np.testing.assert_array_equal(found.label[0], expected)
    picture = read_picture(case.paths[0]).astype(float)
    np.testing.assert_allclose(found.images[0], picture / picture.max(), atol=1e-6)
    fixed = RetinaConfig(size=32, fit="stretch", scaling=FIXED)
    np.testing.assert_allclose(VESSELS.prepare(case, fixed).images[0], picture / 255, atol=1e-6)
    assert RETINA.prepare(case, CONFIG).label is None


def test_margins_make_photographs_square(tmp_path):
    root = write_drive(tmp_path)
    path = root / "DRIVE/training/images/21_training.tif"
    for name in (path, *(root / "DRIVE/training").glob("*/21_*.gif")):
        with Image.open(name) as picture:
            cropped = picture.crop((0, 0, 24, 32)).convert("RGB" if name == path else "L")
        cropped.save(name)
    found = VESSELS.prepare(VESSELS.find(root, CONFIG)[0], RetinaConfig(size=32))
    assert not found.images[0][:, :4].any() and not found.label[0][:, :4].any()
    assert (found.label[0][:, 8:] > 0).any()


def test_what_is_wrong_is_told(tmp_path):
    with pytest.raises(UserError, match="must hold DRIVE/training/images with photographs"):
        RETINA.find(tmp_path, CONFIG)
    root = write_fire(write_drive(tmp_path))
    (root / "DRIVE/training/1st_manual/21_manual1.gif").unlink()
    Image.fromarray(FIELD[:16]).save(root / "DRIVE/training/mask/22_training_mask.gif")
    Image.new("L", (32, 32), 3).save(root / "DRIVE/test/images/01_test.tif")
    cases = VESSELS.find(root, CONFIG)
    problems = [v.problems for v in VESSELS.verify(cases, CONFIG, tmp_path, progress=False)]
    assert "21_manual1.gif, found no such file; a newer release" in problems[0][0]
    assert "22_training_mask.gif has 16x32 pixels and its photograph" in problems[1][0]
    assert "01_test.tif must have red, green and blue" in problems[2][0]
    (root / "FIRE/Images/S01_1.jpg").rename(root / "FIRE/Images/left.jpg")
    with pytest.raises(UserError, match="left.jpg must be such as S01_1.jpg"):
        RETINA.find(root, CONFIG)


def test_the_phantom_is_read_by_the_same_reader(tmp_path):
    root = RETINA.phantoms["retina"].make(tmp_path, 10, 0)
    for data in (RETINA, VESSELS):
        cases = data.find(root, CONFIG)
        verdicts = data.verify(cases, CONFIG, tmp_path, progress=False)
        assert cases and not any(verdict.problems for verdict in verdicts)
    found = VESSELS.prepare(VESSELS.find(root, CONFIG)[0], RetinaConfig(size=128))
    share = (found.label == 2).sum() / (found.label > 0).sum()
    assert 0.06 < share < 0.15


def test_drive_alone_has_to_be_asked_for(tmp_path):
    root = write_drive(tmp_path)
    with pytest.raises(UserError, match="found no folder FIRE/Images; give the folder that holds"):
        RETINA.find(root, CONFIG)
    (root / "FIRE" / "Images").mkdir(parents=True)
    assert len(RETINA.find(root, CONFIG)) == 3


@pytest.mark.parametrize(
    "folder, name", [("mask", "21_training_mask"), ("1st_manual", "21_manual1")]
)
def test_a_constant_mask_is_refused(tmp_path, folder, name):
    case = VESSELS.find(write_drive(tmp_path), CONFIG)[0]
    path = tmp_path / "DRIVE" / "training" / folder / f"{name}.gif"
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(path)
    with pytest.raises(
        UserError, match=f"mask {name}.gif of .* must have two values, found 0 every"
    ):
        VESSELS.prepare(case, CONFIG)


def test_a_release_without_vessels_of_the_test_part_is_told_apart(tmp_path):
    cases = VESSELS.find(write_drive(tmp_path), CONFIG)
    (tmp_path / "DRIVE" / "test" / "1st_manual" / "01_manual1.gif").unlink()
    assert [has_vessels(case) for case in cases] == [True, True, False]
