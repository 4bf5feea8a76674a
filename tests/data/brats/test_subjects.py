from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data.brats.names import MODALITIES
from data.brats.namings import patient_of
from data.brats.subjects import find_cases, find_scans
from tests.data.trees import LAYOUTS, case_files, find_subjects
from utils.errors import UserError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def touch_case(*arguments) -> dict[str, Path]:
    """Empty files of `case_files`."""
    files = case_files(*arguments)
    touch(*files.values())
    return files


@pytest.mark.parametrize(
    ("layout", "name", "naming"),
    [
        ("nested2015", "brats_2013_pat0001_1", "VSD"),
        ("flat2015", "brats_2013_pat0001_1", "VSD"),
        ("brats2013", "0001", "VSD"),
        ("brats2020", "BraTS20_Training_001", "BraTS 2017-2021"),
        ("brats2023", "BraTS-GLI-00001-000", "BraTS-GLI"),
    ],
)
def test_every_layout_pairs_each_modality_with_its_file(tmp_path, layout, name, naming):
    files = touch_case(tmp_path, layout)
    (subject,) = find_subjects(tmp_path)
    assert (subject.id, subject.naming) == (name, naming)
    assert tuple(subject.images) == MODALITIES
    assert {**subject.images, "label": subject.label} == files


YEARS = (
    "Brats17_TCIA_105_1 Brats18_2013_2_1 BraTS19_CBICA_AAB_1 BraTS20_Training_001 BraTS2021_00020"
)


@pytest.mark.parametrize("case", YEARS.split())
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_names_from_2017_to_2021(tmp_path, case, suffix):
    for kind in ("flair", "t1", "t1ce", "t2", "seg"):
        touch(tmp_path / "HGG" / case / f"{case}_{kind}{suffix}")
    (subject,) = find_subjects(tmp_path)
    assert subject.id == case
    assert subject.images["T1"].name == f"{case}_t1{suffix}"
    assert subject.images["T1c"].name == f"{case}_t1ce{suffix}"


def test_subjects_are_sorted_by_id(tmp_path):
    for number in (3, 1, 2):
        touch_case(tmp_path, "nested2015", number, "LGG" if number == 1 else "HGG")
    ids = [subject.id for subject in find_subjects(tmp_path)]
    assert ids == [f"brats_2013_pat000{number}_1" for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("layout", "names"),
    [
        ("nested2015", ["HGG_{}0001_1", "LGG_{}0001_1", "{}0002_1"]),
        ("brats2013", ["0002", "HG_0001", "LG_0001"]),
    ],
)
def test_a_name_in_both_grades_keeps_the_grade(tmp_path, layout, names):
    for number, grade in ((1, "HGG"), (1, "LGG"), (2, "HGG")):
        touch_case(tmp_path, layout, number, grade)
    ids = [subject.id for subject in find_subjects(tmp_path)]
    assert ids == [name.format("brats_2013_pat") for name in names]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [*MODALITIES, "label"])
def test_a_missing_file_is_named_and_never_replaced(tmp_path, layout, kind):
    touch_case(tmp_path, layout, 1)
    files = touch_case(tmp_path, layout, 2)
    files[kind].unlink()
    with pytest.raises(UserError, match=rf"2\S* has no {kind} file"):
        find_subjects(tmp_path)


def test_a_modality_twice_names_both_files(tmp_path):
    files = touch_case(tmp_path, "nested2015")
    second = files["T2"].with_name("VSD.Brain.XX.O.MR_T2.99999.mha")
    touch(second)
    with pytest.raises(UserError) as error:
        find_subjects(tmp_path)
    assert "T2 twice" in str(error.value)
    assert str(second) in str(error.value) and str(files["T2"]) in str(error.value)


@pytest.mark.parametrize("layout", ["brats2020", "flat2015"])
def test_a_copied_case_is_a_duplicate(tmp_path, layout):
    case = touch_case(tmp_path, layout)["T1"].parent
    shutil.copytree(case, tmp_path / "copy" / case.name)
    with pytest.raises(UserError, match="twice"):
        find_subjects(tmp_path)


def test_hidden_and_foreign_files_are_ignored(tmp_path):
    files = touch_case(tmp_path, "flat2015")
    folder = files["T1"].parent
    touch(
        folder / ".DS_Store",
        folder / f"._{files['T1'].name}",
        folder / ".trash" / files["T1"].name,
        folder / "VSD.Brain.XX.O.MR_T1_N4.54999.mha",
        folder / "notes.txt",
    )
    (subject,) = find_subjects(tmp_path)
    assert subject.images["T1"] == files["T1"]


def test_links_are_followed_once_even_in_a_loop(tmp_path):
    store = tmp_path / "store"
    touch_case(store, "nested2015")
    root = tmp_path / "root"
    root.mkdir()
    (root / "HGG").symlink_to(store / "HGG")
    (store / "HGG" / "loop").symlink_to(store)
    assert [subject.id for subject in find_subjects(root)] == ["brats_2013_pat0001_1"]


def test_a_root_that_is_the_patient_folder_and_other_alphabets_in_the_path(tmp_path):
    files = touch_case(tmp_path / "naïve 患者 1", "flat2015")
    (subject,) = find_subjects(files["T1"].parent)
    assert subject.id == "brats_2013_pat0001_1"


def test_an_empty_root_says_what_was_searched_and_an_absent_one_is_named(tmp_path):
    with pytest.raises(UserError) as error:
        find_subjects(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "BraTS20_Training_001_t1ce.nii.gz" in str(error.value)
    with pytest.raises(UserError, match="does not exist"):
        find_subjects(tmp_path / "absent")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scans_of_one_modality_need_nothing_else(tmp_path, layout):
    first, second = (case_files(tmp_path, layout, number) for number in (1, 2))
    touch(first["T2"], second["T2"], second["T1"])
    scans = find_scans(tmp_path, "T2")
    assert list(scans.values()) == [first["T2"], second["T2"]]
    assert list(find_scans(tmp_path, "T1").values()) == [second["T1"]]


def test_scans_of_one_number_in_two_grades_are_two_cases(tmp_path):
    files = [case_files(tmp_path, "brats2013", 1, grade)["T2"] for grade in ("HGG", "LGG")]
    touch(*files)
    assert find_scans(tmp_path, "T2") == dict(zip(("HG_0001", "LG_0001"), files))


def test_a_folder_without_the_modality_is_refused(tmp_path):
    touch(case_files(tmp_path, "brats2020")["T1"])
    with pytest.raises(UserError, match="None of the 1 cases .* has a T2 scan"):
        find_scans(tmp_path, "T2")


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


@pytest.mark.parametrize(
    ("case", "naming", "patient"),
    [
        ("BraTS-SSA-00002-000", "BraTS-SSA, -MEN, -GoAT", "BraTS-SSA-00002"),
        ("BraTS-MEN-00000-001", "BraTS-SSA, -MEN, -GoAT", "BraTS-MEN-00000"),
        ("BraTS-GoAT-00003", "BraTS-SSA, -MEN, -GoAT", "BraTS-GoAT-00003"),
        ("BraTS-MET-00004-000", "BraTS-MET", "BraTS-MET-00004"),
        ("BraTS-PED-00005-100", "BraTS-PED", "BraTS-PED-00005"),
        ("BraTS-GLI-00006-101", "BraTS-GLI", "BraTS-GLI-00006"),
        ("BraTS-GLI-00007", "BraTS-GLI", "BraTS-GLI-00007"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_every_family_since_2023_is_recognised(tmp_path, case, naming, patient, suffix):
    for kind in ("t1n", "t2w", "t1c", "t2f", "seg"):
        touch(tmp_path / case / f"{case}-{kind}{suffix}")
    (subject,) = find_subjects(tmp_path)
    assert (subject.id, subject.naming, patient_of(subject.id)) == (case, naming, patient)
    assert subject.images["T1c"].name == f"{case}-t1c{suffix}"


def test_folders_that_are_named_like_files_tell_case_and_modality(tmp_path):
    case = "BraTS2021_00001"
    for kind in ("t1", "t2", "t1ce", "flair", "seg"):
        inside = "00000057_final_seg.nii" if kind == "seg" else f"00000057_brain_{kind}.nii"
        touch(tmp_path / case / f"{case}_{kind}.nii" / inside)
    (subject,) = find_subjects(tmp_path)
    assert subject.id == case and subject.label.name == "00000057_final_seg.nii"
    assert subject.images["T1c"].name == "00000057_brain_t1ce.nii"


@pytest.mark.parametrize("name", ["W39_1998.09.19_Segm.nii", "x-seg.nii.gz", "a_segmentation.nii"])
def test_a_label_of_another_name_is_taken_if_it_is_the_only_one_and_said(tmp_path, name):
    files = touch_case(tmp_path, "brats2020")
    other = files["label"].rename(files["label"].with_name(name))
    touch(other.with_name(f"._{name}"), tmp_path / "seg.csv")
    (case,) = find_cases(tmp_path)
    assert case.subject().label == other
    assert case.notes == (f"the label is {name}, by its name the only one in the folder",)
    touch(other.with_name("another_seg.nii"))
    (case,) = find_cases(tmp_path)
    with pytest.raises(UserError, match="has no label file"):
        case.subject()
