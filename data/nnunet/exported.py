"""Slices of patients in a folder of experiments/export_nnunet.py, read back as they are.

They were cut and scaled when they were exported: neither is done again. All slices of a scan are a
case again, and patients are told apart as in the run that they are from. Synthetic cases are left
out: they have labels of several patients, so that no split keeps them from the held-out ones.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from data.brats.names import EXPORTED_SLICES
from data.brats.slices import SliceConfig, output_size
from data.contract import CaseSlices, DataSet, Place
from data.grids import SPACING, check_same_geometry
from data.nnunet.dataset import RawCase, most_slices, verify
from data.nnunet.description import FILE
from data.synthetic_sets.export import Grid
from data.synthetic_sets.nnunet import ENDING
from data.volumes import read_volume
from utils.errors import UserError
from utils.runs.files import read_json

# label values [N,H,W], images [N,H,W,M], file of a label -> uint8 [N,H,W], the data set's classes
LabelOf = Callable[[np.ndarray, np.ndarray, Path], np.ndarray]
_NAME = re.compile(r"(real_\d{4,})_(\d{3,})")


class Exported(NamedTuple):
    """What dataset.json of an export tells beside what nnU-Net reads.

    Attributes:
        slicing: how the slices were cut and scaled, by fields of `SliceConfig`.
        patients: number of the patient of each scan real_0000, real_0001, ...
    """

    slicing: Mapping[str, Any]
    patients: tuple[int, ...]


@dataclass(frozen=True)
class SliceCase:
    """The exported slices of one scan, by axial number in ascending order."""

    id: str
    slices: Mapping[int, RawCase]

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return tuple(path for one in self.slices.values() for path in one.paths)

    def problems(self) -> list[UserError]:
        """Returns an error for each file that is missing."""
        return [error for one in self.slices.values() for error in one.problems()]


def read_exported(folder: Path) -> Optional[Exported]:
    """Returns what makes a raw folder an export of slices, None for any other folder.

    Raises UserError if it is damaged.
    """
    path = Path(folder) / FILE
    content = read_json(path, dict) if path.is_file() else {}
    if EXPORTED_SLICES not in content:
        return None
    try:
        found = content[EXPORTED_SLICES]
        return Exported(dict(found["slicing"]), tuple(map(int, found["patients"])))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} must give slicing and patients of its {EXPORTED_SLICES}, found {error!r}; "
            "export anew"
        ) from error


def exported_dataset(dataset: DataSet, exported: Exported, label_of: LabelOf) -> DataSet:
    """Returns a data set whose cases are those of an export.

    Args:
        dataset: what channels and classes are.
        exported: of the folder.
        label_of: makes classes of the label's values.
    """
    channels = len(dataset.channels)
    read = partial(prepare, label_of=label_of)
    return replace(
        dataset,
        name=f"{dataset.name}_slices",
        patient_of=lambda case: f"patient {exported.patients[int(case.split('_')[1])]}",
        find=partial(find, exported=exported, channels=channels),
        phantoms={},
        settle=lambda cases, config: config,
        prepare=read,
        verify=partial(verify, prepare=read),
        verify_script="",
    )


def find(folder: Path, config: SliceConfig, exported: Exported, channels: int) -> list[SliceCase]:
    """Returns the scans of training patients in an export.

    Raises UserError if there are none, or if `config` cuts or scales slices in another way.
    """
    folder = Path(folder)
    check_slicing(folder, config, exported)
    scans: dict[str, dict[int, RawCase]] = defaultdict(dict)
    for label in sorted((folder / "labelsTr").glob(f"*{ENDING}")):
        case = label.name[: -len(ENDING)]
        match = _NAME.fullmatch(case)
        if match:
            files = (f"{case}_{k:04d}{ENDING}" for k in range(channels))
            images = tuple(folder / "imagesTr" / file for file in files)
            scans[match[1]][int(match[2])] = RawCase(case, images, label)
    names = [f"real_{number:04d}" for number in range(len(exported.patients))]
    if not names:
        raise UserError(f"{folder} is an export without slices of patients; export with --real")
    if sorted(scans) != names:
        raise UserError(
            f"{folder / 'labelsTr'} has slices of {len(scans)} scans of patients, but its {FILE} "
            f"tells of {len(names)}; export anew"
        )
    return [SliceCase(name, dict(sorted(scans[name].items()))) for name in names]


def check_slicing(folder: Path, config: SliceConfig, exported: Exported) -> None:
    """Raises UserError unless slices were cut and scaled in the way that a run asks for."""
    asked = json.loads(json.dumps(asdict(config)))
    other = {k: v for k, v in exported.slicing.items() if asked.get(k) != v}
    if other:
        words = (f"--slicing.{k}={json.dumps(v, separators=(',', ':'))}" for k, v in other.items())
        raise UserError(
            f"{folder} holds slices that were cut and scaled in another way than the run asks for; "
            f"give {' '.join(words)}"
        )


def prepare(case: SliceCase, config: SliceConfig, label_of: LabelOf) -> CaseSlices:
    """Returns the slices of a scan as they were exported.

    Raises UserError for a file that is missing or damaged, or is no slice of the run's size.
    """
    for problem in case.problems():
        raise problem
    stacks, place = [], Place()
    for axial, one in case.slices.items():
        volumes = {path: read_volume(path) for path in one.paths}
        check_same_geometry(volumes)
        label = volumes[one.label]
        if label.array.shape != (1, *output_size(config)):
            raise UserError(
                f"The slice {one.label} must have {(1, *output_size(config))} voxels, found "
                f"{label.array.shape}; export anew"
            )
        stacks.append(np.stack([volume.array[0] for volume in volumes.values()], axis=-1))
        axes = np.reshape(label.direction, (3, 3))
        offset = axes @ (*Grid.of(config).corner, SPACING * axial)
        place = Place(tuple((np.asarray(label.origin) - offset).tolist()), label.direction)
    stack, index = np.stack(stacks), np.array(list(case.slices), np.int64)
    images = stack[..., :-1].astype(np.float32)
    classes = label_of(stack[..., -1], images, one.label)
    return CaseSlices(images, classes, index, place, most_slices(config) - len(index))
