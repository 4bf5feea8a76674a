"""Normal brain divided into its tissues: the label by hand, the phantom's maps, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.brats.slices import SliceConfig
from data.brats.tissues import tissue_label, with_plain_brain, with_tissues
from data.brats.with_brain import BRATS_WITH_BRAIN
from data.volumes import read_volume, write_volume
from tests.data.trees import write_tree
from utils.errors import UserError

SHAPE = (6, 26, 20)
SLICING = SliceConfig(
    slices=(1, 5), rows=(2, 24), columns=(2, 18), frame=SHAPE, label_scheme="brats2015"
)
DATA = with_tissues(BRATS_WITH_BRAIN)
IDS = ("brats_2013_pat0001_1", "brats_2013_pat0002_1")


def tissues(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, SHAPE).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    write_tree(tmp_path, "flat2015", shape=SHAPE)
    write_volume(tmp_path / "tissue_maps" / f"{IDS[0]}.nii.gz", tissues())
    write_volume(tmp_path / "tissue_maps" / f"{IDS[1]}.mha", tissues(1))
    return tmp_path


def test_brain_without_a_tissue_has_the_nearest_one():
    label = np.array([[[0, 1, 1, 1, 3, 1, 1]], [[0, 1, 2, 1, 1, 1, 0]]])
    maps = np.array([[[2, 2, 0, 2, 1, 0, 3]], [[1, 0, 3, 0, 0, 0, 1]]])
    found = tissue_label(label, maps)
    # Of the second slice's brain the map knows nothing: white matter.
    np.testing.assert_array_equal(found, [[[0, 2, 2, 2, 5, 3, 3]], [[0, 3, 4, 3, 3, 3, 0]]])
    assert found.dtype == np.uint8


def test_classes_and_regions_follow():
    assert DATA.classes == (
        *("background", "CSF", "grey matter", "white matter"),
        *("oedema", "core", "enhancing"),
    )
    assert DATA.first_lesion == 4 and DATA.regions == {"wt": (4, 5, 6), "tc": (5, 6), "et": (6,)}


def test_a_case_has_its_label_with_tissues(folder):
    cases, plain_cases = (data.find(folder, SLICING) for data in (DATA, BRATS_WITH_BRAIN))
    assert tuple(case.id for case in cases) == IDS
    assert DATA.settle(cases, SLICING) == SLICING
    for seed, pair in enumerate(zip(cases, plain_cases)):
        found, plain = DATA.prepare(pair[0], SLICING), BRATS_WITH_BRAIN.prepare(pair[1], SLICING)
        np.testing.assert_array_equal(found.images, plain.images)
        np.testing.assert_array_equal(with_plain_brain(found.label, 4), plain.label)
        known = tissues(seed)[1:5, 2:24, 2:18]
        there = (plain.label == 1) & (known > 0)
        assert there.any() and (found.label[there] == known[there]).all()


def test_a_smaller_label_has_the_most_frequent_tissue(folder):
    coarse = np.kron(tissues()[:, ::2, ::2], np.ones((1, 2, 2), np.uint8))
    write_volume(folder / "tissue_maps" / f"{IDS[0]}.nii.gz", coarse)
    small = replace(SLICING, downsample=2)
    found = DATA.prepare(DATA.find(folder, small)[0], small).label
    known = coarse[1:5, 2:24:2, 2:18:2]
    there = (found > 0) & (found < 4) & (known > 0)
    assert there.any() and (found[there] == known[there]).all()


def verdicts(folder, tmp_path) -> list:
    cases = DATA.find(folder, SLICING)
    return DATA.verify(cases, SLICING, tmp_path / "cache", progress=False)


def test_bad_maps_are_told_by_their_case(folder, tmp_path):
    assert [verdict.problems for verdict in verdicts(folder, tmp_path)] == [(), ()]
    path = folder / "tissue_maps" / f"{IDS[0]}.nii.gz"
    write_volume(path, np.minimum(tissues(), 2))
    (problem,), good = (verdict.problems for verdict in verdicts(folder, tmp_path))
    assert "1 CSF, 2 grey matter, 3 white matter, and 0 elsewhere, found 0, 1, 2; c" in problem
    assert good == ()
    write_volume(path, tissues()[:, 1:])
    assert "the shape of" in verdicts(folder, tmp_path)[0].problems[0]
    path.unlink()
    found = verdicts(folder, tmp_path)[0]
    assert "does not exist" in found.problems[0] and found.case.id == IDS[0]
    (error,) = DATA.find(folder, SLICING)[0].problems()
    assert f"The tissue map {path} does not exist; add it" in str(error)


def test_a_folder_without_maps_is_refused(tmp_path):
    write_tree(tmp_path, "flat2015", shape=SHAPE)
    for data, name in ((DATA, "tissue_maps"), (with_tissues(BRATS_WITH_BRAIN, "a"), "a")):
        with pytest.raises(UserError, match=f"map of each case's ti.*found no folder .*{name}; a"):
            data.find(tmp_path, SLICING)


def test_maps_may_lie_elsewhere(folder, tmp_path):
    expected = [case.tissues.name for case in DATA.find(folder, SLICING)]
    (folder / "tissue_maps").rename(tmp_path / "other")
    found = with_tissues(BRATS_WITH_BRAIN, str(tmp_path / "other")).find(folder, SLICING)
    assert [case.tissues for case in found] == [tmp_path / "other" / name for name in expected]


def test_maps_are_added_to_a_cached_phantom_and_nothing_else_changes(tmp_path):
    easy = BRATS_WITH_BRAIN.phantoms["easy"]
    folder = easy.make(tmp_path, 1, 0)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert DATA.phantoms["easy"].make(tmp_path, 1, 0) == folder == easy.make(tmp_path, 1, 0)
    added = {path for path in folder.rglob("*") if path.is_file()} - set(before)
    assert {path.name for path in added} == {"phantom_pat0001_1.nii.gz"}
    assert all(path.read_bytes() == content for path, content in before.items())
    (case,) = DATA.find(folder, SliceConfig())
    array = read_volume(case.tissues).array
    t1 = read_volume(case.paths[0]).array
    np.testing.assert_array_equal(array > 0, t1 > 0)
    healthy = read_volume(case.case.paths[-1]).array == 0
    csf, grey, white = (t1[(array == value) & healthy].mean() for value in (1, 2, 3))
    assert 1.3 * csf < grey < white
