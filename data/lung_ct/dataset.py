"""Kaggle's "finding lungs in CT data": single slices of the chest, without label.

`2d_images/ID_0000_Z_0142.tif`, signed 16-bit numbers in Hounsfield units. The lung masks beside
them (`2d_masks`) and the volumes (`3d_images`) are not used.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.contract import Phantom
from data.hounsfield import WINDOW_RULE, check_hounsfield, windowed
from data.lung_ct.phantom import cached_phantom
from data.pictures import (
    STRETCH,
    PictureCase,
    min_max,
    picture_dataset,
    picture_files,
    read_picture,
    squared,
)
from utils.errors import UserError, at_least, check_fields, one_of

IMAGES = "2d_images"
WINDOW, FILE_MINMAX = "window", "file_minmax"
_NAME = re.compile(r"(ID_\d+)_Z_\d+", re.IGNORECASE)


@dataclass(frozen=True)
class CtConfig:
    """How CT slices become squares in [0,1].

    Args:
        size: Side of the square, pixels.
        scaling: window, or file_minmax, which takes the minimum and maximum of each file as the
            released code does; padding of -2000 outside of the scanner's circle then counts.
        window: Hounsfield units that become 0 and 1; values beyond are clipped.
    """

    size: int = 512
    scaling: str = WINDOW
    window: tuple[float, float] = (-1000.0, 400.0)

    def __post_init__(self) -> None:
        rules = {"scaling": one_of((WINDOW, FILE_MINMAX)), "window": WINDOW_RULE}
        check_fields(self, "--slicing.", size=at_least(16), **rules)


def check_units(what: str, array: np.ndarray, config: CtConfig) -> None:
    """Raises UserError for values that are no Hounsfield units: of 8 bits, or without air.

    `what` begins the message, such as "The slice a.tif". Nothing is checked where each file has a
    scale of its own.
    """
    if config.scaling == WINDOW:
        otherwise = f", or give --slicing.scaling {FILE_MINMAX}"
        check_hounsfield(what, array, otherwise)


def scaled(array: np.ndarray, config: CtConfig) -> np.ndarray:
    """Returns Hounsfield units [...] in [0,1], as configured."""
    if config.scaling == FILE_MINMAX:
        return min_max(array)
    return windowed(array, config.window)


def find(folder: Path, config: CtConfig) -> list[PictureCase]:
    """Returns a case for each patient (`ID_...`).

    Raises UserError for a folder without slices, or for a name that does not tell the patient.
    """
    folder = Path(folder)
    found: dict[str, list[Path]] = defaultdict(list)
    for path in picture_files(folder / IMAGES):
        match = _NAME.fullmatch(path.stem)
        if not match:
            raise UserError(
                f"The name of {path} must be such as ID_0000_Z_0142.tif; rename or remove it."
            )
        found[match[1].upper()].append(path)
    if not found:
        raise UserError(
            f"{folder} must hold the folder {IMAGES} with slices such as ID_0000_Z_0142.tif, found "
            "none; give the folder that holds it."
        )
    return [PictureCase(name, tuple(paths)) for name, paths in sorted(found.items())]


def read(case: PictureCase, number: int, config: CtConfig) -> tuple[np.ndarray, None]:
    """Returns one slice, float32 [H,W,1] in [0,1].

    Raises UserError for a file that is damaged, has colours or no Hounsfield units, is constant, or
    is all outside of the window.
    """
    path = case.paths[number]
    array = read_picture(path)
    if array.ndim != 2:
        raise UserError(f"The slice {path} must be grey, found colours; remove or convert it.")
    check_units(f"The slice {path}", array, config)
    image = scaled(squared(array, config.size, STRETCH), config)
    if image.min() == image.max():
        raise UserError(
            f"The slice {path} holds values {array.min():g} to {array.max():g}, which all become "
            f"{image.min():g} by --slicing.scaling {config.scaling} and --slicing.window "
            f"{config.window[0]:g} {config.window[1]:g}; check that they are Hounsfield units."
        )
    return image[..., None].astype(np.float32), None


LUNG_CT = picture_dataset(
    "lung_ct",
    read,
    channels=("CT",),
    map_constants="lung_ct",
    find=find,
    phantoms={
        "lung": Phantom(
            cached_phantom, "built-in phantom, lung CT (computed shapes, not medical data)"
        )
    },
    most_slices=lambda config: 8,
)
