"""Exported slices that are read back: the same slices, patients and places, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.brats.dataset import BRATS
from data.brats.label_schemes import to_2015, values_in
from data.brats.names import EXPORTED_SLICES
from data.brats.slices import SliceConfig
from data.nnunet.exported import exported_dataset, read_exported
from data.shards import PreparedSlices, prepare_shards
from data.slice_sets import real_slices
from data.synthetic_sets.export import chosen_samples, real_cases, synthetic_cases
from data.synthetic_sets.nnunet import write_nnunet
from data.volumes import write_volume
from tests.data.sets import write_set
from tests.data.trees import TINY, prepare, tiny_case, write_tree
from utils.errors import UserError
from utils.runs.files import read_json, write_json

SCHEME = "brats2023"
HALVED = replace(TINY, downsample=2, scaling="percentile", min_brain_pixels=3)


def export(
    folder: Path, prepared: PreparedSlices, slicing: SliceConfig = TINY, subjects=None
) -> Path:
    """Slices of training patients beside synthetic ones, as export_nnunet.py writes them."""
    directory = write_set(folder / "set", [True] * 2)
    cases = [
        *synthetic_cases(directory, chosen_samples(directory)),
        *real_cases(prepared, prepared.subject_ids if subjects is None else subjects),
    ]
    values = values_in(SCHEME, "--label-scheme")
    write_nnunet(folder / "out", cases, BRATS, slicing, values, False, "a note", {})
    return folder / "out"


def back(folder: Path, cache: Path, slicing: SliceConfig = TINY) -> PreparedSlices:
    data = exported_dataset(
        BRATS, read_exported(folder), lambda values, _, path: to_2015(values, SCHEME, path)
    )
    cases = data.find(folder, slicing)
    (verdict, *_) = data.verify(cases, slicing, cache)
    assert not verdict.problems and verdict.lesions is not None
    return prepare_shards(data, cases, slicing, cache, progress=False)


@pytest.mark.parametrize("slicing", [TINY, HALVED], ids=["whole", "halved"])
def test_slices_read_back_are_those_of_the_tree(tmp_path, slicing):
    """Bit by bit: prepared slices are 16-bit numbers, which float32 holds, and so does the file."""
    tree = write_tree(tmp_path / "tree", "nested2015", 3)
    prepared = prepare(tree, tmp_path / "cache", slicing)
    chosen = prepared.subject_ids[1:]
    folder = export(tmp_path, prepared, slicing, chosen)
    found = back(folder, tmp_path / "cache", slicing)
    assert found.subject_ids == ("real_0000", "real_0001")
    whole, again = real_slices(prepared, chosen), real_slices(found, found.subject_ids)
    np.testing.assert_array_equal(again.images, whole.images)
    np.testing.assert_array_equal(again.label, whole.label)
    np.testing.assert_array_equal(again.index, whole.index)
    np.testing.assert_array_equal(again.subjects, whole.subjects - 1)
    assert found.lesions_per_subject == prepared.lesions_per_subject[1:]


def test_slices_lie_where_they_lay(tmp_path):
    cosine, sine = np.cos(0.1), np.sin(0.1)
    direction = (cosine, -sine, 0, sine, cosine, 0, 0, 0, 1)
    tree = write_tree(tmp_path / "tree", "nested2015", 2)
    for path in sorted(tree.rglob("*.mha")):
        kind = path.name.split(".")[4].removeprefix("MR_")
        case = tiny_case(1 if "pat0001" in str(path) else 2)
        array = case.label if kind == "OT" else case.images[kind]
        write_volume(path, array, origin=(5, -239, 30), direction=direction)
    prepared = prepare(tree, tmp_path / "cache", HALVED)
    found = back(export(tmp_path, prepared, HALVED), tmp_path / "cache", HALVED)
    for one, other in zip(found.places, prepared.places):
        np.testing.assert_allclose(one.origin, other.origin, atol=1e-4)  # NIfTI's are float32
        np.testing.assert_allclose(one.direction, other.direction, atol=1e-6)


def test_scans_of_one_patient_stay_one_patient(tmp_path):
    prepared = prepare(write_tree(tmp_path / "tree", "nested2015", 3), tmp_path / "cache")
    names = ("BraTS-GLI-00007-000", "BraTS-GLI-00009-000", "BraTS-GLI-00007-001")
    folder = export(tmp_path, replace(prepared, subject_ids=names))
    assert read_exported(folder).patients == (0, 1, 0)
    data = exported_dataset(BRATS, read_exported(folder), None)
    patients = [data.patient_of(case.id) for case in data.find(folder, TINY)]
    assert patients[0] == patients[2] != patients[1]
    assert not any(name in (folder / "dataset.json").read_text() for name in names)


@pytest.fixture
def folder(tmp_path):
    prepared = prepare(write_tree(tmp_path / "tree", "nested2015", 2), tmp_path / "cache")
    return export(tmp_path, prepared)


def test_another_cut_is_refused_with_the_options_to_give(folder):
    data = exported_dataset(BRATS, read_exported(folder), None)
    other = replace(TINY, rows=(0, 8), scaling="percentile", label_scheme=SCHEME)
    with pytest.raises(UserError, match="another way .* give --slicing.rows=.2,10. --slicing.sc"):
        data.find(folder, other)


def test_files_that_are_not_those_of_the_export_are_refused(folder, tmp_path):
    def problems() -> str:
        data = exported_dataset(BRATS, read_exported(folder), lambda values, *_: values)
        (first, _) = data.verify(data.find(folder, TINY), TINY, tmp_path)
        return " ".join(first.problems)

    assert not problems()
    label = folder / "labelsTr" / "real_0000_002.nii.gz"
    image = folder / "imagesTr" / "real_0000_002_0001.nii.gz"
    kept = image.read_bytes()
    image.unlink()
    assert f"The volume {image} does not exist" in problems()
    write_volume(image, np.zeros((1, 8, 8), np.float32))
    assert "must share one grid" in problems()
    image.write_bytes(kept)
    for path in [label, *(folder / "imagesTr").glob("real_0000_002_*")]:
        write_volume(path, np.zeros((1, 6, 8), np.float32))
    assert "must have (1, 8, 8) voxels, found (1, 6, 8)" in problems()
    for path in (folder / "labelsTr").glob("real_0001_*"):
        path.unlink()
    with pytest.raises(UserError, match="has slices of 1 scans of patients, but .* tells of 2"):
        problems()


def test_a_folder_that_is_no_export_with_patients_is_known(folder, tmp_path):
    content = read_json(folder / "dataset.json")
    write_json(folder / "dataset.json", {**content, EXPORTED_SLICES: {"slicing": {}}})
    with pytest.raises(UserError, match="must give slicing and patients .*'patients'.; export an"):
        read_exported(folder)
    write_json(folder / "dataset.json", {k: v for k, v in content.items() if k != EXPORTED_SLICES})
    assert read_exported(folder) is None and read_exported(tmp_path) is None
    directory = write_set(tmp_path / "other", [True])
    cases = synthetic_cases(directory, chosen_samples(directory))
    write_nnunet(tmp_path / "alone", cases, BRATS, TINY, tuple(range(5)), False, "a note", {})
    data = exported_dataset(BRATS, read_exported(tmp_path / "alone"), None)
    with pytest.raises(UserError, match="alone is an export without slices of patients; export wi"):
        data.find(tmp_path / "alone", TINY)
