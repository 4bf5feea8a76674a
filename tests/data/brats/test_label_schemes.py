from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from data.brats.label_schemes import SCHEMES, resolve_scheme, rounding_note, to_2015, values_in
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
        ("brats2024ped", [0, 1, 2, 3, 4], [0, 4, 3, 1, 2]),
        ("1=oedema,3=enhancing,7=background", [0, 1, 3, 7], [0, 2, 4, 0]),
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
        ("BraTS-SSA, -MEN, -GoAT", None, "brats2023"),
        ("BraTS 2017-2021", "brats2023", "brats2023"),  # what is given holds
        ("layout", "1=necrosis,3=enhancing", "1=necrosis,3=enhancing"),
    ],
)
def test_names_imply_the_scheme_or_allow_the_request(naming, requested, expected):
    assert resolve_scheme([subject(naming), subject(naming, "other")], requested) == expected


@pytest.mark.parametrize(
    ("namings", "requested", "message"),
    [
        (["BraTS-GLI"], None, r"--slicing\.label_scheme brats2023\|brats2024"),
        (["BraTS-PED"], None, r"--slicing\.label_scheme brats2023\|brats2024ped"),
        (["layout"], None, "do not tell what the label values mean; say it with --slicing.label_"),
        (["VSD"], "brats2019", "brats2015, brats2020, brats2023, brats2024"),
        (["VSD"], "1=tumour", "or values with names such as 1=necrosis,2=oedema,4=enhancing"),
        (["VSD", "BraTS-GLI"], "brats2015", r"1 \(BraTS-GLI\), 0 \(VSD\)"),
    ],
)
def test_missing_and_contradicting_requests_and_mixed_releases_are_refused(
    namings, requested, message
):
    with pytest.raises(UserError, match=message):
        resolve_scheme([subject(name, str(i)) for i, name in enumerate(namings)], requested)


@pytest.mark.parametrize("off", [2e-5, -3e-7, 9e-3])
def test_rounding_of_whole_numbers_is_mended_and_told(off):
    label = np.array([0, 1, 2, 4]) * (1 + off / 4)
    np.testing.assert_array_equal(to_2015(label, "brats2020", SOURCE), [0, 1, 2, 4])
    assert rounding_note(label) == "label values up to 0.01 off whole numbers are rounded"
    assert rounding_note(np.array([0.0, 4.0])) is None
    assert rounding_note(np.array([0, 4])) is None


@pytest.mark.parametrize("value", [1.5, 0.98, 1e30])
def test_values_between_whole_numbers_are_refused_without_another_scheme(value):
    with pytest.raises(UserError, match="use the original label file.$"):
        to_2015(np.array([0.0, 1.0, value]), "brats2020", SOURCE)


def test_the_schemes_that_a_message_names_are_accepted():
    label = np.array([0, 1, 2, 3])
    with pytest.raises(UserError, match="use the original label file, or say with") as caught:
        to_2015(label, "brats2020", SOURCE)
    named = re.findall(r"(brats\d+\w*) \(([^)]+)\)", str(caught.value))
    assert [name for name, _ in named] == ["brats2015", "brats2023", "brats2024", "brats2024ped"]
    for name, meaning in named:
        assert to_2015(label, name, SOURCE).tolist() == to_2015(label, meaning, SOURCE).tolist()


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("brats2015", (0, 1, 2, 3, 4)),
        ("brats2020", (0, 1, 2, 1, 4)),
        ("brats2023", (0, 1, 2, 1, 3)),
        ("brats2024", (0, 1, 2, 1, 3)),
        ("brats2024ped", (0, 3, 4, 2, 1)),
        ("1=enhancing,2=non-enhancing,3=oedema", (0, 2, 3, 2, 1)),
        ("9=background,1=necrosis,2=oedema,4=enhancing", (0, 1, 2, 1, 4)),
    ],
)
def test_classes_have_a_value_in_each_scheme(scheme, expected):
    assert values_in(scheme, "--label-scheme") == expected


@pytest.mark.parametrize("scheme", SCHEMES)
def test_values_that_are_written_read_back_as_their_classes(scheme):
    """Non-enhancing tumour comes back as necrosis where they share a value."""
    values = np.array(values_in(scheme, "--label-scheme"))
    expected = np.where(np.isin(values, values[1]), 1, np.arange(5))
    np.testing.assert_array_equal(to_2015(values, scheme, SOURCE), expected)


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("1=necrosis,4=enhancing", "--label-scheme .* has no value for oedema, so labels cannot"),
        ("0=oedema,1=necrosis,4=enhancing,5=background", "gives 0 to a lesion, so"),
        ("brats1999", "Unknown --label-scheme brats1999: expected one of"),
    ],
)
def test_schemes_that_labels_cannot_be_written_in_are_refused(scheme, message):
    with pytest.raises(UserError, match=message):
        values_in(scheme, "--label-scheme")
