"""Pictures of volumes: three views through one voxel, and a montage of slices."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from data.contract import DataSet
from experiments.engine.fitting import Pictures, Synthesize
from utils.reporting.pictures import grid, label_row, plain_row

MONTAGE = 12  # slices


def middle_of_lesion(label: np.ndarray, dataset: DataSet) -> tuple[int, ...]:
    """Returns the lesion voxel next to the lesion's middle in a label [D,H,W].

    Without a lesion it is the middle of the volume.
    """
    places = np.argwhere(np.isin(label, dataset.organ_first[2:]))
    if not len(places):
        return tuple(side // 2 for side in label.shape)
    distances = np.abs(places - np.median(places, axis=0)).sum(axis=1)
    return tuple(map(int, places[np.argmin(distances)]))


def views(volume: np.ndarray, voxel: Sequence[int]) -> list[np.ndarray]:
    """Returns the axial, coronal and sagittal slice of a volume [D,H,W] through a voxel.

    All have the longest side as height and width. The head is up in the latter two.
    """
    depth, height, width = voxel
    slices = (volume[depth], volume[::-1, height], volume[::-1, :, width])
    return [_squared(part, max(volume.shape)) for part in slices]


def _squared(image: np.ndarray, side: int) -> np.ndarray:
    """Returns an image [H,W] in the middle of a square of zeros."""
    before = [(side - length) // 2 for length in image.shape]
    after = [side - length - first for length, first in zip(image.shape, before)]
    return np.pad(image, list(zip(before, after)))


def view_row(volume: np.ndarray, voxel: Sequence[int], label: bool = False) -> list[np.ndarray]:
    """Returns one row of pictures, the views of a volume [D,H,W] in [0,1] or of a label."""
    draw = label_row if label else plain_row
    return [draw(view[None])[0] for view in views(volume, voxel)]


def montage(volume: np.ndarray, count: int = MONTAGE) -> list[np.ndarray]:
    """Returns one row of `count` axial slices of a volume [D,H,W] in [0,1], from the feet up."""
    filled = np.flatnonzero(volume.any(axis=(1, 2)))
    first, last = (filled[0], filled[-1]) if filled.size else (0, len(volume) - 1)
    return plain_row(volume[np.linspace(first, last, count).round().astype(int)])


def draw_volumes(
    synthesize: Synthesize, examples: dict, dataset: DataSet, channel: int
) -> Pictures:
    """Labels, real volumes and what G makes of the labels: three views, and a montage of slices."""
    made = synthesize(examples)["images"].numpy()[..., 0]
    real, label = examples["images"].numpy()[..., channel], examples["label"].numpy()[..., 0]
    voxels = [middle_of_lesion(part, dataset) for part in label]
    rows = [
        [part for k in range(2) for part in view_row(volumes[k], voxels[k], volumes is label)]
        for volumes in (label, real, made)
    ]
    slices = [montage(volumes[k]) for k in range(len(real)) for volumes in (real, made)]
    return {
        "volumes": grid(rows, titles=("label", "real", "synthetic")),
        "montage": grid(slices, titles=("real", "synthetic") * len(real)),
    }


def draw_regions(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """The first region of two patients and what S finds of it, each in three views."""
    found = synthesize(examples)["regions"].numpy()[..., 0]
    label = examples["label"].numpy()[..., 0]
    whole = np.isin(label, next(iter(dataset.regions.values())))
    voxels = [middle_of_lesion(part, dataset) for part in label]
    rows = [
        [part for k in range(2) for part in view_row(masks[k].astype(np.float32), voxels[k])]
        for masks in (whole, found)
    ]
    return {"regions": grid(rows, titles=("label", "found"))}


def drawing_of(channel: int) -> functools.partial:
    """Returns `draw_volumes` of a modality."""
    return functools.partial(draw_volumes, channel=channel)
