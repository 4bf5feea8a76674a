from __future__ import annotations

import functools
import json
import random
from dataclasses import asdict

import pytest

from data import splits
from data.brats.namings import patient_of
from data.splits import Cohort, Split, ThreeWaySplit
from experiments.configs.tc_mgan import SHARES
from utils.errors import UserError

IDS = [f"BraTS20_Training_{number:03d}" for number in range(100)]
TIME_POINTS = [
    f"brats_tcia_pat{patient:03d}_{scan:04d}" for patient in range(20) for scan in (1, 2)
]

split_subjects = functools.partial(splits.split_subjects, patient_of=patient_of)


def split_three_ways(ids, shares=SHARES, *, seed):
    return splits.split_three_ways(ids, shares, seed=seed, patient_of=patient_of)


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


def test_a_saved_split_comes_back(tmp_path):
    split = split_subjects(IDS, seed=0)
    split.save(tmp_path / "splits.json")
    assert Split.load(tmp_path / "splits.json", patient_of) == split
    assert [path.name for path in tmp_path.iterdir()] == ["splits.json"]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (["a", "b"], ["b"], "the patients b in both train and test"),
        (["brats_tcia_pat100_0001"], ["brats_tcia_pat100_0002"], "brats_tcia_pat100 in both"),
        (["a"], [], "no case in test"),
    ],
)
def test_a_leaking_or_empty_split_is_refused(tmp_path, train, test, message):
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"train": train, "test": test}))
    with pytest.raises(UserError, match=message):
        Split.load(path, patient_of)


def test_other_cases_than_those_of_the_split_are_named(tmp_path):
    split, path = Split(("a", "b", "c"), ("d", "e")), tmp_path / "splits.json"
    split.check_subjects("edcba", path)
    changes = r"found 4 missing \(a, b, c, \.\.\.\) and 1 new \(x\); restore"
    with pytest.raises(UserError, match=rf"the 5 cases of .*splits\.json, {changes}"):
        split.check_subjects("ex", path)
    with pytest.raises(UserError, match=r"found 1 new \(x\); restore"):
        split.check_subjects("abcdex", path)


def sizes(split: ThreeWaySplit) -> tuple[int, int, int]:
    return len(split.gan), len(split.train), len(split.test)


@pytest.mark.parametrize(
    ("patients", "expected"),
    [
        (285, (100, 100, 85)),  # the paper's numbers
        (20, (7, 7, 6)),  # shares 7.02, 7.02, 5.96
        (100, (35, 35, 30)),
        (4, (2, 1, 1)),  # shares 1.4, 1.4, 1.2: the first of a tie
        (3, (1, 1, 1)),
    ],
)
def test_three_parts_keep_the_paper_s_shares(patients, expected):
    ids = [f"case {number}" for number in range(patients)]
    split = split_three_ways(reversed(ids), seed=5)
    assert sizes(split) == expected and split == split_three_ways(ids, seed=5)
    assert sorted(split.gan + split.train + split.test) == sorted(ids)
    assert patients < 20 or split != split_three_ways(ids, seed=6)


def test_other_shares_leave_a_patient_for_every_part():
    split = split_three_ways(IDS[:5], {"gan": 100, "train": 1, "test": 1}, seed=0)
    assert sizes(split) == (3, 1, 1)
    for shares in ({"train": 1, "test": 1}, {"gan": 0, "train": 1, "test": 1}):
        with pytest.raises(UserError, match="shares of a split must .* found"):
            split_three_ways(IDS, shares, seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_scans_of_one_patient_stay_in_one_of_three_parts(seed):
    split = split_three_ways(TIME_POINTS, seed=seed)
    patients = [
        {name.rsplit("_", 1)[0] for name in part} for part in asdict(split).values() if part
    ]
    assert sorted(map(len, patients)) == [6, 7, 7] and len(set.union(*patients)) == 20
    assert sizes(split) == (14, 14, 12)


def test_both_ways_to_split_hold_out_the_same_first_patients():
    three, two = split_three_ways(IDS, seed=2), split_subjects(IDS, 0.3, seed=2)
    assert three.test == two.test  # 30 patients either way


@pytest.mark.parametrize("ids", [["a", "b"], TIME_POINTS[:4], []])
def test_three_parts_need_three_patients(ids):
    with pytest.raises(UserError, match="at least 3 patients, found"):
        split_three_ways(ids, seed=0)


def test_a_file_of_three_parts_comes_back_only_as_such(tmp_path):
    path = tmp_path / "splits.json"
    split = split_three_ways(IDS, seed=0)
    split.save(path)
    assert ThreeWaySplit.load(path, patient_of) == split
    assert set(json.loads(path.read_text())) == {"gan", "train", "test"}
    split.check_subjects(IDS, path)
    with pytest.raises(UserError, match="found 1 missing"):
        split.check_subjects(set(IDS) - {split.gan[0]}, path)
    with pytest.raises(UserError, match="lists train and test; delete"):
        Split.load(path, patient_of)
    split_subjects(IDS, seed=0).save(path)
    with pytest.raises(UserError, match="lists train and test and gan; delete"):
        ThreeWaySplit.load(path, patient_of)


@pytest.mark.parametrize("pair", [("gan", "train"), ("gan", "test"), ("train", "test")])
def test_a_patient_in_two_of_three_parts_is_refused(tmp_path, pair):
    parts = {name: [f"brats_tcia_pat{i}00_0001"] for i, name in enumerate(("gan", "train", "test"))}
    for number, name in enumerate(pair):
        parts[name].append(f"brats_tcia_pat777_000{number}")
    (tmp_path / "splits.json").write_text(json.dumps(parts))
    with pytest.raises(UserError, match=rf"pat777 in both ({pair[0]}|{pair[1]}) and"):
        ThreeWaySplit.load(tmp_path / "splits.json", patient_of)


@pytest.mark.parametrize("content", [None, "", "[]", '{"train": ["a"]}', '{"train": 1, "test": 2}'])
def test_a_file_that_is_missing_or_no_split_is_named(tmp_path, content):
    path = tmp_path / "splits.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"splits\.json cannot be read"):
        Split.load(path, patient_of)


def few(number: int, seed: int = 0) -> Split:
    split = split_subjects(TIME_POINTS, 0.3, seed=0)
    return splits.with_few_patients(split, number, seed=seed, patient_of=patient_of)


def test_few_patients_are_nested_and_hold_out_the_same(tmp_path):
    whole = split_subjects(TIME_POINTS, 0.3, seed=0)
    for small, large in ((2, 4), (4, 14)):
        assert set(few(small).train) < set(few(large).train)
    for number in (1, 5, 14):
        split = few(number)
        assert len(split.train) == 2 * number and split.test == whole.test  # two scans of each
        assert sorted(split.train + split.unused) == list(whole.train)
    assert few(3, seed=2).train != few(3).train
    few(5).save(tmp_path / "splits.json")
    assert Split.load(tmp_path / "splits.json", patient_of) == few(5)
    few(14).save(tmp_path / "all.json")
    assert set(json.loads((tmp_path / "all.json").read_text())) == {"train", "test"}


def test_more_patients_than_there_are_cannot_take_part():
    with pytest.raises(UserError, match="15 training patients are asked for .* the split has 14"):
        few(15)


def test_a_cohort_has_no_negative_size():
    with pytest.raises(UserError, match="--cohort.patients is -1; give 0 or more"):
        Cohort(patients=-1)


def test_an_unused_patient_in_another_part_is_refused(tmp_path):
    content = {**asdict(few(5)), "unused": few(5).test}
    (tmp_path / "splits.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="in both test and unused"):
        Split.load(tmp_path / "splits.json", patient_of)
