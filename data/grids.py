"""Where voxels lie: the grids of volumes, and whether two of them are one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from utils.errors import UserError

VOXEL_TOLERANCE = 0.01  # of a voxel, for spacing and origin: what programs round headers to
DIRECTION_TOLERANCE = 1e-3  # cosine
SPACING = 1.0  # mm between voxels of the BRATS grid


@dataclass(frozen=True)
class Volume:
    """A scan: `array` [D,H,W] and its geometry in ITK's order (x, y, z), that is (W, H, D).

    x runs from the patient's right to the left, y from front to back, z upwards (LPS).
    `spacing` and `origin` are in mm, `direction` is the row-major 3x3 cosine matrix.
    """

    array: np.ndarray
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]


@dataclass(frozen=True)
class StoredGrid:
    """The grid as a file stores it, in the file's own order of axes; see `write_on_grid`.

    `size` counts voxels; `spacing`, `origin` and `direction` are as in `Volume`. `forms` holds the
    header's fields of qform and sform, None for other formats than NIfTI.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    forms: Optional[Mapping[str, Any]] = None


def differing_geometry(first: Any, second: Any) -> Iterator[str]:
    """Yields in which of spacing, origin and direction two volumes or stored grids differ."""
    for name in ("spacing", "origin", "direction"):
        pair = getattr(first, name), getattr(second, name)
        voxel = VOXEL_TOLERANCE * min(first.spacing)
        tolerance = DIRECTION_TOLERANCE if name == "direction" else voxel
        if not np.allclose(*pair, rtol=0.0, atol=tolerance):
            yield name


def differing_properties(first: Volume, second: Volume) -> Iterator[str]:
    """Yields in which of shape, spacing, origin and direction two volumes differ."""
    if first.array.shape != second.array.shape:
        yield "shape"
    yield from differing_geometry(first, second)


def check_same_geometry(volumes: Mapping[Path, Volume]) -> None:
    """Refuses volumes that do not lie on one voxel grid.

    Raises:
        UserError: names the first two files that differ, and the property in which they do.
    """
    (first_path, first), *others = volumes.items()
    for path, volume in others:
        for name in differing_properties(first, volume):
            raise mismatch(name, first_path, first, path, volume)


def check_spacing(path: Path, volume: Volume, otherwise: str = "") -> None:
    """Refuses a volume whose voxels are not 1 mm wide: slice numbers and crops count voxels.

    `otherwise` stands behind the advice to resample it, in brackets.

    Raises:
        UserError: a spacing that differs from 1 mm by more than 1 %; names the file.
    """
    if not np.allclose(volume.spacing, SPACING, rtol=0.0, atol=VOXEL_TOLERANCE * SPACING):
        found = " x ".join(f"{length:g}" for length in volume.spacing)
        raise UserError(
            f"The volume {path} must have a spacing of {SPACING:g} mm along each axis, found "
            f"{found} mm; resample the files of this case to 1 mm{otherwise} or remove it."
        )


def mismatch(
    name: str, first_path: Path, first: Volume, second_path: Path, second: Volume
) -> UserError:
    """Returns the error for two volumes of a case that differ in the property `name`."""
    values = [v.array.shape if name == "shape" else getattr(v, name) for v in (first, second)]
    return UserError(
        f"The volumes of a case must share one grid, but the {name} of {first_path} is {values[0]} "
        f"and that of {second_path} is {values[1]}; resample or replace one of them."
    )
