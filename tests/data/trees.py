"""Writes the same tiny cases as any of the BRATS trees that the reader accepts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.brats.dataset import BRATS
from data.brats.names import MODALITIES
from data.brats.slices import SliceConfig
from data.brats.subjects import Subject, find_cases
from data.shards import PreparedSlices, prepare_shards
from data.volumes import write_volume

LAYOUTS = ("nested2015", "flat2015", "brats2013", "brats2020", "brats2023")
SHAPE = (6, 12, 10)
TINY = SliceConfig(slices=(1, 5), rows=(2, 10), columns=(1, 9), frame=SHAPE)


@dataclass(frozen=True)
class Case:
    """`images` [D,H,W] int16 per modality and `label` [D,H,W] uint8 with the 2015 meaning."""

    images: dict[str, np.ndarray]
    label: np.ndarray


def tiny_case(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> Case:
    """Draws a case whose label holds only the values all releases share: 0, 1, 2, 4."""
    rng = np.random.default_rng(seed)
    images = {name: rng.integers(0, 1000, shape).astype(np.int16) for name in MODALITIES}
    return Case(images, rng.choice(np.array([0, 1, 2, 4], np.uint8), shape))


def case_files(root: Path, layout: str, number: int = 1, grade: str = "HGG") -> dict[str, Path]:
    """Returns where a layout keeps each modality and the "label" of a case."""
    if layout == "brats2020":
        name = f"BraTS20_Training_{number:03d}"
        kinds = {"T1": "t1", "T2": "t2", "T1c": "t1ce", "Flair": "flair", "label": "seg"}
        return {kind: root / name / f"{name}_{end}.nii.gz" for kind, end in kinds.items()}
    if layout == "brats2023":
        name = f"BraTS-GLI-{number:05d}-000"
        kinds = {"T1": "t1n", "T2": "t2w", "T1c": "t1c", "Flair": "t2f", "label": "seg"}
        return {kind: root / name / f"{name}-{end}.nii.gz" for kind, end in kinds.items()}
    names = {name: f"VSD.Brain.XX.O.MR_{name}" for name in MODALITIES}
    if layout == "brats2013":
        names["label"] = "VSD.Brain_3more.XX.XX.OT"
        patient = root / grade.replace("GG", "G") / f"{number:04d}"
    else:
        names["label"] = "VSD.Brain_3more.XX.O.OT"
        names = {
            kind: f"{name}.{54000 + 10 * number + i}"
            for i, (kind, name) in enumerate(names.items())
        }
        patient = root / grade / f"brats_2013_pat{number:04d}_1"
    wrapped = layout != "flat2015"
    return {
        kind: (patient / name if wrapped else patient) / f"{name}.mha"
        for kind, name in names.items()
    }


def write_case(files: dict[str, Path], case: Case) -> None:
    """Writes a case to the files of `case_files`, with the label values of their release."""
    label = case.label
    if files["label"].name.startswith("BraTS-GLI"):
        label = np.where(label == 4, 3, label).astype(np.uint8)
    for name, array in (*case.images.items(), ("label", label)):
        write_volume(files[name], array)


def write_tree(
    root: Path, layout: str, count: int = 2, shape: tuple[int, int, int] = SHAPE
) -> Path:
    """Writes `tiny_case(1)` ... `tiny_case(count)` in one layout and returns `root`."""
    for number in range(1, count + 1):
        write_case(case_files(root, layout, number), tiny_case(number, shape))
    return root


def find_subjects(root: Path) -> list[Subject]:
    """Returns the cases below `root`, which must be complete."""
    return [case.subject() for case in find_cases(root)]


def prepare(root: Path, cache: Path, config: SliceConfig = TINY) -> PreparedSlices:
    """Returns the prepared slices of all cases below `root`."""
    return prepare_shards(BRATS, find_cases(root, config.layout), config, cache, progress=False)
