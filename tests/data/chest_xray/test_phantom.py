"""The phantom of chest X-rays: file tree, classes, and what must not tell them apart."""

from __future__ import annotations

import re
from collections import Counter

import cv2
import numpy as np
import pytest

from data.chest_xray import phantom
from data.chest_xray.anatomy import draw_chest, project

CHILDREN = 9
SIDE = 96
NAMES = {
    "NORMAL": r"(IM|NORMAL2-IM)-\d{4}-\d{4}\.jpeg",
    "PNEUMONIA": r"person\d+_(bacteria|virus)_\d+\.jpeg",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = phantom.cached_phantom(tmp_path_factory.mktemp("cache"), CHILDREN, 0)
    return sorted((folder / "chest_xray").rglob("*.jpeg"))


def test_files_lie_and_are_named_as_published(files):
    assert {path.parent.parent.name for path in files} == {"train", "test", "val"}
    for path in files:
        assert re.fullmatch(NAMES[path.parent.name], path.name), path
    assert len({path.name for path in files}) == len(files)


def test_sizes_differ_and_one_file_has_three_channels(files):
    read = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in files]
    assert sum(picture.ndim == 3 for picture in read) == 1
    assert len({picture.shape[:2] for picture in read}) == len(read)
    assert all(0.75 < max(p.shape) / phantom.SIDE < 1.4 and p.dtype == np.uint8 for p in read)


def test_classes_are_balanced_in_every_part():
    places = [phantom.place_of(index) for index in range(450)]
    counts = Counter((place.part, place.kind) for place in places)
    assert [counts["test", kind] for kind in range(3)] == [30, 30, 30]
    assert len({counts["train", kind] for kind in range(3)}) == 1
    assert 0 < counts["val", 0] < counts["test", 0] < counts["train", 0]
    assert {place.pictures for place in places} == {1, 2}


def test_pictures_of_a_child_share_its_number_and_differ(files):
    first, second = (phantom.phantom_picture(0, 1, picture, SIDE) for picture in (0, 1))
    assert first.shape != second.shape or not np.array_equal(first, second)
    numbers = [phantom.file_name(1, picture).split("_")[0] for picture in (0, 1)]
    assert numbers == ["person2", "person2"]


@pytest.mark.parametrize("kind", [phantom.BACTERIA, phantom.VIRUS])
def test_the_mean_grey_value_does_not_tell_the_classes_apart(kind):
    lesions, means = phantom.LESIONS, []
    for index in range(6):
        chest = draw_chest(np.random.default_rng(index))
        projection = project(chest, SIDE)
        rng = np.random.default_rng(index)
        ill = projection.attenuation + lesions[kind](rng, chest, projection)
        means.append([_mean(index, attenuation) for attenuation in (projection.attenuation, ill)])
    healthy, ill = np.array(means).T
    assert np.abs(healthy - ill).max() < 0.25 * healthy.std()


def _mean(seed: int, attenuation: np.ndarray) -> float:
    rng = np.random.default_rng(seed)
    return phantom.expose(rng, np.maximum(attenuation, 0)).mean()


@pytest.mark.parametrize("kind", [phantom.BACTERIA, phantom.VIRUS])
def test_lesions_are_seen_in_the_lungs_only(kind):
    rng = np.random.default_rng(2)
    chest = draw_chest(rng)
    projection = project(chest, SIDE)
    lesion = phantom.LESIONS[kind](rng, chest, projection)
    lungs = projection.lungs.sum(0) > 0
    assert lesion[lungs].max() > 0.15  # attenuation: far more than noise
    assert not lesion[~lungs].any()


def test_bacteria_change_one_lung_and_viruses_both():
    shares = {}
    for kind in (phantom.BACTERIA, phantom.VIRUS):
        rng = np.random.default_rng(4)
        chest = draw_chest(rng)
        projection = project(chest, SIDE)
        lesion = np.maximum(phantom.LESIONS[kind](rng, chest, projection), 0)
        half = SIDE // 2
        sides = lesion[:, :half].sum(), lesion[:, half:].sum()
        shares[kind] = min(sides) / sum(sides)
    assert shares[phantom.BACTERIA] < 0.1 < 0.3 < shares[phantom.VIRUS]


def test_lungs_are_darker_than_heart_and_abdomen():
    projection = project(draw_chest(np.random.default_rng(0)), SIDE)
    lung = projection.attenuation[projection.lungs.sum(0) > 0.9].mean()
    abdomen = projection.attenuation[int(0.9 * SIDE), SIDE // 4 : SIDE // 2].mean()
    heart = projection.attenuation[int(0.6 * SIDE), int(0.55 * SIDE)]
    assert lung < 0.5 * heart and lung < 0.5 * abdomen
