"""The raw data set of nnU-Net: files, labels or regions, numbers that it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from data.brats.dataset import BRATS
from data.brats.label_schemes import values_in
from data.brats.slices import SliceConfig
from data.synthetic_sets.export import (
    chosen_samples,
    label_sources,
    real_cases,
    synthetic_cases,
)
from data.synthetic_sets.nnunet import check_consecutive, label_entries, write_nnunet
from tests.data.sets import write_set
from tests.data.trees import TINY, prepare, write_tree
from utils.errors import UserError
from utils.runs.files import read_json

VALUES = tuple(range(5))


@pytest.fixture
def directory(tmp_path):
    return write_set(tmp_path / "synthetic", [True, True, False], noise=True)


def test_the_raw_data_set_of_nnunet(directory, tmp_path):
    cases, out = synthetic_cases(directory, chosen_samples(directory)), tmp_path / "out"
    write_nnunet(out, cases, BRATS, TINY, VALUES, False, "a note", {})
    dataset = read_json(out / "dataset.json")
    assert list(dataset["labels"].values()) == [0, 1, 2, 3, 4]  # 3 and 4 never occur
    assert dataset["channel_names"] == {"0": "T1", "1": "T2", "2": "T1c", "3": "Flair"}
    assert dataset["numTraining"] == 3 and dataset["file_ending"] == ".nii.gz"
    names = {path.name for path in (out / "imagesTr").iterdir()}
    expected = {f"synthetic_{n:06d}_{i:04d}.nii.gz" for n in range(3) for i in range(4)}
    assert names == expected and len(list((out / "labelsTr").iterdir())) == 3
    assert not (out / "imagesTs").exists()


def test_held_out_cases_are_no_training_cases(directory, tmp_path):
    prepared = prepare(write_tree(tmp_path / "tree", "nested2015", 3), tmp_path / "cache")
    train, test = prepared.subject_ids[:2], prepared.subject_ids[2:]
    sources = [(1, "nobody")] * 40 + label_sources(prepared, train)  # the samples' are 40, 41, 42
    cases = [
        *synthetic_cases(directory, chosen_samples(directory), sources),
        *real_cases(prepared, train),
        *real_cases(prepared, test, held_out=True),
    ]
    out = tmp_path / "out"
    write_nnunet(out, cases, BRATS, TINY, VALUES, False, "a note", {})
    assert read_json(out / "dataset.json")["numTraining"] == 3 + 8
    tests = {path.name for path in (out / "labelsTs").iterdir()}
    assert tests == {f"test_0000_{i:03d}.nii.gz" for i in range(1, 5)}
    assert len(list((out / "imagesTs").iterdir())) == 4 * 4
    folds = read_json(out / "splits_final.json")
    real = {i: [f"real_{i:04d}_{axial:03d}" for axial in range(1, 5)] for i in range(2)}
    synthetic = [f"synthetic_{i:06d}" for i in range(3)]  # all labels are of the first patient
    expected = {(tuple(real[0]), tuple(real[1])), (tuple(real[1]), (*real[0], *synthetic))}
    assert {(tuple(fold["val"]), tuple(fold["train"])) for fold in folds} == expected


def test_nnunet_takes_no_other_axis_for_the_one_across_slices(directory, tmp_path):
    """It takes the axis of the widest spacing, the first in (z, y, x) if several are as wide."""
    for downsample in (1, 2):
        slicing = SliceConfig(downsample=downsample)
        folder = tmp_path / str(downsample)
        cases = synthetic_cases(directory, chosen_samples(directory))
        write_nnunet(folder, cases, BRATS, slicing, VALUES, False, "a note", {})
        image = sitk.ReadImage(str(folder / "labelsTr" / "synthetic_000000.nii.gz"))
        assert image.GetSpacing()[:2] == (downsample, downsample)
        assert np.argmax(image.GetSpacing()[::-1]) == 0


@pytest.mark.parametrize(
    ("scheme", "regions", "order"),
    [
        ("brats2015", {"wt": [1, 2, 3, 4], "tc": [1, 3, 4], "et": 4}, [2, 1, 4]),
        ("brats2023", {"wt": [1, 2, 3], "tc": [1, 3], "et": 3}, [2, 1, 3]),
        ("brats2024ped", {"wt": [1, 2, 3, 4], "tc": [1, 2, 3], "et": 1}, [4, 2, 1]),
    ],
)
def test_regions_are_read_back_as_they_were_declared(scheme, regions, order):
    """nnU-Net writes the order's values over each other, each where it found its region."""
    values = values_in(scheme, "--label-scheme")
    entries = label_entries(BRATS, values, True)
    assert entries["labels"] == {"background": 0, **regions}
    assert list(entries["labels"]) == ["background", "wt", "tc", "et"]
    assert entries["regions_class_order"] == order
    truth = np.array(values)
    found = np.zeros_like(truth)
    for region, value in zip(regions.values(), order):
        found[np.isin(truth, region)] = value
    for region in regions.values():
        np.testing.assert_array_equal(np.isin(found, region), np.isin(truth, region))


def test_numbers_with_a_gap_are_refused():
    for scheme in ("brats2015", "brats2023", "brats2024", "brats2024ped"):
        check_consecutive(values_in(scheme, "--label-scheme"), "x")
    with pytest.raises(UserError, match="^x has the label values 0, 1, 2, 4, but nnU-Net needs"):
        check_consecutive(values_in("brats2020", "--label-scheme"), "x")
