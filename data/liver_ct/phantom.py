"""Built-in phantom: computed CT volumes of abdomens, named as those of LiTS.

A demonstration and test object, not medical data. Each patient has one to five lesions in the
liver.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from data.liver_ct.anatomy import AIR, draw_abdomen
from data.liver_ct.lesions import draw_lesions
from data.phantom_files import Maker, cached_folder
from data.solids import Canvas, Waves
from data.volumes import write_volume

SPACING = (3.0, 2.0, 2.0)  # mm, of the files: depth, height and width
FIELD = (236.0, 380.0, 400.0)  # mm
FIRST = (-200.0, -186.0, -120.0)  # mm: x, y and z where the field begins
ORIGINS = ((-210.0, -190.0), (-200.0, -170.0), (-700.0, -100.0))  # mm: x, y, z
GRAINS = (3.0, 9.0)  # mm, of the tissues' texture
BLUR = 0.8  # mm, standard deviation of the scanner's blur
NOISE = 11.0  # HU, standard deviation
# Independent draws, so that a voxel's size does not change the patient.
_ANATOMY, _LESIONS, _SCAN = range(3)


class Patient(NamedTuple):
    """A scan and its label."""

    hu: np.ndarray
    """[D,H,W] int16, from the feet upwards."""
    label: np.ndarray
    """[D,H,W] uint8: 1 liver, 2 lesion."""


def phantom_patient(seed: int, index: int, spacing: Sequence[float] = SPACING) -> Patient:
    """Returns a patient on voxels of a size: depth, height and width in mm.

    A function of its arguments only; anatomy and lesions do not depend on the size. Not medical
    data.
    """
    of_anatomy, of_lesions, of_scan = (
        np.random.default_rng((seed, index, part)) for part in (_ANATOMY, _LESIONS, _SCAN)
    )
    abdomen = draw_abdomen(of_anatomy)
    # The average patient is drawn on voxels that are as much smaller as this one is larger.
    scale = np.asarray(abdomen.stretch)
    size = np.rint(np.asarray(FIELD) / spacing).astype(int)
    own = np.asarray(spacing) / scale[::-1]
    first = (np.asarray(FIRST) + np.asarray(spacing)[::-1] / 2) / scale
    canvas = Canvas(size.tolist(), tuple(own), tuple(first), AIR)
    grain = _grain(of_anatomy, canvas)
    for part in (*abdomen.parts, *draw_lesions(of_lesions, abdomen)):
        texture = part.texture * grain if part.texture else None
        for solid in part.solids:
            canvas.paint(solid, part.hu, part.label, texture)
    return Patient(_scanned(of_scan, canvas.values, spacing), canvas.label)


def _grain(rng: np.random.Generator, canvas: Canvas) -> np.ndarray:
    """Returns the texture of tissues, [D,H,W] float32 of deviation 1."""
    fine, coarse = (Waves(rng, scale)(*canvas.coordinates) for scale in GRAINS)
    return (0.6 * fine + 0.8 * coarse).astype(np.float32)


def _scanned(rng: np.random.Generator, hu: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Returns a volume as the scanner stores it: blurred, noisy, int16."""
    blurred = ndimage.gaussian_filter(hu, [BLUR / side for side in spacing], mode="nearest")
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    return np.clip(np.rint(blurred + NOISE * noise), -1024, 3071).astype(np.int16)


def write_patient(folder: Path, seed: int, index: int) -> None:
    """Writes volume and segmentation of a patient under `folder`."""
    patient = phantom_patient(seed, index, SPACING)
    rng = np.random.default_rng((seed, index, len(ORIGINS)))
    origin = tuple(round(float(rng.uniform(*bounds)), 3) for bounds in ORIGINS)
    for name, array in (("volume", patient.hu), ("segmentation", patient.label)):
        write_volume(folder / f"{name}-{index}.nii.gz", array, SPACING[::-1], origin)


MAKER = Maker("liver_ct", 1, write_patient)


def cached_phantom(cache: Path, patients: int, seed: int) -> Path:
    """Returns the folder of a phantom of `patients` volumes, made in `cache` when missing.

    Below it lie `volume-<n>.nii.gz` and `segmentation-<n>.nii.gz`. See
    `data.phantom_files.cached_folder`.
    """
    return cached_folder(cache, MAKER, patients, seed)
