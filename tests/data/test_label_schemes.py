from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.label_schemes import resolve_scheme, to_2015
from data.subjects import Subject
from utils.errors import UserError

SOURCE = Path("case_seg.nii.gz")


def subject(naming: str, case: str = "case") -> Subject:
    return Subject(case, {}, SOURCE, naming)


@pytest.mark.parametrize(
    ("scheme", "values", "expected"),
    [
        ("brats2015", [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        ("brats2020", [0, 1, 2, 4], [0, 1, 2, 4]),
        ("brats2023", [0, 1, 2, 3], [0, 1, 2, 4]),
        ("brats2024", [0, 1, 2, 3, 4], [0, 1, 2, 4, 0]),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_values_translate_to_2015(scheme, values, expected, dtype):
    label = to_2015(np.array([values, values[::-1]], dtype), scheme, SOURCE)
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, [expected, expected[::-1]])


@pytest.mark.parametrize(
    ("scheme", "value"),
    [
        ("brats2015", 5),
        ("brats2015", -1),
        ("brats2015", 2.5),
        ("brats2015", 256),
        ("brats2020", 3),
        ("brats2023", 4),
        ("brats2024", 5),
    ],
)
def test_a_foreign_value_names_file_and_value(scheme, value):
    with pytest.raises(UserError, match=rf"{SOURCE.name} holds the values {value} "):
        to_2015(np.array([0, 1, value]), scheme, SOURCE)


@pytest.mark.parametrize(
    ("naming", "requested", "expected"),
    [
        ("VSD", None, "brats2015"),
        ("VSD", "brats2015", "brats2015"),
        ("BraTS 2017-2021", None, "brats2020"),
        ("BraTS-GLI", "brats2023", "brats2023"),
        ("BraTS-GLI", "brats2024", "brats2024"),
    ],
)
def test_names_imply_the_scheme_or_allow_the_request(naming, requested, expected):
    assert resolve_scheme([subject(naming), subject(naming, "other")], requested) == expected


def test_shared_names_need_a_request():
    with pytest.raises(UserError, match=r"--data\.label_scheme brats2023\|brats2024"):
        resolve_scheme([subject("BraTS-GLI", "BraTS-GLI-00000-000")], None)


@pytest.mark.parametrize(
    ("naming", "requested"),
    [("VSD", "brats2020"), ("BraTS 2017-2021", "brats2023"), ("BraTS-GLI", "brats2020")],
)
def test_a_request_against_the_names_is_refused(naming, requested):
    with pytest.raises(UserError, match=f"{requested} contradicts"):
        resolve_scheme([subject(naming)], requested)


def test_an_unknown_request_lists_the_schemes():
    with pytest.raises(UserError, match="brats2015, brats2020, brats2023, brats2024"):
        resolve_scheme([subject("VSD")], "brats2019")


def test_a_mix_of_releases_names_a_case_of_each():
    with pytest.raises(UserError, match=r"b \(BraTS-GLI\), a \(VSD\)"):
        resolve_scheme([subject("VSD", "a"), subject("BraTS-GLI", "b")], "brats2015")
