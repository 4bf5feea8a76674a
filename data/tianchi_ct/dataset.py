"""Tianchi 2019 lung CT: three neighbouring slices as one image, with boxes for the lesions.

`chestCT_round1/train_part1/<series>.mhd` with `.raw`, and `chestCT_round1_annotation.csv`, which
has a cuboid in mm for every lesion. Boxes are those of the middle slice. Lesions of four kinds are
read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.contract import BOX_ROW, BOXES, CaseSlices, DataSet, Phantom, Place
from data.grids import Volume
from data.integrity import voxel_file
from data.lung_ct.dataset import CtConfig, check_units, scaled
from data.pictures import STRETCH, squared
from data.tianchi_ct.phantom import cached_phantom
from data.verdicts import Verdict, verdict_of_each
from data.volumes import read_volume
from utils.errors import UserError
from utils.runs.reading import read_table

ANNOTATION = "chestCT_round1_annotation.csv"
CLASSES = ("background", "nodule", "cord", "artery", "lymph node")  # the latter two calcified
CODES = {1: 1, 5: 2, 31: 3, 32: 4}  # of the annotation -> number of the class
MOST_BOXES = 16
MOST_SLICES = 64  # with lesions, of a series; the data set has a dozen on average
LEAST_SIDE = 3 / 512  # of width and height; smaller boxes are left out
_CENTRES, _EXTENTS = ("coordX", "coordY", "coordZ"), ("diameterX", "diameterY", "diameterZ")
_COLUMNS = {"seriesuid": str, **dict.fromkeys((*_CENTRES, *_EXTENTS), float), "label": int}


class Cuboid(NamedTuple):
    """A lesion: class number, and centre and extent along x, y and z of the scanner, mm."""

    kind: int
    centre: tuple[float, ...]
    extent: tuple[float, ...]


@dataclass(frozen=True)
class Series:
    """One scan and its lesions.

    Attributes:
        id: name of the series.
        path: its `.mhd` file.
        lesions: of the kinds in `CODES`.
        annotation: the file that they come from.
        notes: what is left out of that file.
    """

    id: str
    path: Path
    lesions: tuple[Cuboid, ...]
    annotation: Path = field(compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that its slices depend on."""
        try:
            voxels = voxel_file(self.path)
        except (OSError, UserError):  # which `prepare` tells
            voxels = self.path
        return (self.path, *([voxels] if voxels != self.path else []), self.annotation)

    def problems(self) -> list[UserError]:
        """Returns an error for a series without a lesion."""
        if self.lesions:
            return []
        kinds = ", ".join(map(str, CODES))
        return [
            UserError(
                f"The series {self.path} has no lesion of the kinds {kinds} in {self.annotation}, "
                "where its name must stand as seriesuid; correct that or remove the series."
            )
        ]


def find(folder: Path, config: CtConfig) -> list[Series]:
    """Returns the series of a folder, also those without lesions, whose `problems` tell.

    Raises UserError for a folder without annotation or series or with several annotations, for a
    series that is there twice, and for an annotation that is damaged.
    """
    folder = Path(folder)
    annotations, files = (sorted(folder.rglob(name)) for name in (ANNOTATION, "*.mhd"))
    if len(annotations) > 1:
        raise UserError(
            f"{folder} must hold {ANNOTATION} once, found {annotations[0]} and {annotations[1]}; "
            "remove one of them."
        )
    annotation = annotations[0] if annotations else None
    if annotation is None or not files:
        raise UserError(
            f"{folder} must hold {ANNOTATION} and series such as "
            "chestCT_round1/train_part1/318818.mhd with .raw, found "
            f"{'no annotation' if annotation is None else 'no .mhd file'}; give the folder that "
            "holds both."
        )
    lesions, found = read_lesions(annotation), {}
    for path in files:
        if path.stem in found:
            raise UserError(f"{path} and {found[path.stem]} are one series; remove one of them.")
        found[path.stem] = path
    notes = _left_out(annotation, found)
    return [
        Series(name, path, lesions.get(name, ()), annotation, notes)
        for name, path in sorted(found.items())
    ]


def _left_out(annotation: Path, found: Container[str]) -> tuple[str, ...]:
    """Returns notes on rows of other kinds than `CODES`, and of series that are not `found`."""
    table = read_table(annotation, _COLUMNS)
    other = ~table["label"].isin(list(CODES))
    absent = sorted({name for name in table["seriesuid"] if name not in found})
    notes = []
    if other.any():
        codes = ", ".join(map(str, sorted(table["label"][other].unique())))
        notes.append(f"{other.sum()} rows of {annotation.name} have other codes ({codes})")
    if absent:
        names = f"{', '.join(absent[:3])}{', ...' * (len(absent) > 3)}"
        notes.append(f"{annotation.name} has {len(absent)} series without a file ({names})")
    return tuple(notes)


def read_lesions(path: Path) -> Mapping[str, tuple[Cuboid, ...]]:
    """Returns the lesions of each series; those of other kinds than `CODES` are left out.

    Raises UserError if the file is damaged, a row has no series, or a centre or an extent is not a
    number above 0.
    """
    table = read_table(path, _COLUMNS)
    blank = np.flatnonzero(table["seriesuid"].isin(["", "nan"]))
    if len(blank):
        raise UserError(
            f"Row {blank[0] + 1} of {path} has no seriesuid; give the name of its series or remove "
            "the row."
        )
    table = table[table["label"].isin(list(CODES))]
    numbers = table[[*_CENTRES, *_EXTENTS]].to_numpy()
    if not np.isfinite(numbers).all() or (numbers[:, 3:] <= 0).any():
        raise UserError(
            f"{path} must give finite centres and diameters above 0 mm for every lesion, found "
            "others; correct it."
        )
    lesions = defaultdict(tuple)
    for name, kind, row in zip(table["seriesuid"], table["label"], numbers):
        lesions[name] += (Cuboid(CODES[kind], tuple(row[:3]), tuple(row[3:])),)
    return lesions


def prepare(case: Series, config: CtConfig) -> CaseSlices:
    """Returns the slices that a lesion crosses, each with its neighbours as channels.

    Channels are the slice below, the slice itself and the one above; at the ends of a scan the
    slice itself stands for the missing one. A lesion is on a slice whose centre lies in its cuboid.

    Raises UserError for a volume that is missing, damaged, or without Hounsfield units, is turned
    against the scanner's axes, or has no slice with a lesion, and for a slice with more than
    `MOST_BOXES` of them.
    """
    return _cut(case, _read(case, config), config)


def _read(case: Series, config: CtConfig) -> Volume:
    """Returns the volume of a series; UserError if anything is wrong with it or its lesions."""
    for problem in case.problems():
        raise problem
    volume = read_volume(case.path)
    check_units(f"The volume {case.path}", volume.array, config)
    return volume


def _cut(case: Series, volume: Volume, config: CtConfig) -> CaseSlices:
    """Returns the slices of a volume, see `prepare`."""
    boxes = slice_boxes(case, volume)
    axial = np.array(sorted(boxes))
    if not axial.size:
        raise UserError(
            f"No slice of {case.path} has one of its {len(case.lesions)} lesions in it; check that "
            f"{case.annotation.name} is of this scan."
        )
    last = len(volume.array) - 1
    triples = [volume.array[np.clip([z - 1, z, z + 1], 0, last)] for z in axial]
    images = [squared(np.moveaxis(triple, 0, -1), config.size, STRETCH) for triple in triples]
    label = np.zeros((len(axial), MOST_BOXES, BOX_ROW), np.float32)
    for rows, z in zip(label, axial):
        if len(boxes[z]) > MOST_BOXES:
            raise UserError(
                f"Slice {z} of {case.path} has {len(boxes[z])} lesions, more than the {MOST_BOXES} "
                "that are read; leave the case out."
            )
        rows[: len(boxes[z])] = boxes[z]
    images = np.stack([scaled(image, config) for image in images]).astype(np.float32)
    return CaseSlices(images, label, axial, Place(volume.origin, volume.direction))


def slice_boxes(case: Series, volume: Volume) -> dict[int, list[tuple[float, ...]]]:
    """Returns the rows of `data.boxes` of each slice with a lesion, by its number.

    Boxes are clipped to the slice; what is left smaller than `LEAST_SIDE` is none.

    Raises UserError for a volume whose axes are not those of the scanner.
    """
    if not np.allclose(np.abs(volume.direction), np.eye(3).ravel(), atol=1e-3):
        raise UserError(
            f"The volume {case.path} is turned against the scanner's axes (direction "
            f"{', '.join(f'{x:.3g}' for x in volume.direction)}), so that its boxes would not "
            "fit; resample it."
        )
    depth, height, width = volume.array.shape
    spacing, origin = np.asarray(volume.spacing), np.asarray(volume.origin)
    signs = np.diag(np.reshape(volume.direction, (3, 3)))
    found: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    for lesion in case.lesions:
        centre = (np.asarray(lesion.centre) - origin) * signs / spacing  # voxels, (x, y, z)
        half = np.asarray(lesion.extent) / spacing / 2
        low, high = centre - half + 0.5, centre + half + 0.5  # of the faces of voxel 0 at 0 and 1
        low = np.clip(low[:2] / (width, height), 0, 1)
        high = np.clip(high[:2] / (width, height), 0, 1)
        if (high - low < LEAST_SIDE).any():
            continue
        row = (lesion.kind, *(low + high) / 2, *(high - low))
        first = int(np.ceil(centre[2] - half[2] - 1e-6))
        for z in range(max(first, 0), min(int(centre[2] + half[2] + 1e-6), depth - 1) + 1):
            found[z].append(row)
    return found


def verify(
    cases: Sequence[Series],
    config: CtConfig,
    cache: Path,
    again: bool = False,
    progress: bool = True,
) -> list[Verdict]:
    """Returns a verdict of each series: what `prepare` refuses, or its slices with lesions."""
    return verdict_of_each(cases, lambda case: _verdict(case, config), progress)


def _verdict(case: Series, config: Any) -> Verdict:
    try:
        volume = _read(case, config)
        label = _cut(case, volume, config).label
        alone = (replace(case, lesions=(lesion,)) for lesion in case.lesions)
        outside = sum(not slice_boxes(one, volume) for one in alone)
        notes = (f"{outside} of its lesions lie outside of the volume",) if outside else ()
        return Verdict(case, (), (*case.notes, *notes), len(label))
    except UserError as error:
        return Verdict(case, (str(error),))


TIANCHI_CT = DataSet(
    name="tianchi_ct",
    channels=("below", "slice", "above"),
    classes=CLASSES,
    regions={},
    map_constants="tianchi_ct",
    patient_of=str,
    find=find,
    phantoms={
        "nodules": Phantom(
            cached_phantom, "built-in phantom, lung CT series (computed shapes, not medical data)"
        )
    },
    settle=lambda cases, config: config,
    prepare=prepare,
    size=lambda config: (config.size, config.size),
    most_slices=lambda config: MOST_SLICES,
    verify=verify,
    verify_script="experiments/verify_data.py --dataset tianchi_ct",
    label_kind=BOXES,
    most_boxes=MOST_BOXES,
    one_image=True,
    map_channels=3,
)
