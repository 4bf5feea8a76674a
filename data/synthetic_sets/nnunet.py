"""The raw data set layout of nnU-Net v2, with folds that are validated on real cases only.

    imagesTr/<case>_0000.nii.gz, _0001.nii.gz, ..   one slice each, in the order of the channels
    labelsTr/<case>.nii.gz                          numbers of classes
    dataset.json  splits_final.json                 the planner copies the latter where it is read

Source: nnU-Net v2, documentation/dataset_format.md and manual_data_splits.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from data.contract import DataSet
from data.synthetic_sets.export import Case, Grid, write_case
from utils.runs.files import write_json

ENDING = ".nii.gz"
FOLDS = 5


def write_nnunet(
    folder: Path, cases: Iterable[Case], dataset: DataSet, grid: Grid, description: str
) -> pd.DataFrame:
    """Writes cases of one slice as a raw data set; returns the manifest's rows.

    Labels that never occur are declared nevertheless: the numbers stay consecutive. A slice is as
    thick as its pixels are wide, or thicker: nnU-Net takes the axis of the widest spacing for the
    one across slices.
    """
    width, height, thickness = grid.spacing
    grid = grid._replace(spacing=(width, height, max(width, thickness)))
    rows, synthetic, real = [], [], {}
    for case in cases:
        images = [
            folder / "imagesTr" / f"{case.name}_{i:04d}{ENDING}"
            for i in range(len(dataset.channels))
        ]
        write_case(case, images, folder / "labelsTr" / f"{case.name}{ENDING}", grid)
        rows += [{"case": case.name, **row} for row in case.rows]
        if case.patient is None:
            synthetic.append(case.name)
        else:
            real.setdefault(case.patient, []).append(case.name)
    summary = {
        "channel_names": {str(i): name for i, name in enumerate(dataset.channels)},
        "labels": {name: value for value, name in enumerate(dataset.classes)},
        "numTraining": len(rows),
        "file_ending": ENDING,
        "overwrite_image_reader_writer": "SimpleITKIO",
        "description": description,
    }
    write_json(folder / "dataset.json", summary)
    write_json(folder / "splits_final.json", validation_folds(synthetic, real))
    return pd.DataFrame(rows)


def validation_folds(
    synthetic: Sequence[str], real: Mapping[str, Sequence[str]]
) -> list[dict[str, list[str]]]:
    """Returns the folds: every synthetic case is for training, real ones are validated by patient.

    With fewer than `FOLDS` patients there are as many folds as patients. Without real patients, the
    `FOLDS` folds have empty validation lists: otherwise nnU-Net would validate on synthetic cases.

    Args:
        synthetic: names of the synthetic cases.
        real: names of the real cases by patient.
    """
    patients = list(real)
    folds = []
    for i in range(min(FOLDS, len(patients)) or FOLDS):
        held = patients[i::FOLDS]
        learnt = [name for patient in patients if patient not in held for name in real[patient]]
        validated = [name for patient in held for name in real[patient]]
        folds.append({"train": sorted([*synthetic, *learnt]), "val": sorted(validated)})
    return folds
