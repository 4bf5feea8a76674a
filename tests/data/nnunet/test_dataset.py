"""nnU-Net raw folders of any modalities: what is read, named and refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.brats.slices import SliceConfig
from data.nnunet.dataset import described_dataset
from data.nnunet.description import Description, read_description
from data.shards import prepare_shards
from data.volumes import read_volume, write_volume
from utils.errors import UserError

SHAPE = (6, 26, 20)
CONFIG = SliceConfig(slices=(1, 5), rows=(1, 25), columns=(2, 18), frame=SHAPE)
LIVER = Description(("CT", "PET"), ("background", "liver", "lesion", "vessel"), ".nii.gz")


def write_folder(root: Path, description: Description = LIVER, cases: int = 2) -> Path:
    """Cases with a body of 1 (and a lesion of 2, a vessel of 3), modality k brighter by k."""
    rng = np.random.default_rng(0)
    for number in range(cases):
        body = np.zeros(SHAPE, bool)
        body[:, 4:22, 4:16] = True
        for k in range(len(description.channels)):
            array = np.where(body, rng.integers(100, 200, SHAPE) + 100 * k, 0).astype(np.int16)
            write_volume(root / "imagesTr" / f"c_{number}_{k:04d}.nii.gz", array)
        label = np.zeros(SHAPE, np.uint8)
        label[2:4, 10:14, 6:10], label[3, 16:18, 10:12] = 2, 3
        label[label == 0] = body[label == 0]
        if "liver" not in description.labels:
            label = np.where(label > 1, label - 1, 0).astype(np.uint8)
        write_volume(root / "labelsTr" / f"c_{number}.nii.gz", label)
    description.write(root, cases)
    return root


def prepared(root: Path, tmp_path: Path):
    data = described_dataset(read_description(root))
    cases = data.find(root, CONFIG)
    return data, prepare_shards(data, cases, CONFIG, tmp_path / "cache", progress=False)


def test_a_description_is_read_back(tmp_path):
    LIVER.write(tmp_path, 3)
    assert read_description(tmp_path) == LIVER
    content = json.loads((tmp_path / "dataset.json").read_text())
    assert content["numTraining"] == 3 and content["channel_names"] == {"0": "CT", "1": "PET"}


def test_voxels_of_unknown_class_are_not_taken_for_a_lesion(tmp_path):
    content = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1, "ignore": 2}}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="has the label 'ignore', of voxels whose class is unknown"):
        read_description(tmp_path)


def test_volumes_of_any_size_count_their_slices_by_height(tmp_path):
    """Three more slices below and one above move the frame by one: the same crop is a slice on."""
    write_folder(tmp_path, cases=1)
    data = described_dataset(read_description(tmp_path))
    (case,) = data.find(tmp_path, CONFIG)
    before = data.prepare(case, CONFIG)
    for path in case.paths:
        array = read_volume(path).array
        more = np.pad(array, [(3, 1), (0, 0), (0, 0)])
        write_volume(path, more.astype(array.dtype), origin=(0, 0, -3.0))
    after = data.prepare(case, CONFIG)
    # Two of ten slices lie below the frame of six, of which 1 to 4 are cut, one fewer of the old.
    np.testing.assert_array_equal(before.index, [1, 2, 3, 4])
    np.testing.assert_array_equal(after.index, [1, 2, 3, 4])
    np.testing.assert_array_equal(after.label[1:], before.label[:-1])
    heights = [found.place.origin[2] + found.index for found in (before, after)]
    np.testing.assert_allclose(heights[1][1:], heights[0][:-1])


def test_voxels_of_another_size_are_resampled_on_request(tmp_path):
    """Each slice of 2 mm becomes two of 1 mm; without the option the case is refused."""
    write_folder(tmp_path, cases=1)
    data = described_dataset(read_description(tmp_path))
    (case,) = data.find(tmp_path, CONFIG)
    before = data.prepare(case, CONFIG)
    for path in case.paths:
        write_volume(path, read_volume(path).array, spacing=(1.0, 1.0, 2.0))
    with pytest.raises(UserError, match=r"1 x 1 x 2 mm; .* with --slicing.resample true"):
        data.prepare(case, CONFIG)
    config = replace(CONFIG, slices=(2, 10), frame=(12, *SHAPE[1:]), resample=True)
    after = data.prepare(case, config)
    assert len(after.images) == 2 * len(before.images)
    np.testing.assert_array_equal(after.label, np.repeat(before.label, 2, axis=0))
    # Slice 1 was 2 mm high with its centre at 2 mm: its lower half has its centre at 1.5 mm.
    assert after.place.origin[2] + after.index[0] == 1.5
    (verdict,) = data.verify([case], config, tmp_path / "cache", again=True, progress=False)
    assert not verdict.problems and verdict.lesions == 8  # the liver counts


def test_descriptions_of_the_first_nnunet_are_read(tmp_path):
    content = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "cyst"}}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert read_description(tmp_path) == Description(("CT",), ("background", "cyst"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"labels": {"background": 0, "a": 1}}, "must have channel_names and labels as nnU-Net"),
        (
            {"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 2}},
            r"the values 0, 1, 2 and so on, found CT and \[0, 2\]; correct it",
        ),
    ],
)
def test_descriptions_that_tell_too_little_are_refused(tmp_path, content, sentence):
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=sentence):
        read_description(tmp_path)
    with pytest.raises(UserError, match="has no dataset.json; give an nnU-Net raw folder"):
        read_description(tmp_path / "other")


@pytest.mark.parametrize("brain", [True, False])
def test_brain_is_a_class_whether_it_is_labelled_or_not(tmp_path, brain):
    names = ("background", "brain", "lesion", "vessel") if brain else ("background", "a", "b")
    folder = write_folder(tmp_path / "raw", Description(("CT", "PET"), names))
    if brain:  # value 1 as it is
        assert "liver" not in names
        for path in (folder / "labelsTr").iterdir():
            array = np.zeros(SHAPE, np.uint8)
            array[:, 4:22, 4:16] = 1
            array[2:4, 10:14, 6:10], array[3, 16:18, 10:12] = 2, 3
            write_volume(path, array)
    data, slices = prepared(folder, tmp_path)
    assert data.classes == (("background", "brain", *names[-2:]))
    assert data.regions == {"wt": (2, 3)}
    case = data.prepare(data.find(folder, CONFIG)[0], CONFIG)
    assert case.images.shape == (4, 24, 16, 2) and case.index.tolist() == [1, 2, 3, 4]
    expected = np.zeros((4, 24, 16), int)
    expected[:, 3:21, 2:14] = 1
    expected[1:3, 9:13, 4:8], expected[2, 15:17, 8:10] = 2, 3
    np.testing.assert_array_equal(case.label, expected)
    assert slices.lesions_per_subject == (2, 2)


def test_verdicts_name_what_is_wrong(tmp_path):
    folder = write_folder(tmp_path / "raw", Description(("CT", "PET"), ("background", "a", "b")))
    (folder / "imagesTr" / "c_0_0001.nii.gz").unlink()
    write_volume(folder / "labelsTr" / "c_1.nii.gz", np.full(SHAPE, 9, np.uint8))
    data = described_dataset(read_description(folder))
    cases = data.find(folder, CONFIG)
    first, second = data.verify(cases, CONFIG, tmp_path / "cache", again=True, progress=False)
    assert "c_0_0001.nii.gz does not exist; add it" in first.problems[0]
    assert "holds the value 9, which dataset.json does not name" in second.problems[0]
    assert second.files == (folder / "labelsTr" / "c_1.nii.gz",)
    assert [str(problem) for problem in cases[0].problems()] == list(first.problems)
    with pytest.raises(UserError, match="labelsTr has no file with the ending .nii.gz"):
        data.find(tmp_path / "empty", CONFIG)


def test_a_good_case_is_told_its_lesion_slices(tmp_path):
    folder = write_folder(tmp_path / "raw", Description(("CT", "PET"), ("background", "a", "b")))
    data = described_dataset(read_description(folder))
    verdicts = data.verify(data.find(folder, CONFIG), CONFIG, tmp_path)
    assert [(v.problems, v.lesions) for v in verdicts] == [((), 2), ((), 2)]


def test_regions_are_told_by_name(tmp_path):
    labels = {"background": 0, "wt": [1, 2], "tc": [2]}
    content = {"channel_names": {"0": "CT"}, "labels": labels}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"has regions \(wt, tc\) in the place of labels"):
        read_description(tmp_path)
