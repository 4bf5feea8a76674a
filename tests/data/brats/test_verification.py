from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.brats import verification
from data.brats.phantom import cached_phantom
from data.brats.preparation import prepare_subject
from data.brats.slices import SliceConfig
from data.brats.subjects import find_cases
from data.brats.verification import case_verdict, verify_cases
from data.verdicts import Verdict
from data.volumes import write_volume
from experiments.engine.cli import default_cache
from tests.data.defects import DEFECTS
from tests.data.trees import LAYOUTS, TINY, case_files, tiny_case, write_case, write_tree
from utils.errors import UserError


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """The files of one good case."""
    files = case_files(tmp_path, "flat2015")
    write_case(files, tiny_case(1))
    return files


def problems(root: Path, config=TINY) -> tuple[str, ...]:
    (case,) = find_cases(root)
    return case_verdict(case, config).problems


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_told_in_one_sentence_and_stops_the_preparation(tmp_path, files, name):
    assert problems(tmp_path) == ()
    DEFECTS[name].spoil(files)
    (found,) = problems(tmp_path)
    assert re.search(DEFECTS[name].sentence, found) and found.endswith(".")
    if name != "no signal":  # which is told when the slices are written
        with pytest.raises(UserError):
            prepare_subject(find_cases(tmp_path)[0].subject(), TINY, "brats2015")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_good_cases_of_every_release_pass(tmp_path, layout):
    scheme = "brats2023" if layout == "brats2023" else None
    config = replace(TINY, label_scheme=scheme)
    cases = find_cases(write_tree(tmp_path / "data", layout))
    expected = [Verdict(case, (), (), lesions=4) for case in cases]
    for _ in range(2):  # read, and kept
        assert verify_cases(cases, config, tmp_path / "cache") == expected


def test_everything_that_is_wrong_with_a_case_is_told(tmp_path, files):
    for name in ("missing", "repeated", "cut", "value"):
        DEFECTS[name].spoil(files)
    write_volume(files["Flair"], np.full((6, 12, 10), np.nan, np.float32), origin=(0, 0, 4))
    found = problems(tmp_path)
    expected = (
        "has T1 twice",
        "has no T1c file",
        r"MR_T2\S+ is damaged",
        r"MR_Flair\S+ holds 720 NaN",
        "the values 7 where",
        r"the origin of \S+MR_T1\.",
    )
    assert len(found) == len(expected)
    assert all(map(re.search, expected, found)), found
    (case,) = find_cases(tmp_path)
    named = {path.name for path in Verdict(case, found).files}
    assert named == {path.name for path in case.paths}


def test_a_case_of_one_damaged_file_is_told_without_the_others(tmp_path):
    path = case_files(tmp_path, "brats2020")["Flair"]
    path.parent.mkdir(parents=True)
    path.write_text("<html>sign in first</html>")
    missing, damaged = problems(tmp_path)
    assert "has no T1 and no T2 and no T1c and no label file" in missing
    assert "does not decode as NIfTI" in damaged


def test_all_properties_of_another_grid_are_told(tmp_path, files):
    write_volume(files["T2"], np.ones((7, 12, 10)), (1, 1, 2), (0, 0, 4))
    found = problems(tmp_path)
    names = [re.search(r"but the (\w+) of", text) for text in found]
    assert [name and name[1] for name in names] == [None, "shape", "spacing", "origin"]


def test_a_case_off_the_1_mm_grid_is_told_once(tmp_path, files):
    case = tiny_case(1)
    for kind, array in {**case.images, "label": case.label}.items():
        write_volume(files[kind], array, (1, 1, 1.5))
    (found,) = problems(tmp_path)
    assert "must have a spacing of 1 mm" in found
    resampling = replace(TINY, frame=(9, 12, 10), resample=True)
    assert problems(tmp_path, resampling) == ()
    prepared = prepare_subject(find_cases(tmp_path)[0].subject(), resampling, "brats2015")
    assert prepared.index.tolist() == [*range(*TINY.slices)]
    write_volume(files["T2"], case.images["T2"], (1, 1, 2))
    assert "but the spacing of" in problems(tmp_path, resampling)[0]


def test_the_range_and_the_scaling_follow_the_configuration(tmp_path, files):
    (found,) = problems(tmp_path, replace(TINY, slices=(5, 8)))
    assert "has 6 slices, and only 1 slices of --slicing.slices (5, 8), counted in" in found
    assert "in the middle 6 slices, lie in it" in found
    rows, columns = problems(tmp_path, replace(TINY, rows=(9, 17), columns=(8, 16)))
    assert "of --slicing.rows (9, 17)" in rows and "of --slicing.columns (8, 16)" in columns
    array = tiny_case(1).images["T2"]
    array[:, 5, 5] = 0
    write_volume(files["T2"], array)
    (found,) = problems(tmp_path, replace(TINY, min_brain_pixels=63))
    assert "with more than 63 pixels of brain" in found
    write_volume(files["T2"], array - 5)
    assert problems(tmp_path) == ()
    (found,) = problems(tmp_path, replace(TINY, scaling="slice_maximum"))
    assert "no voxel below 0" in found


def test_the_label_scheme_is_asked_for_and_never_guessed(tmp_path):
    write_case(case_files(tmp_path, "brats2023"), tiny_case(1))
    (found,) = problems(tmp_path)
    assert "--slicing.label_scheme brats2023|brats2024" in found
    label = case_files(tmp_path, "brats2023")["label"]
    write_volume(label, np.full((6, 12, 10), 4, np.uint8))
    assert problems(tmp_path, replace(TINY, label_scheme="brats2024")) == ()
    (found,) = problems(tmp_path, replace(TINY, label_scheme="brats2023"))
    assert "holds the values 4 where brats2023 allows only 0, 1, 2, 3" in found


@pytest.fixture
def checked(monkeypatch) -> list[str]:
    """The ids of the cases that are read from now on."""
    read = []

    def record(case, config):
        read.append(case.id)
        return case_verdict(case, config)

    monkeypatch.setattr(verification, "case_verdict", record)
    return read


def test_a_good_case_is_read_again_only_when_something_changed(tmp_path, checked):
    root = write_tree(tmp_path / "data", "flat2015", 3)
    DEFECTS["missing"].spoil(case_files(root, "flat2015", 2))

    def verify(config=TINY, **options) -> list[str]:
        checked.clear()
        verdicts = verify_cases(find_cases(root), config, tmp_path / "cache", **options)
        assert [bool(verdict.problems) for verdict in verdicts] == [False, True, False]
        return [name[-3] for name in checked]

    assert verify() == ["1", "2", "3"]
    assert verify() == ["2"]
    assert verify(again=True) == ["1", "2", "3"]
    os.utime(case_files(root, "flat2015", 3)["T2"], ns=(0, 1))
    assert verify() == ["2", "3"]
    changed = case_files(root, "flat2015", 1)["T1"]
    before = changed.stat().st_mtime_ns
    changed.write_bytes(changed.read_bytes())
    os.utime(changed, ns=(before, before))  # as programs do that keep times
    assert verify() == ["1", "2"]
    assert verify(replace(TINY, slices=(1, 4))) == ["1", "2", "3"]
    assert verify() == ["2"]


def test_a_bar_counts_the_cases_to_read(tmp_path, capsys):
    cases = find_cases(write_tree(tmp_path / "data", "flat2015"))
    for expected in (True, False):
        verify_cases(cases, TINY, tmp_path / "cache")
        assert ("Checking cases" in capsys.readouterr().err) == expected
    verify_cases(cases, TINY, tmp_path / "cache", again=True, progress=False)
    assert capsys.readouterr().err == ""


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    cases = find_cases(write_tree(tmp_path / "data", "flat2015"))
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(UserError, match="Cannot write verdicts to .*choose another --cache"):
        verify_cases(cases, TINY, tmp_path / "cache")


@pytest.mark.slow
def test_a_full_size_case_takes_less_than_five_seconds():
    (case, *_) = find_cases(cached_phantom(default_cache(), 2, 0))
    started = time.process_time()
    assert case_verdict(case, SliceConfig()).problems == ()
    assert time.process_time() - started < 5
