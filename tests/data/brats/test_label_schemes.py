from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.brats.label_schemes import resolve_scheme, to_2015
from data.brats.subjects import Case
from utils.errors import UserError

SOURCE = Path("case_seg.nii.gz")


def subject(naming: str, case: str = "case") -> Case:
    return Case(case, {}, naming)


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


@pytest.mark.parametrize(
    ("namings", "requested", "message"),
    [
        (["BraTS-GLI"], None, r"--slicing\.label_scheme brats2023\|brats2024"),
        (["VSD"], "brats2020", "brats2020 contradicts"),
        (["BraTS 2017-2021"], "brats2023", "brats2023 contradicts"),
        (["BraTS-GLI"], "brats2020", "brats2020 contradicts"),
        (["VSD"], "brats2019", "brats2015, brats2020, brats2023, brats2024"),
        (["VSD", "BraTS-GLI"], "brats2015", r"1 \(BraTS-GLI\), 0 \(VSD\)"),
    ],
)
def test_missing_and_contradicting_requests_and_mixed_releases_are_refused(
    namings, requested, message
):
    with pytest.raises(UserError, match=message):
        resolve_scheme([subject(name, str(i)) for i, name in enumerate(namings)], requested)
