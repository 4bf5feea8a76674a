"""Crops of volumes around an organ, on voxels of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from data.contract import Case, CaseSlices, Place
from data.grids import Volume
from data.verdicts import Verdict, verdict_of_each
from utils.errors import Rule, UserError, check_fields

DIVISOR = 8  # of all sides
DARKEST = 1 / 255  # that a voxel of the body can have, so that it is not outside
_SIDES = Rule("three numbers above 0", lambda sides: min(sides) > 0)


@dataclass(frozen=True)
class CropConfig:
    """Which part of each scan becomes a volume, and of what voxels.

    Args:
        spacing: Depth, height and width of a voxel in mm: along the body, front to back, right to
            left.
        crop: Depth, height and width in mm of the part around the organ's middle; it is enlarged
            until all sides have a multiple of 8 voxels.
    """

    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    crop: tuple[float, float, float] = (200.0, 200.0, 200.0)

    def __post_init__(self) -> None:
        check_fields(self, "--slicing.", spacing=_SIDES, crop=_SIDES)


def volume_size(config: CropConfig) -> tuple[int, int, int]:
    """Returns depth, height and width of the volumes, voxels."""
    voxels = (side / voxel for side, voxel in zip(config.crop, config.spacing))
    return tuple(DIVISOR * math.ceil(round(count, 6) / DIVISOR) for count in voxels)


def inside_only(images: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Returns images [...] in [0,1] as float32: at least `DARKEST` inside of a mask, 0 outside."""
    return np.where(inside, np.maximum(images, DARKEST), 0).astype(np.float32)


def cropped(
    organ: np.ndarray, images: np.ndarray, label: np.ndarray, grid: Volume, config: CropConfig
) -> CaseSlices:
    """Returns the one volume of a case; what lies beyond the scan is 0.

    Args:
        organ: bool [D,H,W], True somewhere; its middle is that of the crop.
        images: float32 [D,H,W,M] in [0,1].
        label: [D,H,W], numbers of classes.
        grid: a volume on the same voxels, which have the configured spacing.
        config: with the size of the crop.
    """
    size = volume_size(config)
    start = crop_start(organ, size)
    axes, origin = np.reshape(grid.direction, (3, 3)), np.asarray(grid.origin)
    moved = origin + axes @ (np.array(start[::-1]) * config.spacing[::-1])
    images, label = (cut(part, start, size) for part in (images, label))
    place = Place(tuple(moved.tolist()), grid.direction)
    return CaseSlices(images[None], label[None].astype(np.uint8), np.array([0]), place)


def crop_start(organ: np.ndarray, size: Sequence[int]) -> tuple[int, ...]:
    """Returns the first voxel of a crop of `size` around the middle of an organ [D,H,W], bool."""
    middles = []
    for axis in range(3):
        found = np.flatnonzero(organ.any(axis=tuple(k for k in range(3) if k != axis)))
        middles.append((found[0] + found[-1] + 1) // 2)
    return tuple(int(middle - side // 2) for middle, side in zip(middles, size))


def cut(array: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """Returns the crop of an array [D,H,W,...]; what lies beyond it is 0."""
    inside, margins = [], []
    for first, side, length in zip(start, size, array.shape):
        inside.append(slice(max(first, 0), min(first + side, length)))
        margins.append((max(-first, 0), max(first + side - length, 0)))
    return np.pad(array[tuple(inside)], margins + [(0, 0)] * (array.ndim - 3))


def put_back(crop: np.ndarray, start: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Returns an array [D,H,W] of a shape that is 0 but for a crop, which `cut` took at `start`."""
    whole = np.zeros(shape, crop.dtype)
    inside = [slice(max(first, 0), max(first + side, 0)) for first, side in zip(start, crop.shape)]
    within = tuple(slice(max(-first, 0), length - first) for first, length in zip(start, shape))
    whole[tuple(inside)] = crop[within]
    return whole


def verify_volumes(
    cases: Sequence[Case],
    config: CropConfig,
    cache: Any,
    again: bool = False,
    progress: bool = True,
    *,
    prepare: Callable[[Case, Any], CaseSlices],
    first_lesion: int = 1,
) -> list[Verdict]:
    """Returns a verdict of each case: what `prepare` refuses, or whether it has a lesion.

    Args:
        cases: to be checked.
        config: settled.
        cache: not used, nor is `again`: nothing is kept.
        again: see above.
        progress: whether to show a bar.
        prepare: of the data set.
        first_lesion: number of the first class that is part of a lesion.
    """

    def judge(case: Case) -> Verdict:
        return _verdict(case, config, prepare, first_lesion)

    return verdict_of_each(cases, judge, progress)


def _verdict(case: Case, config: CropConfig, prepare: Callable, first_lesion: int) -> Verdict:
    try:
        label = prepare(case, config).label
    except UserError as error:
        return Verdict(case, (str(error),))
    return Verdict(case, (), lesions=int((label >= first_lesion).any()))
