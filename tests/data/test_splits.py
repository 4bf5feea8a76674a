from __future__ import annotations

import json
import random

import pytest

from data.splits import Split, patient_of, split_subjects
from utils.errors import UserError

IDS = [f"BraTS20_Training_{number:03d}" for number in range(100)]
TIME_POINTS = [
    f"brats_tcia_pat{patient:03d}_{scan:04d}" for patient in range(20) for scan in (1, 2)
]


def test_ten_percent_of_the_patients_are_held_out():
    split = split_subjects(IDS, seed=0)
    assert (len(split.train), len(split.test)) == (90, 10)
    assert sorted(split.train + split.test) == IDS


def test_the_seed_matters_and_the_order_of_the_input_does_not():
    shuffled = random.Random(0).sample(IDS, len(IDS))
    assert split_subjects(shuffled, seed=3) == split_subjects(IDS, seed=3)
    assert split_subjects(IDS, seed=0) != split_subjects(IDS, seed=1)


@pytest.mark.parametrize("seed", range(10))
def test_scans_of_one_patient_stay_on_one_side(seed):
    split = split_subjects(TIME_POINTS, 0.3, seed=seed)
    sides = [{name.rsplit("_", 1)[0] for name in side} for side in (split.train, split.test)]
    assert not sides[0] & sides[1]
    assert (len(sides[0]), len(sides[1])) == (14, 6)
    assert len(split.test) == 12


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
def test_each_side_keeps_at_least_one_patient(fraction):
    split = split_subjects(["a", "b"], fraction, seed=0)
    assert len(split.train) == len(split.test) == 1


@pytest.mark.parametrize("ids", [[], ["one"], ["brats_tcia_pat100_0001", "brats_tcia_pat100_0002"]])
def test_fewer_than_two_patients_cannot_be_split(ids):
    with pytest.raises(UserError, match=f"at least 2 patients, found {min(len(ids), 1)}"):
        split_subjects(ids, seed=0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_fraction_outside_zero_and_one_is_refused(fraction):
    with pytest.raises(UserError, match="fraction"):
        split_subjects(IDS, fraction, seed=0)


@pytest.mark.parametrize(
    ("subject", "patient"),
    [
        ("brats_tcia_pat149_0001", "brats_tcia_pat149"),
        ("HGG_brats_tcia_pat149_0002", "brats_tcia_pat149"),
        ("brats_2013_pat0001_1", "brats_2013_pat0001"),
        ("LGG_brats_2013_pat0001_1", "LGG_brats_2013_pat0001"),
        ("HG_0001", "HG_0001"),
        ("Brats17_2013_2_1", "Brats17_2013_2"),
        ("BraTS19_CBICA_AAB_1", "BraTS19_CBICA_AAB"),
        ("BraTS20_Training_001", "BraTS20_Training_001"),
        ("BraTS2021_00020", "BraTS2021_00020"),
        ("BraTS-GLI-00020-001", "BraTS-GLI-00020"),
    ],
)
def test_the_patient_is_the_id_without_its_time_point(subject, patient):
    assert patient_of(subject) == patient


def test_a_saved_split_comes_back(tmp_path):
    split = split_subjects(IDS, seed=0)
    split.save(tmp_path / "splits.json")
    assert Split.load(tmp_path / "splits.json") == split
    assert [path.name for path in tmp_path.iterdir()] == ["splits.json"]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (["a", "b"], ["b"], "the patients b on both sides"),
        (["brats_tcia_pat100_0001"], ["brats_tcia_pat100_0002"], "brats_tcia_pat100 on both"),
        (["a"], [], "an empty side"),
    ],
)
def test_a_leaking_or_empty_split_is_refused(tmp_path, train, test, message):
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"train": train, "test": test}))
    with pytest.raises(UserError, match=message):
        Split.load(path)


def test_other_cases_than_those_of_the_split_are_named(tmp_path):
    split, path = Split(("a", "b", "c"), ("d", "e")), tmp_path / "splits.json"
    split.check_subjects("edcba", path)
    changes = r"found 4 missing \(a, b, c, \.\.\.\) and 1 new \(x\); restore"
    with pytest.raises(UserError, match=rf"the 5 cases of .*splits\.json, {changes}"):
        split.check_subjects("ex", path)
    with pytest.raises(UserError, match=r"found 1 new \(x\); restore"):
        split.check_subjects("abcdex", path)


@pytest.mark.parametrize("content", [None, "", "[]", '{"train": ["a"]}', '{"train": 1, "test": 2}'])
def test_a_file_that_is_missing_or_no_split_is_named(tmp_path, content):
    path = tmp_path / "splits.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"splits\.json cannot be read"):
        Split.load(path)
