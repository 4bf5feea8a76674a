"""Built-in phantom: CT series of computed thoraxes in the file tree of Tianchi's chest CT.

A demonstration and test object, not medical data. Each series has one to three lesions; the
annotation is written from their voxels, so that it and the pictures agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from data.drawing import Point
from data.lung_ct.anatomy import draw_thorax, scanned, thorax_slice
from data.phantom_files import Maker, cached_folder
from data.tianchi_ct.lesions import Geometry, Lesion, draw_lesions, insert

SIDE = 256  # pixels of a slice
WIDTH = 0.7 * 512  # mm, of a slice on average
THICKNESS = 2.5  # mm, on average
SPREAD = 0.2  # of both, relative
SLICES = (8, 12)  # of a series, at least and at most
STEP = 0.03  # of the thorax' height from slice to slice
ORIGINS = ((-200.0, -140.0), (-190.0, -120.0), (-350.0, -50.0))  # mm: x, y, z

SERIES_FOLDER = "chestCT_round1/train_part1"
ANNOTATION = "chestCT_round1_annotation.csv"
COLUMNS = "seriesuid,coordX,coordY,coordZ,diameterX,diameterY,diameterZ,label"
FIRST_SERIES = 318818  # number of the first series; the real ones have six digits too


class Series(NamedTuple):
    """A series and its lesions."""

    hu: np.ndarray
    """[Z,S,S] int16, from below upwards, as z grows."""
    spacing: tuple[float, float, float]
    """Size of a voxel (x, y, z), mm."""
    origin: tuple[float, float, float]
    """Centre of the first voxel (x, y, z), mm."""
    lesions: list[Lesion]


def phantom_series(seed: int, index: int, side: int = SIDE) -> Series:
    """Returns a patient's series.

    A function of its arguments only. Not medical data.
    """
    rng = np.random.default_rng((seed, index))
    thorax, number = draw_thorax(rng), int(rng.integers(SLICES[0], SLICES[1] + 1))
    pixel, thickness = (
        round(mean * rng.uniform(1 - SPREAD, 1 + SPREAD), 4) for mean in (WIDTH / side, THICKNESS)
    )
    top = rng.uniform(-0.8, 0.8 - STEP * number)
    slices = [thorax_slice(thorax, top + STEP * z, side) for z in reversed(range(number))]
    lesions = draw_lesions(rng, thorax, slices, Geometry(side, pixel, thickness))
    volume = np.stack([drawn.hu for drawn in slices])
    for lesion in lesions:
        insert(volume, lesion)
    return Series(
        np.stack([scanned(rng, picture) for picture in volume]),
        (pixel, pixel, thickness),
        tuple(round(float(rng.uniform(*bounds)), 3) for bounds in ORIGINS),
        lesions,
    )


def box_of(lesion: Lesion, series: Series) -> tuple[Point, ...]:
    """Returns the (centre, extent) of a lesion's voxels along x, y and z, mm in the scanner."""
    box = []
    for axis, spacing, origin in zip((2, 1, 0), series.spacing, series.origin):
        others = tuple(other for other in range(3) if other != axis)
        filled = np.flatnonzero(lesion.voxels.any(others))
        first, last = int(filled[0]), int(filled[-1])
        box.append((origin + spacing * (first + last) / 2, spacing * (last - first + 1)))
    return tuple(box)


def write_series(folder: Path, seed: int, index: int) -> None:
    """Writes a series under `folder` and adds its lesions to the annotation."""
    series, name = phantom_series(seed, index, SIDE), f"{FIRST_SERIES + index}"
    path = folder / SERIES_FOLDER / f"{name}.mhd"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(series.hu)
    image.SetSpacing(series.spacing)
    image.SetOrigin(series.origin)
    sitk.WriteImage(image, str(path))
    with (folder / ANNOTATION).open("a", encoding="utf-8") as file:
        if index == 0:
            file.write(f"{COLUMNS}\n")
        for lesion in series.lesions:
            centres, extents = zip(*box_of(lesion, series))
            numbers = ",".join(f"{value:.6f}" for value in (*centres, *extents))
            file.write(f"{name},{numbers},{lesion.code}\n")


MAKER = Maker("tianchi_ct", 1, write_series)


def cached_phantom(cache: Path, patients: int, seed: int) -> Path:
    """Returns the folder of a phantom of `patients` series, made in `cache` when missing.

    Below it lie `chestCT_round1/train_part1/*.mhd` and `chestCT_round1_annotation.csv`. See
    `data.phantom_files.cached_folder`.
    """
    return cached_folder(cache, MAKER, patients, seed)
