"""BRATS cases as volumes, for systems of three dimensions.

A case becomes one volume of four modalities around its brain, on voxels of any size. Intensities
are z-scores inside of the brain, cut at `LIMIT` and scaled to (0,1]; 0 is outside of it. The label
has BraTS' values since 2017, with "brain" in their gap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import numpy as np
from tqdm import tqdm

from data.brats.dataset import BRATS, find
from data.brats.label_schemes import check_scheme, resolve_scheme, to_2015
from data.brats.layouts import layout_text
from data.brats.names import MODALITIES
from data.brats.namings import patient_of
from data.brats.scaling import background
from data.brats.subjects import Case
from data.contract import CaseSlices, DataSet, Place
from data.grids import Volume, check_same_geometry
from data.resampling import resampled
from data.verdicts import Verdict
from data.volumes import read_volume
from utils.errors import Rule, UserError, check_fields

CLASSES = ("background", "core", "oedema", "brain", "enhancing")
ORGAN_FIRST = (0, 3, 1, 2, 4)  # the classes in the order of `data.manipulation`
TO_2015 = (0, 1, 2, 0, 4)  # the classes as BRATS 2015 numbers them, for schemes of one core
REGIONS = {"wt": (1, 2, 4), "tc": (1, 4), "et": (4,)}
BRAIN, NON_ENHANCING = 3, 3  # of `CLASSES`; of BRATS 2015, where it is a class of the tumour's core
LIMIT = 5.0  # z-scores beyond are cut
DARKEST = 1 / 255  # that a brain's voxel can have, so that it is not outside
DIVISOR = 8  # of all sides
_SIDES = Rule("three numbers above 0", lambda sides: min(sides) > 0)


@dataclass(frozen=True)
class VolumeConfig:
    """Which part of each scan becomes a volume, and of what voxels.

    Args:
        spacing: Depth, height and width of a voxel in mm: along the body, front to back, right to
            left.
        crop: Depth, height and width in mm of the part around the brain's middle; it is enlarged
            until all sides have a multiple of 8 voxels.
        label_scheme: What the label values mean: a release, or such as 1=necrosis,2=oedema; needed
            where names and dataset.json do not tell.
        layout: YAML file that tells which files hold which modality, for unknown file names; the
            run keeps its content.
    """

    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    crop: tuple[float, float, float] = (150.0, 200.0, 160.0)
    label_scheme: Optional[str] = None
    layout: Optional[str] = None

    def __post_init__(self) -> None:
        check_scheme(self.label_scheme)
        check_fields(self, "--slicing.", spacing=_SIDES, crop=_SIDES)
        if self.layout is not None:  # a run records what the file says: resumed, it needs no file
            object.__setattr__(self, "layout", layout_text(self.layout))


def volume_size(config: VolumeConfig) -> tuple[int, int, int]:
    """Returns depth, height and width of the volumes, voxels."""
    voxels = (side / voxel for side, voxel in zip(config.crop, config.spacing))
    return tuple(DIVISOR * math.ceil(round(count, 6) / DIVISOR) for count in voxels)


def prepare(case: Case, config: VolumeConfig) -> CaseSlices:
    """Returns the one volume of a case.

    Args:
        case: complete.
        config: with a label scheme.

    Raises:
        UserError: a file that is missing, twice there or unreadable, differing geometries, label
            values outside of the scheme, or a modality without brain.
    """
    subject = case.subject()
    paths = [subject.images[modality] for modality in MODALITIES]
    stored = {path: read_volume(path) for path in (*paths, subject.label)}
    check_same_geometry(stored)
    images = np.stack([_on_voxels(path, stored[path], config) for path in paths], axis=-1)
    label = replace(
        stored[subject.label],
        array=to_2015(stored[subject.label].array, config.label_scheme, subject.label),
    )
    label = resampled(label, config.spacing[::-1], label=True)
    values = np.where(label.array == NON_ENHANCING, 1, label.array)
    start = _start(images.max(axis=-1) > 0, volume_size(config))
    axes, origin = np.reshape(label.direction, (3, 3)), np.asarray(label.origin)
    moved = origin + axes @ (np.array(start[::-1]) * config.spacing[::-1])
    place = Place(tuple(moved.tolist()), label.direction)
    images, values = (_cut(part, start, volume_size(config)) for part in (images, values))
    return CaseSlices(images[None], values[None].astype(np.uint8), np.array([0]), place)


def _on_voxels(path: Path, volume: Volume, config: VolumeConfig) -> np.ndarray:
    """Returns a modality float32 [D,H,W] in [0,1] on the configured voxels."""
    empty = background(volume.array)
    brain = volume.array != (0 if empty is None else empty)
    spacing = config.spacing[::-1]
    share = resampled(replace(volume, array=brain.astype(np.float32)), spacing, label=False)
    inside = share.array >= 0.5
    new = resampled(replace(volume, array=volume.array.astype(np.float32)), spacing, label=False)
    values = new.array[inside]
    if values.size < 2 or not values.std():
        raise UserError(
            f"The volume {path} must show a brain on a constant background, found none; remove the "
            "case."
        )
    scores = np.clip((new.array - values.mean()) / values.std(), -LIMIT, LIMIT)
    scaled = np.maximum((scores / LIMIT + 1) / 2, DARKEST)
    return np.where(inside, scaled, 0).astype(np.float32)


def _start(brain: np.ndarray, size: Sequence[int]) -> tuple[int, ...]:
    """Returns the first voxel of a crop of `size` around the middle of a brain [D,H,W], bool."""
    middles = []
    for axis in range(3):
        found = np.flatnonzero(brain.any(axis=tuple(k for k in range(3) if k != axis)))
        middles.append((found[0] + found[-1] + 1) // 2)
    return tuple(int(middle - side // 2) for middle, side in zip(middles, size))


def _cut(array: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """Returns the crop of an array [D,H,W,...]; what lies beyond it is 0."""
    inside, margins = [], []
    for first, side, length in zip(start, size, array.shape):
        inside.append(slice(max(first, 0), min(first + side, length)))
        margins.append((max(-first, 0), max(first + side - length, 0)))
    return np.pad(array[tuple(inside)], margins + [(0, 0)] * (array.ndim - 3))


def verify(
    cases: Sequence[Case],
    config: VolumeConfig,
    cache: Path,
    again: bool = False,
    progress: bool = True,
) -> list[Verdict]:
    """Returns a verdict of each case: what `prepare` refuses."""
    bar = tqdm(cases, "Checking cases", unit="case", disable=not progress)
    return [_verdict(case, config) for case in bar]


def _verdict(case: Case, config: VolumeConfig) -> Verdict:
    try:
        label = prepare(case, config).label
    except UserError as error:
        return Verdict(case, (str(error),))
    return Verdict(case, (), lesions=int((label > 0).any()))


def _settle(cases: Sequence[Case], config: VolumeConfig) -> VolumeConfig:
    return replace(config, label_scheme=resolve_scheme(cases, config.label_scheme))


BRATS_VOLUMES = DataSet(
    name="brats_volumes",
    channels=MODALITIES,
    classes=CLASSES,
    regions=REGIONS,
    map_constants=BRATS.map_constants,
    patient_of=patient_of,
    find=find,
    phantoms=BRATS.phantoms,
    settle=_settle,
    prepare=prepare,
    size=volume_size,
    most_slices=lambda config: 1,
    verify=verify,
    verify_script=BRATS.verify_script,
    rank=3,
)
