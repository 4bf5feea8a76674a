"""Folds of cross-validation: by patient, balanced, and without labels of validated patients."""

from __future__ import annotations

from collections import Counter

import pytest

from data.synthetic_sets.folds import Scan, strata, validation_folds


def scans(count: int, each: int = 1) -> list[Scan]:
    """As many scans `each` of `count` patients p0, p1, .., with rising lesions."""
    return [
        Scan(f"p{i // each}", tuple(f"real_{i}_{j}" for j in range(2)), i)
        for i in range(count * each)
    ]


def patients(names: list[str], each: int = 1) -> set[str]:
    return {f"p{int(name.split('_')[1]) // each}" for name in names if name[0] == "r"}


@pytest.mark.parametrize(("count", "each"), [(2, 1), (5, 1), (7, 2), (6, 3), (23, 1)])
def test_folds_validate_every_real_case_once_by_patient(count, each):
    real = scans(count, each)
    folds = validation_folds({}, real)
    assert len(folds) == min(5, count)
    validated = Counter(name for fold in folds for name in fold["val"])
    assert validated == Counter(name for scan in real for name in scan.cases)
    for fold in folds:
        assert fold["val"] and not patients(fold["val"], each) & patients(fold["train"], each)
        assert len(fold["train"]) + len(fold["val"]) == len(validated)
        assert fold["train"] == sorted(fold["train"])


def test_no_synthetic_case_learns_from_the_label_of_a_validated_patient():
    """Some have the labels of two patients."""
    synthetic = {f"s{i:02d}": {f"p{i % 7}", f"p{i % 3}"} for i in range(30)}
    folds = validation_folds(synthetic, scans(7))
    for fold in folds:
        validated = patients(fold["val"])
        expected = {name for name, of in synthetic.items() if not of & validated}
        assert {name for name in fold["train"] if name[0] == "s"} == expected


@pytest.mark.parametrize("each", [0, 1, 3])
def test_without_two_patients_nothing_is_validated(each):
    real = scans(1, each) if each else []
    names = sorted(["s0", *(name for scan in real for name in scan.cases)])
    assert validation_folds({"s0": ("p0",)}, real) == [{"train": names, "val": []}] * 5


def test_strata_are_as_fine_as_the_scans_allow():
    """Sizes in thirds or halves within the grades, grades alone, sizes alone, nothing."""
    assert strata(scans(6), 2) == ["0", "0", "1", "1", "2", "2"]
    assert strata(scans(6)[::-1], 2) == ["2", "2", "1", "1", "0", "0"]
    assert strata(scans(5), 2) == ["0", "0", "0", "1", "1"]
    assert strata(scans(5), 5) == ["0"] * 5
    graded = [scan._replace(grade="HL"[i % 2]) for i, scan in enumerate(scans(12))]
    assert set(strata(graded, 2)) == {f"{grade}{size}" for grade in "HL" for size in range(3)}
    assert set(strata(graded, 3)) == {"H0", "H1", "L0", "L1"}
    assert set(strata(graded, 4)) == {"H0", "L0"}
    rare = [scan._replace(grade="L" if i == 3 else "H") for i, scan in enumerate(scans(12))]
    assert strata(rare, 4) == [str(i // 4) for i in range(12)]


def test_grades_and_sizes_are_spread_over_the_folds():
    real = [scan._replace(grade="L" if i < 5 else "H") for i, scan in enumerate(scans(20))]
    for fold in validation_folds({}, real):
        numbers = [int(patient[1:]) for patient in patients(fold["val"])]
        assert len(numbers) == 4 and sum(number < 5 for number in numbers) == 1
