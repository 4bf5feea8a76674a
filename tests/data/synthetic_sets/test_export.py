"""Cases of an export: what is chosen, where it lies, how nnU-Net's folds are dealt."""

from __future__ import annotations

import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from data.brats.dataset import BRATS
from data.brats.slices import SliceConfig
from data.synthetic_sets.export import (
    Grid,
    as_volumes,
    chosen_samples,
    real_cases,
    synthetic_cases,
    write_plain,
)
from data.synthetic_sets.nnunet import validation_folds, write_nnunet
from data.volumes import write_volume
from tests.data.sets import write_set
from tests.data.trees import TINY, case_files, prepare, tiny_case, write_tree
from utils.errors import UserError
from utils.runs.files import read_json

GRID = Grid.of(TINY)


@pytest.fixture
def directory(tmp_path):
    """A synthetic set of three samples, of which the last was not selected."""
    return write_set(tmp_path / "synthetic", [True, True, False], noise=True)


@pytest.fixture
def prepared(tmp_path):
    return prepare(write_tree(tmp_path / "tree", "nested2015"), tmp_path / "cache")


def test_the_corner_is_the_centre_of_the_first_pixel():
    assert GRID == ((1, 1, 1), (1, 2))
    coarse = Grid.of(SliceConfig(rows=(34, 226), columns=(48, 192), downsample=2))
    assert coarse == ((2, 2, 1), (48.5, 34.5))  # between the voxels 48 and 49, 34 and 35


def test_samples_are_chosen_by_selection_and_list(directory, tmp_path):
    assert chosen_samples(directory)["sample"].tolist() == [0, 1, 2]
    assert chosen_samples(directory, selected=True)["sample"].tolist() == [0, 1]
    table = pd.read_csv(directory / "samples.csv")
    table.assign(more=1)[1:2].to_csv(tmp_path / "list.csv", index=False)
    chosen = chosen_samples(directory, tmp_path / "list.csv")
    assert chosen["sample"].tolist() == [0, 2]
    table[:0].to_csv(tmp_path / "none.csv", index=False)
    assert len(chosen_samples(directory, tmp_path / "none.csv")) == 3


def test_a_list_of_something_else_is_refused(directory, tmp_path):
    table = pd.read_csv(directory / "samples.csv")
    table.assign(dice=0.5)[:2].to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(UserError, match="lists 2 samples, of which 0 are in this"):
        chosen_samples(directory, tmp_path / "other.csv")
    table[["sample"]].to_csv(tmp_path / "short.csv", index=False)
    for name in ("short.csv", "missing.csv"):
        with pytest.raises(UserError, match="must be a list with the columns sample, file"):
            chosen_samples(directory, tmp_path / name)
    table.to_csv(tmp_path / "all.csv", index=False)
    with pytest.raises(UserError, match="None of the 3 samples"):
        chosen_samples(directory, tmp_path / "all.csv")
    with pytest.raises(UserError, match="not a finished synthetic set"):
        chosen_samples(tmp_path)


def test_files_hold_the_arrays_and_their_place(directory, prepared, tmp_path):
    cases = [
        *synthetic_cases(directory, chosen_samples(directory, selected=True)),
        *real_cases(prepared, prepared.subject_ids),
    ]
    rows = write_plain(tmp_path / "out", cases, BRATS, GRID, ".nii.gz")
    assert len(cases) == len(rows) == 2 + 2 * 4
    image = sitk.ReadImage(str(tmp_path / "out" / "images" / "synthetic_000001_T2.nii.gz"))
    with np.load(directory / "samples" / "synthetic_000001.npz") as arrays:
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[0], arrays["images"][..., 1])
    assert image.GetOrigin() == (1, 2, 0) and image.GetSpacing() == (1, 1, 1)
    header = nibabel.load(tmp_path / "out" / "labels" / "real_0001_003.nii.gz").header
    assert header["sform_code"] == header["qform_code"] == 1
    np.testing.assert_allclose(header.get_sform(), header.get_qform())
    label = sitk.ReadImage(str(tmp_path / "out" / "labels" / "real_0001_003.nii.gz"))
    assert label.GetPixelIDValue() == sitk.sitkUInt8 and label.GetOrigin() == (1, 2, 3)
    expected = tiny_case(2).label[3, 2:10, 1:9]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(label)[0], expected)
    row = rows[rows["case"] == "real_0001_003"].iloc[0]
    assert (row["kind"], row["patient"], row["slice"]) == ("real", 1, 3)
    assert "label_source" not in rows


def test_real_slices_lie_where_they_were_cut_from(tmp_path):
    """Also where the volumes are oblique, stored back to front and off the origin."""
    cosine, sine = np.cos(0.1), np.sin(0.1)
    direction = (-cosine, -sine, 0, -sine, cosine, 0, 0, 0, 1)
    files = case_files(tmp_path / "tree", "flat2015")
    case = tiny_case()
    arrays = {**case.images, "label": case.label}
    for kind, array in arrays.items():
        write_volume(files[kind], array, origin=(5, -239, 30), direction=direction)
    prepared = prepare(tmp_path / "tree", tmp_path / "cache")
    volumes = as_volumes(real_cases(prepared, prepared.subject_ids))
    write_plain(tmp_path, volumes, BRATS, GRID, ".nii.gz")
    whole = sitk.ReadImage(str(files["label"]))
    part = sitk.ReadImage(str(tmp_path / "labels" / "real_0000.nii.gz"))
    for index in np.ndindex(part.GetSize()):
        index = tuple(map(int, index))
        point = part.TransformIndexToPhysicalPoint(index)
        assert whole[whole.TransformPhysicalPointToIndex(point)] == part[index]
    assert sitk.GetArrayViewFromImage(part).any()


def test_volumes_stack_slices_in_place(directory, prepared, tmp_path):
    real = list(real_cases(prepared, prepared.subject_ids))
    del real[1]  # as if slice 2 of the first patient had no signal
    synthetic = synthetic_cases(directory, chosen_samples(directory))
    volumes = list(as_volumes([*synthetic, *real]))
    assert [v.name for v in volumes] == ["synthetic_0000", "real_0000", "real_0001"]
    assert [v.images.shape for v in volumes] == [(n, 8, 8, 4) for n in (3, 4, 4)]
    first = volumes[1]
    assert first.axial == 1 and not first.images[1].any() and not first.label[1].any()
    np.testing.assert_array_equal(first.images[2], real[1].images[0])
    assert [row["index"] for row in first.rows] == [0, 2, 3]
    write_plain(tmp_path, volumes, BRATS, GRID, ".mha")
    assert sitk.ReadImage(str(tmp_path / "labels" / "real_0000.mha")).GetSize() == (8, 8, 4)


def test_folds_validate_real_cases_by_patient():
    real = {f"p{i}": [f"real_{i}_{j}" for j in range(2)] for i in range(7)}
    folds = validation_folds(["s0", "s1"], real)
    assert len(folds) == 5
    assert sorted(name for fold in folds for name in fold["val"]) == sorted(sum(real.values(), []))
    for fold in folds:
        assert {"s0", "s1"} <= set(fold["train"]) and not set(fold["train"]) & set(fold["val"])
        patients = [{name.split("_")[1] for name in fold[part] if name[0] == "r"} for part in fold]
        assert not patients[0] & patients[1] and len(fold["train"]) + len(fold["val"]) == 16
    assert len(validation_folds(["s0"], {"a": ["r0"], "b": ["r1"]})) == 2
    assert validation_folds(["s0"], {"a": ["r0"]}) == [{"train": ["s0"], "val": ["r0"]}]
    assert validation_folds(["s0"], {}) == [{"train": ["s0"], "val": []}] * 5


def test_the_raw_data_set_of_nnunet(directory, tmp_path):
    cases = synthetic_cases(directory, chosen_samples(directory))
    write_nnunet(tmp_path, cases, BRATS, GRID, "a note")
    dataset = read_json(tmp_path / "dataset.json")
    assert list(dataset["labels"].values()) == [0, 1, 2, 3, 4]  # 3 and 4 never occur
    assert dataset["channel_names"] == {"0": "T1", "1": "T2", "2": "T1c", "3": "Flair"}
    assert dataset["numTraining"] == 3 and dataset["file_ending"] == ".nii.gz"
    names = {path.name for path in (tmp_path / "imagesTr").iterdir()}
    expected = {f"synthetic_{n:06d}_{i:04d}.nii.gz" for n in range(3) for i in range(4)}
    assert names == expected and len(list((tmp_path / "labelsTr").iterdir())) == 3


def test_nnunet_takes_no_other_axis_for_the_one_across_slices(directory, tmp_path):
    """It takes the axis of the widest spacing, the first in (z, y, x) if several are as wide."""
    for downsample in (1, 2):
        grid = Grid.of(SliceConfig(downsample=downsample))
        folder = tmp_path / str(downsample)
        cases = synthetic_cases(directory, chosen_samples(directory))
        write_nnunet(folder, cases, BRATS, grid, "a note")
        image = sitk.ReadImage(str(folder / "labelsTr" / "synthetic_000000.nii.gz"))
        assert image.GetSpacing()[:2] == (downsample, downsample)
        assert np.argmax(image.GetSpacing()[::-1]) == 0
