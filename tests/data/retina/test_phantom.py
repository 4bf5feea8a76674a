"""The phantom of retinal photographs: trees of DRIVE and FIRE, labels, pairs."""

from __future__ import annotations

import re

import cv2
import imageio.v3 as iio
import numpy as np
import pytest

from data.retina import phantom
from data.retina.eye import FIELD, View, draw_eye, photograph

EYES = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return phantom.cached_phantom(tmp_path_factory.mktemp("cache"), EYES, 0)


def test_files_lie_and_are_named_as_published(folder):
    paths = sorted(
        p.relative_to(folder).as_posix() for p in folder.rglob("*.*") if p.parent != folder
    )
    assert paths == [
        "DRIVE/test/1st_manual/01_manual1.gif",
        "DRIVE/test/images/01_test.tif",
        "DRIVE/test/mask/01_test_mask.gif",
        "DRIVE/training/1st_manual/21_manual1.gif",
        "DRIVE/training/images/21_training.tif",
        "DRIVE/training/mask/21_training_mask.gif",
        "FIRE/Images/P01_1.jpg",
        "FIRE/Images/P01_2.jpg",
        "FIRE/Images/S01_1.jpg",
        "FIRE/Images/S01_2.jpg",
        "FIRE/Images/S02_1.jpg",
        "FIRE/Images/S02_2.jpg",
    ]


def test_numbers_are_the_published_ones_for_a_hundred_eyes():
    places = [phantom.place_of(index) for index in range(100)]
    stems = {part: [p.stem for p in places if p.part == part] for part in ("training", "test")}
    assert stems["training"] == [f"{number}" for number in range(21, 41)]
    assert stems["test"] == [f"{number:02d}" for number in range(1, 21)]
    pairs = [place.stem for place in places if place.part == "FIRE"]
    assert len(set(pairs)) == len(pairs) == 60
    assert all(re.fullmatch(r"[SPA]\d\d", stem) for stem in pairs)


def test_labels_lie_in_the_field_of_view_and_on_dark_pixels(folder):
    part = folder / "DRIVE" / "training"
    image = cv2.imread(str(part / "images" / "21_training.tif"))
    vessels, field = (
        iio.imread(part / name, index=0)[..., 0]
        for name in ("1st_manual/21_manual1.gif", "mask/21_training_mask.gif")
    )
    assert image.shape == (256, 248, 3) and vessels.shape == field.shape == (256, 248)
    assert np.unique(vessels).tolist() == np.unique(field).tolist() == [0, 255]
    assert not vessels[field == 0].any() and not image[field == 0].mean() > 1
    assert 0.06 < (vessels > 0).sum() / (field > 0).sum() < 0.15
    green = image[..., 1].astype(float)
    background = (field > 0) & (vessels == 0)
    assert green[vessels > 0].mean() < 0.9 * green[background].mean()
    # Red is stored as red.
    assert image[background].mean(0).argmax() == 2


def test_the_field_of_view_is_a_disc_with_a_notch_in_fire_only():
    areas = [phantom.phantom_photograph(0, index, 0, 128).field.mean() for index in (0, 2)]
    assert areas[0] == pytest.approx(np.pi * FIELD**2, rel=0.01)
    assert 0.001 < areas[1] - areas[0] < 0.01


def test_a_pair_shows_the_same_eye_shifted_and_turned():
    rng, eye = np.random.default_rng(0), draw_eye(np.random.default_rng(5))
    side, shift, turn = 128, (0.05, -0.03), 0.08
    first = photograph(rng, eye, View(), side).vessels
    second = photograph(rng, eye, View(shift=shift, turn=turn), side).vessels
    # Back again: OpenCV counts angles the other way.
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), -np.degrees(turn), 1)
    matrix[:, 2] += side * np.array(shift)
    moved = cv2.warpAffine(first.astype(np.float32), matrix, (side, side)) > 0.5
    inner = photograph(rng, eye, View(), side).field.copy()
    inner[: side // 5] = inner[-side // 5 :] = inner[:, : side // 5] = inner[:, -side // 5 :] = (
        False
    )
    overlap = (moved & second & inner).sum() / (second & inner).sum()
    assert overlap > 0.7 > 0.5 > (first & second & inner).sum() / (second & inner).sum()


def test_the_class_of_changed_pairs_has_new_spots_in_the_second_picture():
    eye = draw_eye(np.random.default_rng(5))
    plain, changed = (
        photograph(np.random.default_rng(0), eye, View(spots=spots), 128).colour
        for spots in (False, True)
    )
    darker = (plain - changed).max(-1) > 0.03
    assert 0 < darker.mean() < 0.02
    assert phantom.PAIRS["A"].changed and not phantom.PAIRS["S"].changed


def test_eyes_are_left_and_right():
    sides = [draw_eye(np.random.default_rng(k)).disc[0] > 0.5 for k in range(8)]
    assert 0 < sum(sides) < 8
