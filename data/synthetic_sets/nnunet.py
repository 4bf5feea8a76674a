"""The raw data set layout of nnU-Net v2, with folds that are validated on real cases only.

    imagesTr/<case>_0000.nii.gz, _0001.nii.gz, ..   a slice or volume each, in the channels' order
    labelsTr/<case>.nii.gz                          numbers of classes
    imagesTs/..  labelsTs/..                        the same of held-out patients
    dataset.json  splits_final.json                 the planner copies the latter where it is read

Source: nnU-Net v2, documentation/dataset_format.md, manual_data_splits.md and
region_based_training.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from data.brats.names import EXPORTED_SLICES
from data.brats.slices import SliceConfig
from data.contract import Config, DataSet
from data.synthetic_sets.export import Case, Grid, value_names, write_case
from data.synthetic_sets.folds import Scan, validation_folds
from utils.errors import UserError
from utils.runs.files import write_json

ENDING = ".nii.gz"
SPLITS = "splits_final.json"
UNTOLD = ("label_scheme", "layout")  # of the slicing: the export has values and names of its own


def write_nnunet(
    folder: Path,
    cases: Iterable[Case],
    dataset: DataSet,
    slicing: Config,
    values: Sequence[int],
    regions: bool,
    description: str,
    grades: Mapping[int, str],
) -> pd.DataFrame:
    """Writes cases of one slice, or whole volumes, as a raw data set; returns the manifest's rows.

    A slice is as thick as its pixels are wide, or thicker: nnU-Net takes the axis of the widest
    spacing for the one across slices.

    Args:
        folder: an empty one.
        cases: synthetic ones, those of training patients and those of held-out patients.
        dataset: of the cases.
        slicing: how the slices or volumes were cut and scaled.
        values: the value that is written for each class.
        regions: declare regions instead of classes, see `label_entries`.
        description: text of dataset.json.
        grades: of training scans by number, where known.
    """
    grid, slices = Grid.of(slicing), dataset.rank == 2
    width, height, thickness = grid.spacing
    if slices:
        grid = grid._replace(spacing=(width, height, max(width, thickness)))
    rows, synthetic, real = [], {}, {}
    for case in cases:
        part = "Ts" if case.held_out else "Tr"
        images = [
            folder / f"images{part}" / f"{case.name}_{i:04d}{ENDING}"
            for i in range(len(dataset.channels))
        ]
        write_case(case, images, folder / f"labels{part}" / f"{case.name}{ENDING}", grid, values)
        rows += [{"case": case.name, **row} for row in case.rows]
        if not case.real:
            synthetic[case.name] = case.patients
        elif not case.held_out:
            number = case.rows[0]["patient"]
            scan = real.get(number, Scan(case.patients[0], (), 0, grades.get(number, "")))
            lesion = int((case.label >= dataset.first_lesion).sum()) + scan.lesion
            names = (*scan.cases, case.name)
            real[number] = scan._replace(cases=names, lesion=lesion)
    summary = {
        "channel_names": {str(i): name for i, name in enumerate(dataset.channels)},
        **label_entries(dataset, values, regions),
        "numTraining": len(synthetic) + sum(len(scan.cases) for scan in real.values()),
        "file_ending": ENDING,
        "overwrite_image_reader_writer": "SimpleITKIO",
        "description": description,
    }
    if slices:
        scans = [real[number] for number in sorted(real)]
        summary[EXPORTED_SLICES] = _slices_of_patients(slicing, scans)
    write_json(folder / "dataset.json", summary)
    write_json(folder / SPLITS, validation_folds(synthetic, list(real.values())))
    return pd.DataFrame(rows)


def _slices_of_patients(slicing: SliceConfig, scans: Sequence[Scan]) -> dict[str, Any]:
    """Returns how slices were cut, and which scans are of one patient, by numbers."""
    fields = {name: value for name, value in asdict(slicing).items() if name not in UNTOLD}
    numbers: dict[str, int] = {}
    patients = [numbers.setdefault(scan.patient, len(numbers)) for scan in scans]
    return {"slicing": fields, "patients": patients}


def label_entries(dataset: DataSet, values: Sequence[int], regions: bool) -> dict[str, Any]:
    """Returns the entries of dataset.json about labels.

    Labels that never occur are declared nevertheless: the numbers stay consecutive.

    Args:
        dataset: whose classes and regions they are.
        values: the value that is written for each class; those of `check_consecutive`.
        regions: declare the data set's regions, from the largest to the smallest, not its classes.
    """
    if not regions:
        return {"labels": {name: value for value, name in value_names(dataset, values).items()}}
    labels: dict[str, Any] = {dataset.classes[0]: values[0]}
    order, members = [], sorted(dataset.regions.items(), key=lambda item: -len(item[1]))
    for number, (name, classes) in enumerate(members):
        found = sorted({values[i] for i in classes})
        labels[name] = found if len(found) > 1 else found[0]
        # What is written where a region is found: a class of it that no smaller region has.
        smaller = {values[i] for _, others in members[number + 1 :] for i in others}
        order.append(next(value for value in found if value not in smaller))
    return {"labels": labels, "regions_class_order": order}


def check_consecutive(values: Sequence[int], option: str) -> None:
    """Raises UserError if `values` are not the numbers 0, 1, 2, .. that nnU-Net needs.

    `option` names what asks for them.
    """
    found = sorted(set(values))
    if found != list(range(len(found))):
        raise UserError(
            f"{option} has the label values {', '.join(map(str, found))}, but nnU-Net needs "
            "consecutive ones; give --label-scheme brats2023 or --format nifti or mha"
        )
