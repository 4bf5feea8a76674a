"""Data sets that a dataset.json describes: nnU-Net's raw folders, the Decathlon's."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from data.brats.names import MODALITIES
from data.brats.subjects import find_cases
from data.volumes import write_volume
from tests.data.brats.test_layouts import assert_read, foreign, volumes
from utils.errors import UserError

AFFINE = np.diag((-1.0, -1.0, 1.0, 1.0))


def decathlon(root: Path) -> Path:
    """Two cases as in Task01_BrainTumour: channels FLAIR, T1w, t1gd, T2w; labels in its order."""
    for number in (1, 2):
        v = volumes(number)
        images = np.stack([v[k].T for k in ("Flair", "T1", "T1c", "T2")], axis=-1)
        label = np.array([0, 2, 1, 0, 3], np.uint8)[v["label"].T]
        for name, array in (("imagesTr", images), ("labelsTr", label)):
            (root / name).mkdir(parents=True, exist_ok=True)
            image = nibabel.Nifti1Image(array, AFFINE)
            nibabel.save(image, root / name / f"BRATS_{number:03d}.nii.gz")
    (root / "imagesTr" / "._BRATS_001.nii.gz").write_bytes(b"macOS")
    channels = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    names = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
    (root / "dataset.json").write_text(json.dumps({"modality": channels, "labels": names}))
    return root


def test_the_decathlon_is_read(tmp_path):
    root = decathlon(tmp_path / "data" / "Task01_BrainTumour")
    cases = find_cases(tmp_path / "data")
    assert [case.id for case in cases] == ["BRATS_001", "BRATS_002"]
    assert cases[0].paths == (
        root / "imagesTr" / "BRATS_001.nii.gz",
        root / "labelsTr" / "BRATS_001.nii.gz",
    )
    assert_read(cases, tmp_path)


REGIONS = {"whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]}
LABELS = {  # of a dataset.json: what stands for necrosis, oedema, enhancing
    "classes": ({"background": 0, "necrosis": 1, "edema": 2, "enhancing": 3}, (1, 2, 3)),
    "regions": ({"background": 0, **REGIONS}, (2, 1, 3)),
    "short": ({"background": 0, "NCR": 1, "ED": 2, "ET": 4}, (1, 2, 4)),
    "2024": ({"background": 0, "NETC": 1, "SNFH": 2, "ET": 3, "RC": 4}, (1, 2, 3)),
}


def nnunet(root: Path, labels: dict, values: tuple[int, int, int], channels=MODALITIES) -> Path:
    lookup = np.zeros(5, np.uint8)
    lookup[[1, 2, 4]] = values
    for number in (1, 2):
        v = volumes(number)
        for i, kind in enumerate(MODALITIES):
            write_volume(root / "imagesTr" / f"a_{number}_{i:04d}.nii.gz", v[kind])
        write_volume(root / "labelsTr" / f"a_{number}.nii.gz", lookup[v["label"]])
    content = {"channel_names": dict(enumerate(channels)), "labels": labels}
    (root / "dataset.json").write_text(json.dumps({**content, "file_ending": ".nii.gz"}))
    return root


@pytest.mark.parametrize("kind", LABELS)
def test_a_raw_folder_of_nnunet_is_read(tmp_path, kind):
    cases = find_cases(nnunet(tmp_path / "Dataset137_BraTS2021", *LABELS[kind]))
    assert [case.id for case in cases] == ["a_1", "a_2"]
    assert_read(cases, tmp_path)


def test_the_older_description_with_a_file_per_modality_is_read_too(tmp_path):
    root = nnunet(tmp_path / "Task500", *LABELS["classes"])
    content = json.loads((root / "dataset.json").read_text())
    content = {"modality": content["channel_names"], "labels": dict(enumerate(content["labels"]))}
    (root / "dataset.json").write_text(json.dumps(content))
    assert_read(find_cases(root), tmp_path)


@pytest.mark.parametrize(
    ("labels", "channels", "sentence"),
    [
        ({"background": 0, "tumour": 1}, MODALITIES, "must name the labels .*, found tumour; corr"),
        ({"background": 0, "whole tumor": 1}, MODALITIES, "found whole tumor; correct the names"),
        ({"background": 0}, ("T1", "T2", "T1c", "ADC"), "T1, T2, T1c, ADC, without Flair; correct"),
    ],
)
def test_a_description_with_unknown_names_is_told_and_the_advice_mends_it(
    tmp_path, labels, channels, sentence
):
    root = nnunet(tmp_path / "data", labels, (1, 2, 3), channels)
    with pytest.raises(UserError, match=sentence):
        find_cases(root)
    nnunet(root, *LABELS["classes"])
    assert len(find_cases(root)) == 2


def test_another_dataset_json_is_passed_by(tmp_path):
    foreign(tmp_path)
    for content in ("{", "[]", '{"name": "a"}', '{"modality": "MR", "labels": {}}'):
        (tmp_path / "dataset.json").write_text(content)
        with pytest.raises(UserError, match="No BRATS case was found"):
            find_cases(tmp_path)
