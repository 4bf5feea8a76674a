"""NIfTI files through nibabel, which gives their values and positions as they are stored.

SimpleITK's reader puts 0 in the place of NaN and infinity, and where a file holds two positions it
chooses one, each without a word.
"""

from __future__ import annotations

import functools
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError

from data.grids import DIRECTION_TOLERANCE, StoredGrid, differing_geometry
from data.integrity import check_bytes, damaged, image_class
from utils.errors import UserError

_TO_LPS = np.diag((-1.0, -1.0, 1.0))  # NIfTI's axes run to the right, to the front and upwards
_MM = {"meter": 1000.0, "micron": 0.001}
_ANATOMICAL = 1  # code of a position in the scanner
_FORMS = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
)


def read_nifti(path: Path, channel: Optional[int] = None) -> tuple[np.ndarray, StoredGrid]:
    """Reads a file after the checks of `data.integrity.check_bytes`.

    Args:
        path: of a `.nii` or `.nii.gz`.
        channel: which volume of a four-dimensional file; None for a file of one volume.

    Returns:
        Values [D,H,W], scaled as the header says, and their grid, both in the file's order of axes.

    Raises:
        UserError: the file is damaged, has other dimensions, voxels that are not real numbers, no
            position or two different ones, or axes that are not perpendicular.
    """
    status = path.stat()
    content = _decoded(path, (status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    image = image_class(content).from_bytes(content)
    header = image.header_class.from_fileobj(io.BytesIO(content))  # an image forgets its scale
    size = _checked_size(path, header.get_data_shape(), channel)
    check_real(path, header.get_data_dtype())
    if np.isinf(header["scl_slope"]):
        raise damaged(path, "its scale factor scl_slope is infinite")
    part = (slice(None),) * 3 + ((channel or 0),) * (len(image.shape) > 3)
    part += (0,) * (len(image.shape) - len(part))
    array = np.asarray(image.dataobj[part])
    forms = {name: np.array(header[name]) for name in _FORMS}
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return native.T, StoredGrid(size, *_geometry(path, header), forms)


@functools.lru_cache(maxsize=1)  # the volumes of a four-dimensional file are read one by one
def _decoded(path: Path, stamp: tuple[int, ...]) -> bytes:
    pieces: list[bytes] = []
    check_bytes(path, pieces)
    return b"".join(pieces) or path.read_bytes()


def check_real(path: Path, dtype: np.dtype) -> None:
    """Raises UserError unless voxels of a type are real numbers of at most 8 bytes."""
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise UserError(
            f"The volume {path} must hold one real number per voxel, found the type {dtype}; save "
            "it as float32, of complex values the magnitude."
        )


def _checked_size(path: Path, shape: Sequence[int], channel: Optional[int]) -> tuple[int, ...]:
    """Returns (x, y, z) voxels; UserError for what is not one volume or has no such channel."""
    further = int(np.prod(shape[3:]))
    if len(shape) < 3 or (channel is None and further != 1):
        raise UserError(
            f"The volume {path} must have 3 dimensions and one value per voxel, found size "
            f"{tuple(shape)}; split it into one file per modality, or name its volumes by #0, #1 "
            "and so on in a file for --slicing.layout."
        )
    if channel is not None and not (len(shape) == 4 and channel < further):
        raise UserError(
            f"The volume {path} must have 4 dimensions and more than {channel} volumes, found size "
            f"{tuple(shape)}; correct dataset.json or --slicing.layout."
        )
    return tuple(int(side) for side in shape[:3])


def _geometry(path: Path, header: nibabel.Nifti1Header) -> tuple[tuple[float, ...], ...]:
    """Returns spacing, origin and direction in LPS, where sform and qform agree on them."""
    try:
        affines = {"sform": header.get_sform(coded=True), "qform": header.get_qform(coded=True)}
    except HeaderDataError as error:
        raise damaged(path, f"its qform cannot be decoded ({error})") from error
    unit = _MM.get(header.get_xyzt_units()[0], 1.0)
    found = {
        name: _from_affine(path, name, affine, unit)
        for name, (affine, code) in affines.items()
        if code > 0
    }
    if not found:
        raise UserError(
            f"The volume {path} does not say where it lies: the codes of sform and qform are 0; "
            "store its position, such as with nibabel's image.set_sform(affine, 1)."
        )
    first, last = (StoredGrid((), *found[name]) for name in (min(found), max(found)))
    if any(differing_geometry(first, last)):
        raise UserError(
            f"The volume {path} holds two positions: by its sform (nibabel, FSL) the first voxel "
            f"lies at {_rounded(last.origin)} mm with the axes {_rounded(last.direction)}, by its "
            f"qform (ITK) at {_rounded(first.origin)} mm with {_rounded(first.direction)}; keep "
            "that of the case's other files: in nibabel, image.set_qform(image.get_sform(), 1) "
            "keeps the sform, image.set_sform(image.get_qform(), 1) the qform."
        )
    return last.spacing, last.origin, last.direction


def _from_affine(
    path: Path, name: str, affine: np.ndarray, unit: float
) -> tuple[tuple[float, ...], ...]:
    finite = bool(np.isfinite(affine).all())
    affine = np.nan_to_num(affine)
    axes = _TO_LPS @ affine[:3, :3] * unit
    spacing = np.linalg.norm(axes, axis=0)
    direction = axes / np.where(spacing > 0, spacing, 1)
    origin = _TO_LPS @ affine[:3, 3] * unit
    right_angles = direction.T @ direction
    if not (finite and np.allclose(right_angles, np.eye(3), 0, DIRECTION_TOLERANCE)):
        raise UserError(
            f"The volume {path} must have three axes at right angles and a position, but its "
            f"{name} has the rows {_rounded(affine[:3].ravel())}; resample the volume to a grid "
            "without shear."
        )
    return tuple(map(tuple, (spacing.tolist(), origin.tolist(), direction.ravel().tolist())))


def _rounded(values: Sequence[float]) -> str:
    return f"({', '.join(f'{value:.4g}' for value in values)})"


def write_nifti(path: Path, array: np.ndarray, grid: StoredGrid) -> None:
    """Writes values [D,H,W] with sform and qform, both in the scanner or as `grid.forms` has them.

    Args:
        path: of a `.nii` or `.nii.gz`.
        array: values in the file's order of axes.
        grid: where they lie.

    Raises:
        OSError: the file cannot be written.
    """
    nibabel.save(_image(array, grid), path)


def packed_nifti(array: np.ndarray, grid: StoredGrid) -> bytes:
    """Returns the bytes of the `.nii.gz` that `write_nifti` would write, quickly compressed."""
    return gzip.compress(_image(array, grid).to_bytes(), compresslevel=1, mtime=0)


def _image(array: np.ndarray, grid: StoredGrid) -> nibabel.Nifti1Image:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape[::-1])
    for name, value in (grid.forms or _scanner_forms(grid)).items():
        header[name] = value
    return nibabel.Nifti1Image(array.T, None, header)


def _scanner_forms(grid: StoredGrid) -> Mapping[str, Any]:
    affine, header = np.eye(4), nibabel.Nifti1Header()
    affine[:3, :3] = _TO_LPS @ np.reshape(grid.direction, (3, 3)) * grid.spacing
    affine[:3, 3] = _TO_LPS @ grid.origin
    header.set_xyzt_units("mm")
    header.set_qform(affine, _ANATOMICAL)
    header.set_sform(affine, _ANATOMICAL)
    return {name: header[name] for name in _FORMS}
