"""The atlas of three patients' slices, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.atlas import Atlas, build_atlas
from data.brats.with_brain import BRATS_WITH_BRAIN, label_with_brain
from data.contract import CaseSlices
from data.shards import prepare_shards
from tests.data.second import Visit, Window
from utils.errors import UserError

SIZE = (2, 3)
HEIGHTS = {"a": [4, 5, 8], "bbb": [5], "held out": [4]}


def images_of(case: str) -> np.ndarray:
    """Constant slices: 0.1 for each letter of the case's name and 0.01 for each height."""
    values = [0.1 * len(case) + 0.01 * height for height in HEIGHTS[case]]
    channels = np.array([1.0, 0.5, 0.25, 0.0])
    return np.array(values)[:, None, None, None] * np.ones((1, *SIZE, 1)) * channels


def prepare(case, config) -> CaseSlices:
    label = np.ones((len(HEIGHTS[case.id]), *SIZE), np.uint8)
    if case.id == "a":
        label[1, 0, 0] = 3
    label[:, 1, 2] = 2  # all patients have a lesion there
    return CaseSlices(images_of(case.id).astype(np.float32), label, np.array(HEIGHTS[case.id]))


@pytest.fixture(scope="module")
def atlas(tmp_path_factory) -> Atlas:
    folder = tmp_path_factory.mktemp("atlas")
    cases = [Visit(name, folder / name) for name in HEIGHTS]
    for case in cases:
        case.path.touch()
    data = replace(
        BRATS_WITH_BRAIN,
        prepare=prepare,
        size=lambda config: SIZE,
        settle=lambda cases, config: config,
        most_slices=lambda config: 3,
    )
    prepared = prepare_shards(data, cases, Window(), folder, progress=False)
    return build_atlas(prepared, ["a", "bbb"])


def test_heights_are_means_over_the_training_patients(atlas):
    assert atlas.first == 4 and atlas.images.shape == (5, *SIZE, 4)
    np.testing.assert_allclose(atlas.images[0], images_of("a")[0], atol=2e-5)
    both = (images_of("a")[1] + images_of("bbb")[0]) / 2
    np.testing.assert_allclose(atlas.images[1, 1], both[1], atol=2e-5)


def test_lesions_are_left_out_unless_all_have_one(atlas):
    """Only `a` has a lesion in the first pixel, both in the last; the rows between are healthy."""
    np.testing.assert_allclose(atlas.images[1, 0, 0], images_of("bbb")[0, 0, 0], atol=2e-5)
    both = (images_of("a")[1] + images_of("bbb")[0]) / 2
    np.testing.assert_allclose(atlas.images[1, 1, 2], both[1, 2], atol=2e-5)
    np.testing.assert_allclose(atlas.images[1, 0, 1], both[0, 1], atol=2e-5)


def test_a_height_without_slices_has_the_nearest_one(atlas):
    np.testing.assert_array_equal(atlas.images[2], atlas.images[1])
    np.testing.assert_array_equal(atlas.images[3], atlas.images[4])


def test_an_atlas_is_read_back(atlas, tmp_path):
    atlas.save(tmp_path / "atlas.npz")
    found = Atlas.load(tmp_path / "atlas.npz")
    np.testing.assert_array_equal(found.images, atlas.images)
    assert found.first == 4


@pytest.mark.parametrize("content", [b"PK", None])
def test_a_damaged_atlas_is_named(tmp_path, content):
    path = tmp_path / "atlas.npz"
    path.write_bytes(content) if content else np.savez(path, images=np.zeros(3))
    with pytest.raises(UserError, match="atlas.npz is damaged"):
        Atlas.load(path)


def test_brain_is_what_is_not_black_without_holes_and_without_lesion():
    images = np.zeros((1, 5, 6, 2))
    images[0, 1:4, 1:5, 1] = 0.3
    images[0, 2, 2] = 0  # a hole
    label = np.zeros((1, 5, 6), int)
    label[0, 1, 1:5], label[0, 4, 5] = [1, 2, 3, 4], 2  # the last one lies in the black
    expected = np.zeros((5, 6), int)
    expected[1, 1:5], expected[2:4, 1:5], expected[4, 5] = [3, 2, 3, 4], 1, 2
    np.testing.assert_array_equal(label_with_brain(images, label)[0], expected)
