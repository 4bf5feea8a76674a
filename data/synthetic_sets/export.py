"""Export of slices or volumes for other programs: the cases, their positions, and the files.

Real slices lie where they were cut from: they overlay their volumes in any viewer. Nothing but
numbers goes into names, tables and headers: a real case is known by its position in the list
`train` of splits.json, a held-out one by that in `test`, never by its id.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import pandas as pd

from data.brats.slices import SliceConfig, pixel_size
from data.contract import Config, DataSet, Place
from data.grids import SPACING
from data.pipeline import evaluation_batches, lesion_subjects, slice_subjects
from data.shards import PreparedSlices
from data.synthetic_sets.files import DONOR, PLACE, read_rows, read_synthetic_set
from data.volumes import write_volume
from utils.errors import UserError

SUFFIXES = {"nifti": ".nii.gz", "mha": ".mha"}
STACK = 50  # synthetic slices per volume
BATCH = 64
IDENTITY = ("sample", "file", "seed", "score")  # by which samples of different sets are told apart


class Target(NamedTuple):
    """What labels become in an export.

    Attributes:
        dataset: whose channels and classes are written.
        classes: number among `dataset.classes` of each class of the run.
        values: value that is written for each of `dataset.classes`.
        scheme: name of these values, "" for the data set's own.
    """

    dataset: DataSet
    classes: tuple[int, ...]
    values: tuple[int, ...]
    scheme: str = ""

    @property
    def unit(self) -> str:
        """What the cases are: slices or volumes."""
        return "volumes" if self.dataset.rank == 3 else "slices"

    def of(self, case: Case) -> Case:
        """Returns a case of the run with the label's classes of `dataset`."""
        return replace(case, label=np.array(self.classes, np.uint8)[case.label])


class Grid(NamedTuple):
    """Where prepared slices lie among the voxels of 1 mm that they were cut from, in mm.

    A prepared volume lies where its `Case.place` is.

    Attributes:
        spacing: size of a pixel along x and y, and distance between slices.
        corner: from the centre of the volume's first voxel to that of the first pixel, along its
            axes x and y; along z it is the number of the axial slice.
    """

    spacing: tuple[float, float, float]
    corner: tuple[float, float]

    @classmethod
    def of(cls, config: Config) -> Grid:
        """Returns the grid of slices cut by a `SliceConfig`, or of volumes with a `spacing`."""
        if not isinstance(config, SliceConfig):
            return cls(config.spacing[::-1], (0.0, 0.0))
        pixel = pixel_size(config)
        inset = (pixel - SPACING) / 2  # a pixel of several voxels has its centre between them
        corner = (SPACING * config.columns[0] + inset, SPACING * config.rows[0] + inset)
        return cls((pixel, pixel, SPACING), corner)

    def origin(self, case: Case) -> tuple[float, ...]:
        """Returns where the centre of a case's first pixel lies, (x, y, z)."""
        offset = (*self.corner, SPACING * case.axial)
        axes = np.reshape(case.place.direction, (3, 3))
        return tuple(case.place.origin + axes @ offset)


@dataclass(frozen=True)
class Case:
    """One case of an export.

    Attributes:
        name: beginning of the file names.
        images: float32 [D,H,W,M] in [0,1], order `DataSet.channels`.
        label: uint8 [D,H,W], numbers of `DataSet.classes`.
        rows: row of the manifest for each of the D slices, one of a case of a data set of volumes.
        axial: axial number of the first slice; 0 for a synthetic case, which has no position in z,
            and for a volume.
        patients: names of patients, for folds: whom it shows, or of a synthetic case whose labels
            it has, () where that is not known.
        real: whether it shows a patient.
        held_out: whether it is of a held-out patient, for the test.
        place: position of the volume that the slices were cut from; of synthetic slices the
            origin; of a volume its own, of a synthetic one that of the label's patient.
    """

    name: str
    images: np.ndarray
    label: np.ndarray
    rows: tuple[Mapping[str, Any], ...]
    axial: int = 0
    patients: tuple[str, ...] = ()
    real: bool = False
    held_out: bool = False
    place: Place = Place()


def chosen_samples(
    directory: Path, exclude: Optional[Path] = None, selected: bool = False
) -> pd.DataFrame:
    """Returns the rows of a synthetic set's samples.csv that are to be exported.

    Args:
        directory: folder of the set.
        exclude: list of samples to leave out, such as an audit's quarantine.csv.
        selected: only samples that the lesion filter kept.

    Raises:
        UserError: the set is not finished, the list is of another set, or no sample is left.
    """
    table = read_rows(directory)
    keep = table["selected"].to_numpy(bool) if selected else np.full(len(table), True)
    if exclude is not None:
        keep &= ~table["sample"].isin(_listed(exclude, table)).to_numpy()
    if not keep.any():
        raise UserError(
            f"None of the {len(table)} samples in {directory} is left to export; leave out "
            "--selected or shorten the list of --exclude."
        )
    return table[keep]


def _listed(path: Path, table: pd.DataFrame) -> Collection[int]:
    """Returns the samples that a list names; UserError unless its rows are those of `table`."""
    try:
        listed = pd.read_csv(path, compression=None)  # no archive is opened
        kinds = dict(zip(IDENTITY, (int, str, str, float)))  # an empty list has none of its own
        wanted = listed[list(IDENTITY)].astype(kinds)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"--exclude {path} must be a list with the columns {', '.join(IDENTITY)}, such as "
            "quarantine.csv of experiments/audit_privacy.py; give another file."
        ) from error
    both = wanted.merge(table, on=list(IDENTITY[:3]))
    # Reading and writing text may change a Dice's last digit.
    found = np.isclose(both["score_x"], both["score_y"], equal_nan=True).sum()
    if found != len(wanted):
        raise UserError(
            f"--exclude {path} lists {len(wanted)} samples, of which {found} are in this "
            "synthetic set; give the list of an audit of this run."
        )
    return set(wanted["sample"])


def label_sources(
    prepared: PreparedSlices, subject_ids: Sequence[str], every_slice: bool = False
) -> list[tuple[int, str]]:
    """Returns whose label each value of `label_source` in samples.csv means.

    Args:
        prepared: the slices whose labels the set was drawn with.
        subject_ids: the training subjects, in the order of splits.json.
        every_slice: the values count all slices, not only those with a lesion; so do the values of
            `donor_source`, which only such sets have.

    Returns:
        (position in `subject_ids`, patient's name) by number of the label.
    """
    positions = {subject: i for i, subject in enumerate(subject_ids)}
    patient_of = prepared.dataset.patient_of
    subjects = slice_subjects if every_slice else lesion_subjects
    return [(positions[s], patient_of(s)) for s in subjects(prepared, subject_ids)]


def synthetic_cases(
    directory: Path, samples: pd.DataFrame, sources: Optional[Sequence[tuple[int, str]]] = None
) -> Iterator[Case]:
    """Yields the samples that rows of samples.csv name, one case per slice or volume.

    Args:
        directory: folder of the set.
        samples: the rows.
        sources: see `label_sources`; None = the cases do not tell whose label they have.

    Raises:
        UserError: a sample is damaged, or its label comes from none of `sources`.
    """
    rows = {row["sample"]: row for row in samples.to_dict("records")}
    for number, arrays in enumerate(read_synthetic_set(directory)):
        if number not in rows:
            continue
        row = {"kind": "synthetic", **{k: rows[number][k] for k in ("sample", "score")}}
        row["selected"] = bool(rows[number]["selected"])
        patients = []
        for name, source in () if sources is None else _sources(rows[number]):
            if not 0 <= source < len(sources):
                raise UserError(
                    f"Sample {number} of {directory} has lesion label {source} of the training "
                    f"slices, which have {len(sources)}; give --data the data that it was made with"
                )
            row[name], patient = sources[source]
            patients.append(patient)
        images, label, place = arrays["images"], arrays["label"], Place()
        if label.ndim == 3:
            place = place_of(rows[number])
        else:
            images, label = images[None], label[None]
        names = tuple(patients)
        yield Case(f"synthetic_{number:06d}", images, label, (row,), patients=names, place=place)


def place_of(row: Mapping[str, Any]) -> Place:
    """Returns where the volume of a row of samples.csv lies; UserError if the row is damaged."""
    try:
        origin, direction = (json.loads(row[name]) for name in PLACE)
        if np.shape(origin) != (3,) or np.shape(direction) != (9,):
            raise ValueError("not three and nine numbers")
        return Place(tuple(map(float, origin)), tuple(map(float, direction)))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"Sample {row['sample']} of samples.csv must have three numbers as {PLACE[0]} and nine "
            f"as {PLACE[1]}, found {[row.get(name) for name in PLACE]}; draw the set again."
        ) from error


def _sources(row: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Returns the numbers of the labels in a sample, by the manifest's column for their patient."""
    donor = row.get(DONOR, -1)
    others = [("donor_patient", donor)] if donor >= 0 else []
    return [("label_patient", row["label_source"]), *others]


def real_cases(
    prepared: PreparedSlices,
    subject_ids: Sequence[str],
    held_out: bool = False,
    channels: Optional[Sequence[str]] = None,
) -> Iterator[Case]:
    """Yields the prepared slices (or volumes) of some subjects, one case each.

    Args:
        prepared: the slices.
        subject_ids: the subjects.
        held_out: whether they are for the test.
        channels: names of those that are exported; default: all.
    """
    dataset, places = prepared.dataset, dict(zip(prepared.subject_ids, prepared.places))
    columns = list(map(dataset.channels.index, channels or dataset.channels))
    kind = "test" if held_out else "real"
    for number, subject in enumerate(subject_ids):
        for batch in evaluation_batches(prepared, [subject], BATCH):
            arrays = (batch[key].numpy() for key in ("images", "label", "source"))
            for image, label, (_, axial) in zip(*arrays):
                image, label = image[..., columns], label[..., 0].astype(np.uint8)
                if dataset.rank == 2:
                    image, label = image[None], label[None]
                yield Case(
                    f"{kind}_{number:04d}_{axial:03d}",
                    image,
                    label,
                    ({"kind": kind, "patient": number, "slice": int(axial)},),
                    int(axial),
                    (dataset.patient_of(subject),),
                    True,
                    held_out,
                    places[subject],
                )


def as_volumes(cases: Iterable[Case]) -> Iterator[Case]:
    """Stacks single slices to volumes: a real subject's by position, synthetic slices in order.

    Slices of a subject that the preparation left out are 0. A stack of synthetic slices has labels
    of several patients: only its rows of the manifest tell whose.
    """

    def group(numbered: tuple[int, Case]) -> tuple[str, int]:
        number, case = numbered
        row = case.rows[0]
        return row["kind"], row["patient"] if case.real else number // STACK

    for (kind, number), members in groupby(enumerate(cases), group):
        yield _stacked(f"{kind}_{number:04d}", [case for _, case in members])


def _stacked(name: str, cases: Sequence[Case]) -> Case:
    first = cases[0]
    places = [case.axial - first.axial if first.real else i for i, case in enumerate(cases)]
    images = np.zeros((places[-1] + 1, *first.images.shape[1:]), np.float32)
    label = np.zeros(images.shape[:3], np.uint8)
    for place, case in zip(places, cases):
        images[place], label[place] = case.images[0], case.label[0]
    rows = tuple({**case.rows[0], "index": place} for place, case in zip(places, cases))
    patients = first.patients if first.real else ()
    return replace(first, name=name, images=images, label=label, rows=rows, patients=patients)


def write_case(
    case: Case, images: Sequence[Path], label: Path, grid: Grid, values: Sequence[int]
) -> None:
    """Writes a case: one float32 volume per modality, and its label in uint8.

    Args:
        case: the case.
        images: a file per modality; the suffix chooses the format.
        label: the label's file.
        grid: where the slices lie.
        values: the value that is written for each class, 0..255.

    Raises:
        UserError: a file cannot be written.
    """
    geometry = (grid.spacing, grid.origin(case), case.place.direction)
    for i, path in enumerate(images):
        write_volume(path, np.ascontiguousarray(case.images[..., i]), *geometry)
    write_volume(label, np.asarray(values, np.uint8)[case.label], *geometry)


def write_plain(
    folder: Path,
    cases: Iterable[Case],
    dataset: DataSet,
    grid: Grid,
    suffix: str,
    values: Sequence[int],
) -> pd.DataFrame:
    """Writes images/<case>_<modality> and labels/<case>; returns the manifest's rows.

    Cases of held-out patients get both folders in one of their own, test/.
    """
    rows = []
    for case in cases:
        place = folder / "test" if case.held_out else folder
        images = [place / "images" / f"{case.name}_{name}{suffix}" for name in dataset.channels]
        write_case(case, images, place / "labels" / f"{case.name}{suffix}", grid, values)
        rows += [{"case": case.name, **row} for row in case.rows]
    return pd.DataFrame(rows)


def value_names(dataset: DataSet, values: Sequence[int]) -> dict[int, str]:
    """Returns the class of each value that is written, or the classes that share it."""
    names: dict[int, str] = {}
    for name, value in zip(dataset.classes, values):
        names[value] = f"{names[value]} and {name}" if value in names else name
    return dict(sorted(names.items()))
