"""An atlas from a folder of the user's: a volume for each sequence, cut like the slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.atlas import Atlas
from data.brats.scaling import scaled_slices
from data.brats.slices import SliceConfig
from data.brats.windows import axial_range
from data.grids import check_same_geometry, check_spacing
from data.volumes import SUFFIXES, read_volume, stem_of
from utils.errors import UserError


def atlas_paths(folder: Path, sequences: Sequence[str]) -> list[Path]:
    """Returns the volume of each sequence, in their order, found by name whatever its case.

    Raises UserError unless the folder has exactly one volume for each sequence and no others.
    """
    files = sorted(folder.glob("*")) if folder.is_dir() else []
    found = [path for path in files if path.name.lower().endswith(SUFFIXES)]
    by_name = {stem_of(path).lower(): path for path in found}
    if len(found) != len(sequences) or set(by_name) != {name.lower() for name in sequences}:
        raise UserError(
            f"--atlas {folder} must be a folder with one volume for each of "
            f"{', '.join(sequences)}, named such as {sequences[0]}.nii.gz, found "
            f"{', '.join(path.name for path in found) or 'none'}; add, remove or rename files"
        )
    return [by_name[name.lower()] for name in sequences]


def read_atlas(folder: Path, sequences: Sequence[str], config: SliceConfig) -> Atlas:
    """Returns the atlas that a folder holds, cut, shrunk and scaled as slices are.

    Args:
        folder: see `atlas_paths`.
        sequences: names of the channels, in their order.
        config: range, crop, size and scaling; volumes have the size of its frame.

    Raises:
        UserError: files are missing or too many, a volume is damaged, is not on a grid of 1 mm with
            the frame's size, lies elsewhere than the first one, or cannot be scaled.
    """
    volumes = {path: read_volume(path) for path in atlas_paths(folder, sequences)}
    for path, volume in volumes.items():
        check_spacing(path, volume)
        if volume.array.shape != tuple(config.frame):
            raise UserError(
                f"The atlas {path} must have the {_size(config.frame)} voxels of --slicing.frame, "
                f"found {_size(volume.array.shape)}; resample it to that grid"
            )
    check_same_geometry(volumes)
    axial = axial_range(config.frame, config)
    arrays = {path: volume.array for path, volume in volumes.items()}
    return Atlas(scaled_slices(arrays, axial, config), int(axial[0]))


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
