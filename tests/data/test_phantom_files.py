"""What all phantoms of pictures have in common: folders, bytes, lines of the structure map."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest

from data.chest_xray import phantom as xray_phantom
from data.lung_ct import phantom as lung_phantom
from data.phantom_files import MANIFEST, Maker, cached_folder
from data.retina import phantom as retina_phantom
from data.structure_maps.extraction import DATASETS, structure_and_outside
from data.tianchi_ct import phantom as tianchi_phantom
from utils.errors import UserError

PHANTOMS = {
    "chest_xray": xray_phantom,
    "lung_ct": lung_phantom,
    "retina": retina_phantom,
    "tianchi_ct": tianchi_phantom,
}
PATIENTS = 4
PICTURES = {".jpeg", ".jpg", ".raw", ".tif"}


def contents(folder) -> dict[str, bytes]:
    """{path: bytes} of all files but the manifest."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module", autouse=True)
def small_pictures():
    """Draws all files of this module small, which takes less time."""
    with pytest.MonkeyPatch.context() as patch:
        for module in PHANTOMS.values():
            patch.setattr(module, "SIDE", 64)
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return {name: module.cached_phantom(cache, PATIENTS, 0) for name, module in PHANTOMS.items()}


@pytest.mark.parametrize("name", PHANTOMS)
def test_the_same_seed_gives_the_same_bytes_and_a_smaller_phantom_begins_a_larger(
    name, folders, tmp_path
):
    large = contents(folders[name])
    small = contents(PHANTOMS[name].cached_phantom(tmp_path, PATIENTS - 1, 0))
    assert set(small) < set(large)
    for path, content in small.items():
        # The one file that belongs to all series grows.
        assert large[path].startswith(content) if path.endswith(".csv") else large[path] == content


@pytest.mark.parametrize("name", PHANTOMS)
def test_another_seed_gives_other_pictures_and_no_two_are_the_same(name, folders, tmp_path):
    other = contents(PHANTOMS[name].cached_phantom(tmp_path, 2, 1))
    pictures = [
        content
        for found in (contents(folders[name]), other)
        for path, content in found.items()
        if any(path.endswith(suffix) for suffix in PICTURES)
    ]
    assert len(pictures) >= PATIENTS + 2
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize("name", PHANTOMS)
def test_the_folder_says_that_it_is_not_medical_data(name, folders):
    assert "not medical data" in json.loads((folders[name] / MANIFEST).read_text())["notice"]


def test_a_phantom_is_made_once(tmp_path):
    made = []
    maker = Maker("test", 1, lambda folder, seed, index: made.append((seed, index)))
    assert cached_folder(tmp_path, maker, 2, 5) == cached_folder(tmp_path, maker, 2, 5)
    assert made == [(5, 0), (5, 1)]
    cached_folder(tmp_path, dataclasses.replace(maker, version=2), 2, 5)
    assert len(made) == 4


def test_a_failure_leaves_nothing(tmp_path):
    def write(folder, seed, index):
        (folder / "file").write_text("half")
        raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        cached_folder(tmp_path, Maker("test", 1, write), 1, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_is_refused(tmp_path):
    maker = Maker("test", 1, lambda folder, seed, index: None)
    folder = cached_folder(tmp_path, maker, 1, 0)
    (folder / MANIFEST).unlink()
    with pytest.raises(UserError, match="is not the test phantom of 1 patients"):
        cached_folder(tmp_path, maker, 1, 0)


@pytest.mark.parametrize(("patients", "seed"), [(0, 0), (1, -1)])
def test_numbers_that_are_too_small_are_refused(tmp_path, patients, seed):
    with pytest.raises(UserError, match="at least 1 patient"):
        cached_folder(tmp_path, Maker("test", 1, lambda *_: None), patients, seed)


# Settings of the structure map at 128 pixels: as in `DATASETS`, but for a smaller picture.
SIDE = 128
EDGE_THRESHOLDS = {
    "chest_xray": 0.08,
    "lung_ct": 0.05,
    "tianchi_ct": 0.05,
    "drive_fire": 0.045,
}
LINES = (0.03, 0.25)  # beyond it a map says little


def pictures(name: str) -> list[np.ndarray]:
    if name == "chest_xray":
        return [xray_phantom.phantom_picture(0, k, 0) for k in range(3)]
    if name == "drive_fire":
        return [retina_phantom.phantom_photograph(0, k, 0).colour for k in range(3)]
    if name == "lung_ct":
        return [np.clip(lung_phantom.phantom_slice(0, k)[0], -1000, 400) for k in range(3)]
    return [np.clip(tianchi_phantom.phantom_series(0, 0).hu[k], -1000, 400) for k in (0, 4, 7)]


@pytest.mark.parametrize("name", EDGE_THRESHOLDS)
def test_a_healthy_share_of_the_structure_map_is_line(name):
    constants = dataclasses.replace(
        DATASETS[name],
        edge_threshold=EDGE_THRESHOLDS[name],
        structure_median=3,
        mask_zoom=max(1, round(DATASETS[name].mask_zoom * SIDE / 512)),
        mask_median=max(3, DATASETS[name].mask_median // 8 * 2 + 1),
    )
    shrunk = [
        cv2.resize(picture.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        for picture in pictures(name)
    ]
    batch = np.stack(shrunk).reshape(len(shrunk), SIDE, SIDE, -1)
    structure, _ = structure_and_outside(batch, None, constants)
    shares = structure.numpy().mean((1, 2, 3))
    assert LINES[0] < shares.min() and shares.max() < LINES[1], shares
