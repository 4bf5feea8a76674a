"""Built-in phantom: slices of computed thoraxes in the file tree of Kaggle's lung CT data set.

A demonstration and test object, not medical data. One slice per patient, with its lung mask.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from data.drawing import pixel_grid
from data.lung_ct.anatomy import draw_thorax, scanned, thorax_slice
from data.phantom_files import Maker, cached_folder

SIDE = 256  # pixels
PADDING = -2000  # stored outside the scanner's circle in some of the real files
PADDED_EVERY = 4  # patients


def phantom_slice(seed: int, index: int, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Returns a patient's slice, int16 [side,side] in HU, and its lung mask, uint8 0 or 255.

    A function of its arguments only. Not medical data.
    """
    rng = np.random.default_rng((seed, index))
    drawn = thorax_slice(draw_thorax(rng), rng.uniform(-1, 1), side)
    picture = scanned(rng, drawn.hu)
    if index % PADDED_EVERY == PADDED_EVERY - 1:
        x, y = pixel_grid(side)
        picture[np.hypot(x - 0.5, y - 0.5) > 0.5] = PADDING
    return picture, 255 * drawn.lungs.astype(np.uint8)


def slice_name(index: int) -> str:
    """Returns the published kind of name of a patient's slice and mask."""
    # The second number counts the slices within a patient's scan; any will do here.
    return f"ID_{index:04d}_Z_{60 + index * 37 % 90:04d}.tif"


def write_patient(folder: Path, seed: int, index: int) -> None:
    """Writes the slice and the mask of a patient under `folder`."""
    for part, array in zip(("2d_images", "2d_masks"), phantom_slice(seed, index, SIDE)):
        path = folder / part / slice_name(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path))


MAKER = Maker("lung_ct", 1, write_patient)


def cached_phantom(cache: Path, patients: int, seed: int) -> Path:
    """Returns the folder of a phantom of `patients` slices, made in `cache` when missing.

    Below it lie `2d_images` and `2d_masks`. See `data.phantom_files.cached_folder`.
    """
    return cached_folder(cache, MAKER, patients, seed)
