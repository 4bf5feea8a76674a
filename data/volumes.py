"""Reading and writing single medical volumes, with the damage checks the readers leave out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from data.integrity import check_bytes, damaged
from utils.errors import UserError
from utils.runs.files import replacing

GEOMETRY_TOLERANCE = 1e-3  # mm for spacing and origin, cosine for the direction
SPACING = 1.0  # mm between voxels of the BRATS grid
SPACING_TOLERANCE = 0.01  # mm


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

    `size` counts voxels; `spacing`, `origin` and `direction` are as in `Volume`.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]


def read_volume(path: Path) -> Volume:
    """Reads a three-dimensional scan in the file's own voxel type, its axes brought to LPS.

    Axes are swapped and flipped as the file's direction tells, oblique ones to the nearest; nothing
    is resampled, and a file that is stored in LPS keeps every voxel where it is.

    Raises:
        UserError: a missing, damaged or unreadable file, one that is not three-dimensional with one
            value per voxel, or one that holds NaN or infinity.
    """
    return read_volume_and_grid(path)[0]


def read_volume_and_grid(path: Path) -> tuple[Volume, StoredGrid]:
    """Reads a scan as `read_volume` does, with what `write_on_grid` needs to go back.

    Raises:
        UserError: as `read_volume`.
    """
    volume, grid = read_any_values(path)
    check_finite(path, volume)
    return volume, grid


def read_any_values(path: Path) -> tuple[Volume, StoredGrid]:
    """Reads a scan as `read_volume_and_grid` does, NaN and infinity included.

    Raises:
        UserError: as `read_volume`, except for NaN and infinity.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"The volume {path} does not exist or is not a file.")
    check_bytes(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise damaged(path, "it cannot be read as an image") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise UserError(
            f"The volume {path} must have 3 dimensions and one value per voxel, found size "
            f"{image.GetSize()} and {image.GetNumberOfComponentsPerPixel()} values; split it into "
            "one file per modality."
        )
    grid = StoredGrid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    image = sitk.DICOMOrient(image, "LPS")
    array = sitk.GetArrayFromImage(image)
    return Volume(array, image.GetSpacing(), image.GetOrigin(), image.GetDirection()), grid


def check_finite(path: Path, volume: Volume) -> None:
    """Raises UserError if a volume holds NaN or infinity; names the file and counts them."""
    invalid = volume.array.size - np.count_nonzero(np.isfinite(volume.array))
    if invalid:
        raise UserError(
            f"The volume {path} holds {invalid} NaN or infinite voxels; repair or remove it."
        )


def check_same_geometry(volumes: Mapping[Path, Volume]) -> None:
    """Refuses volumes that do not lie on one voxel grid.

    Raises:
        UserError: names the first two files that differ, and the property in which they do.
    """
    (first_path, first), *others = volumes.items()
    for path, volume in others:
        for name in differing_properties(first, volume):
            raise mismatch(name, first_path, first, path, volume)


def differing_properties(first: Volume, second: Volume) -> Iterator[str]:
    """Yields in which of shape, spacing, origin and direction two volumes differ."""
    if first.array.shape != second.array.shape:
        yield "shape"
    for name in ("spacing", "origin", "direction"):
        pair = getattr(first, name), getattr(second, name)
        if not np.allclose(*pair, rtol=0.0, atol=GEOMETRY_TOLERANCE):
            yield name


def check_spacing(path: Path, volume: Volume) -> None:
    """Refuses a volume whose voxels are not 1 mm wide: slice numbers and crops count voxels.

    Raises:
        UserError: a spacing that differs from 1 mm by more than 1 %; names the file.
    """
    if not np.allclose(volume.spacing, SPACING, rtol=0.0, atol=SPACING_TOLERANCE):
        found = " x ".join(f"{length:g}" for length in volume.spacing)
        raise UserError(
            f"The volume {path} must have a spacing of {SPACING:g} mm along each axis, found "
            f"{found} mm; resample the files of this case to 1 mm or remove it."
        )


def write_volume(
    path: Path,
    array: np.ndarray,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    direction: Sequence[float] | None = None,
    compress: bool = True,
) -> None:
    """Writes `array` [D,H,W] in the format of the suffix; the file appears whole or not at all.

    Args:
        path: target file; its folder is created.
        array: [D,H,W] voxels.
        spacing: voxel size in mm, (x, y, z).
        origin: position of the first voxel in mm, (x, y, z).
        direction: 9 cosines of the axes, row-major; None is the identity.
        compress: whether the voxels are compressed where the format leaves it open.

    Raises:
        UserError: the file cannot be written.
        DiskFullError: no room for it.
    """
    path = Path(path)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(tuple(map(float, spacing)))
    image.SetOrigin(tuple(map(float, origin)))
    if direction is not None:
        image.SetDirection(tuple(map(float, direction)))
    try:
        with replacing(path, array.nbytes) as temporary:
            _write_whole(image, temporary, compress)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"Cannot write the volume {path}; check its suffix and the folder's rights."
        ) from error


def _write_whole(image: sitk.Image, path: Path, compress: bool) -> None:
    """Writes a volume and reads it back: NIfTI's writer keeps silent about what it cuts off."""
    try:
        sitk.WriteImage(image, str(path), useCompression=compress)
        check_bytes(path)
    except (RuntimeError, UserError) as error:
        path.write_bytes(sitk.GetArrayViewFromImage(image).tobytes())  # tells of a full disk
        raise RuntimeError("the volume was not written whole") from error


def write_on_grid(path: Path, array: np.ndarray, grid: StoredGrid) -> None:
    """Writes an LPS array in the axis order and geometry of the file that `grid` was read from.

    Args:
        path: target file; its suffix chooses the format, its folder is created.
        array: [D,H,W] voxels of the size of `read_volume_and_grid`'s array.
        grid: of the file to match.

    Raises:
        UserError: an array of another size, or a file that cannot be written.
    """
    code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(grid.direction)
    image = sitk.DICOMOrient(sitk.GetImageFromArray(array), code)  # an array on its own is LPS
    if image.GetSize() != tuple(grid.size):
        raise UserError(
            f"The voxels for {path} must fill a grid of {grid.size}, found {image.GetSize()}; pass "
            "the array that was read, or one of its shape."
        )
    stored = sitk.GetArrayViewFromImage(image)
    write_volume(path, stored, grid.spacing, grid.origin, grid.direction)


def mismatch(
    name: str, first_path: Path, first: Volume, second_path: Path, second: Volume
) -> UserError:
    """Returns the error for two volumes of a case that differ in the property `name`."""
    values = [v.array.shape if name == "shape" else getattr(v, name) for v in (first, second)]
    return UserError(
        f"The volumes of a case must share one grid, but the {name} of {first_path} is {values[0]} "
        f"and that of {second_path} is {values[1]}; resample or replace one of them."
    )
