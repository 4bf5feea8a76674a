"""Reading and writing single medical volumes, with the damage checks the readers leave out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import numpy as np
import SimpleITK as sitk

from data.grids import StoredGrid, Volume
from data.integrity import check_bytes, damaged
from data.nifti import check_real, read_nifti, write_nifti
from utils.errors import UserError
from utils.runs.files import replacing

SUFFIXES = (".nii.gz", ".nii", ".mha")


def stem_of(path: Path, suffixes: Sequence[str] = SUFFIXES) -> str:
    """Returns the name of a file without its suffix, one of `suffixes`."""
    suffix = next(suffix for suffix in suffixes if path.name.lower().endswith(suffix))
    return path.name[: -len(suffix)]


def file_of(path: Path) -> Path:
    """Returns the file of a volume's path, which ends in #k for volume k of a file of several."""
    return _file_and_channel(Path(path))[0]


def _file_and_channel(path: Path) -> tuple[Path, Optional[int]]:
    match = re.fullmatch(r"(.+\.nii(?:\.gz)?)#(\d+)", path.name, re.IGNORECASE)
    return (path.with_name(match[1]), int(match[2])) if match else (path, None)


def read_volume(path: Path) -> Volume:
    """Reads a three-dimensional scan in the file's own voxel type, its axes brought to LPS.

    Axes are swapped and flipped according to the file's direction; an oblique axis counts as the
    nearest anatomical axis. Nothing is resampled: voxels of a file stored in LPS do not move.

    Raises:
        UserError: the file is missing, damaged or unreadable, is not three-dimensional with one
            value per voxel, or holds NaN or infinity.
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
    file, channel = _file_and_channel(Path(path))
    check_name(file)
    if not file.is_file():
        raise UserError(f"The volume {file} does not exist or is not a file.")
    return _read_nifti(file, channel) if _is_nifti(file) else _read_itk(file)


def _turned(image: sitk.Image) -> Volume:
    image = sitk.DICOMOrient(image, "LPS")
    array = sitk.GetArrayFromImage(image)
    return Volume(array, image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def check_name(path: Path) -> None:
    """Raises UserError for a path that is not UTF-8, on which SimpleITK ends the process."""
    for part in (*reversed(path.parents), path):
        try:
            str(part).encode("utf-8")
        except UnicodeEncodeError as error:
            raise UserError(
                f"The name of {part} must be text in UTF-8, found other bytes; rename it."
            ) from error


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz"))


def _read_nifti(path: Path, channel: Optional[int]) -> tuple[Volume, StoredGrid]:
    array, grid = read_nifti(path, channel)
    geometry = grid.spacing, grid.origin, grid.direction
    if _axes(grid) == "LPS":
        return Volume(array, *geometry), grid
    return _turned(as_image(array, *geometry)), grid


def _axes(grid: StoredGrid) -> str:
    """Returns the nearest anatomical directions of a file's axes, such as "LPS"."""
    return sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(grid.direction)


def as_image(
    array: np.ndarray,
    spacing: Sequence[float],
    origin: Sequence[float],
    direction: Sequence[float],
) -> sitk.Image:
    """Returns an array [D,H,W] with its geometry, see `data.grids.Volume`."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(tuple(map(float, spacing)))
    image.SetOrigin(tuple(map(float, origin)))
    image.SetDirection(tuple(map(float, direction)))
    return image


def _read_itk(path: Path) -> tuple[Volume, StoredGrid]:
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
    check_real(path, sitk.GetArrayViewFromImage(image).dtype)
    geometry = image.GetSpacing(), image.GetOrigin(), image.GetDirection()
    return _turned(image), StoredGrid(image.GetSize(), *geometry)


def check_finite(path: Path, volume: Volume) -> None:
    """Raises UserError if a volume holds NaN or infinity; names the file and counts them."""
    invalid = volume.array.size - np.count_nonzero(np.isfinite(volume.array))
    if invalid:
        raise UserError(
            f"The volume {path} holds {invalid} NaN or infinite voxels; repair or remove it."
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
        DiskFullError: the disk has no room for the file.
    """
    grid = StoredGrid(array.shape[::-1], spacing, origin, direction or tuple(np.eye(3).ravel()))
    _write(Path(path), array, grid, compress)


def _write(path: Path, array: np.ndarray, grid: StoredGrid, compress: bool = True) -> None:
    check_name(path)
    try:
        with replacing(path, array.nbytes) as temporary:
            _write_whole(temporary, array, grid, compress)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"Cannot write the volume {path}; check its suffix and the folder's rights."
        ) from error


def _write_whole(path: Path, array: np.ndarray, grid: StoredGrid, compress: bool) -> None:
    """Writes a volume and reads it back: writers may keep silent about what they cut off."""
    try:
        if _is_nifti(path):
            write_nifti(path, array, grid)
        else:
            image = as_image(array, grid.spacing, grid.origin, grid.direction)
            sitk.WriteImage(image, str(path), useCompression=compress)
        check_bytes(path)
    except (RuntimeError, UserError) as error:
        path.write_bytes(array.tobytes())  # tells of a full disk
        raise RuntimeError("the volume was not written whole") from error


def write_on_grid(path: Path, array: np.ndarray, grid: StoredGrid) -> None:
    """Writes an LPS array in the axis order and geometry of the file that `grid` was read from.

    Args:
        path: target file; its suffix chooses the format, its folder is created.
        array: [D,H,W] voxels of the size of `read_volume_and_grid`'s array.
        grid: grid of the file to match.

    Raises:
        UserError: the array has another size, or the file cannot be written.
    """
    # An array on its own is LPS.
    image = sitk.DICOMOrient(sitk.GetImageFromArray(array), _axes(grid))
    if image.GetSize() != tuple(grid.size):
        raise UserError(
            f"The voxels for {path} must fill a grid of {grid.size}, found {image.GetSize()}; pass "
            "the array that was read, or one of its shape."
        )
    _write(Path(path), sitk.GetArrayFromImage(image), grid)
