"""Lesions of the phantom: a front that spreads fast along white matter and hardly into CSF.

A demonstration and test object, not medical data. The front's arrival time (fast marching, in
millimetres of white matter) is cut into the parts of a glioma from the inside outwards: necrosis,
enhancing and non-enhancing tumour, oedema. Labels are those of BRATS 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from data.brats.phantom_anatomy import Anatomy, SmoothField
from data.brats.phantom_kinds import LesionType

NECROSIS, OEDEMA, NON_ENHANCING, ENHANCING = 1, 2, 3, 4
# Speed of the front relative to white matter, in the order of the tissues: CSF, grey, white.
SPEEDS = (0.03, 0.35, 1.0)
STEP = 2
FAR = 4.0


class Extent(NamedTuple):
    """Where the parts of a lesion end, in millimetres of white matter from its focus."""

    necrosis: float
    core: float
    oedema: float
    second_focus: float
    """Head start of the main focus over the others."""
    rim_threshold: float
    """See `LesionType`."""


def draw_extent(rng: np.random.Generator, lesion: LesionType) -> Extent:
    """Draws the random size of a lesion, in mm (see `Extent`)."""
    oedema = rng.uniform(*lesion.oedema)
    core = oedema * rng.uniform(*lesion.core)
    necrosis = core * rng.uniform(*lesion.necrosis) if lesion.necrosis else 0.0
    threshold = rng.uniform(*lesion.rim_threshold)
    return Extent(necrosis, core, oedema, rng.uniform(0.25, 0.6) * oedema, threshold)


def arrival_time(anatomy: Anatomy, roughness: np.ndarray, extent: Extent) -> np.ndarray:
    """Arrival time [Z,Y,X] float32 of the front in millimetres; `oedema` + `FAR` where it ends.

    `roughness` [z,y,x] is a standard normal field on the grid of every `STEP`-th voxel.
    """
    speed = np.zeros(anatomy.brain.shape, np.float32)
    speed[anatomy.brain] = sum(v * part for v, part in zip(SPEEDS, anatomy.tissues))
    speed = np.maximum(speed[::STEP, ::STEP, ::STEP] * np.exp(0.3 * roughness), 1e-3)
    image = sitk.GetImageFromArray(speed.astype(np.float32))
    image.SetSpacing([STEP] * 3)
    front = sitk.FastMarchingImageFilter()
    front.SetTrialPoints([[int(v) for v in seed[::-1] / STEP] for seed in anatomy.seeds])
    front.SetInitialTrialValues([0.0, *[extent.second_focus] * (len(anatomy.seeds) - 1)])
    limit = extent.oedema + FAR
    front.SetStoppingValue(limit)
    coarse = np.minimum(sitk.GetArrayFromImage(front.Execute(image)), limit)
    return enlarge(coarse, anatomy.brain.shape, limit)


def enlarge(coarse: np.ndarray, shape: tuple[int, ...], outside: float) -> np.ndarray:
    """`coarse` [z,y,x] (every `STEP`-th voxel) on the full grid `shape`, linear where it matters.

    Everything beyond the bounding box of the values below `outside` is `outside`.
    """
    full = np.full(shape, outside, np.float32)
    box = ndimage.find_objects(coarse < outside)[0]
    low = [max(part.start - 1, 0) for part in box]
    high = [min(part.stop + 1, size) for part, size in zip(box, coarse.shape)]
    patch = coarse[tuple(slice(a, b) for a, b in zip(low, high))]
    size = [(n - 1) * STEP + 1 for n in patch.shape]
    patch = ndimage.zoom(patch, [n / m for n, m in zip(size, patch.shape)], np.float32, order=1)
    full[tuple(slice(a * STEP, a * STEP + n) for a, n in zip(low, size))] = patch
    return full


def grow_lesion(
    rng: np.random.Generator, anatomy: Anatomy, lesions: Sequence[LesionType]
) -> np.ndarray:
    """Label map [Z,Y,X] uint8, 0..4 with the BRATS 2015 meaning, of a lesion in `anatomy`.

    It is of one of the types in `lesions`, which are equally frequent.
    """
    extent = draw_extent(rng, lesions[rng.integers(len(lesions))])
    shape = anatomy.brain.shape
    roughness = SmoothField(rng, 9.0, shape)([np.arange(0.0, n, STEP) for n in shape])[0]
    time = arrival_time(anatomy, roughness, extent)
    tissue = np.zeros(shape, bool)
    tissue[anatomy.brain] = anatomy.tissues[0] < 0.5
    box = ndimage.find_objects(time < extent.oedema)[0]
    rim = SmoothField(rng, 8.0, shape)([np.arange(p.start, p.stop, 1.0) for p in box])[0]
    time = time[box]
    parts = np.where(rim > extent.rim_threshold, ENHANCING, NON_ENHANCING)
    parts = np.where(time < extent.core, parts, OEDEMA)
    parts = np.where(time < extent.necrosis, NECROSIS, parts)
    label = np.zeros(shape, np.uint8)
    label[box] = np.where((time < extent.oedema) & tissue[box], parts, 0)
    return label
