"""Volumes on voxels of another size, where a user asks for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from data.grids import VOXEL_TOLERANCE, Volume
from data.volumes import as_image


def resampled(volume: Volume, spacing: Sequence[float], label: bool) -> Volume:
    """Returns a volume on voxels of another size, whose outer faces begin where the old ones do.

    Images are interpolated linearly, as float32; along an axis whose voxels become larger they are
    smoothed first, by a Gaussian of half the difference of the two sizes, so that fine structures
    do not turn into others. Labels take the nearest value. The last voxel of an axis may reach
    beyond the old volume by half of its size.

    Args:
        volume: [D,H,W].
        spacing: new distances between voxels in mm, (x, y, z).
        label: whether the values are labels.
    """
    old, new = np.asarray(volume.spacing, float), np.asarray(spacing, float)
    if np.allclose(old, new, rtol=0.0, atol=VOXEL_TOLERANCE * new.min()):
        return volume
    array = volume.array
    if not label:
        width = np.maximum(new - old, 0.0) / 2 / old  # voxels
        array = gaussian_filter(array.astype(np.float32), width[::-1], mode="nearest")
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(old.tolist())
    size = np.maximum(np.rint(np.asarray(image.GetSize()) * old / new), 1).astype(int)
    shift = (new - old) / 2  # between the centres of the first voxels
    found = sitk.Resample(
        image,
        size.tolist(),
        sitk.Transform(),
        sitk.sitkNearestNeighbor if label else sitk.sitkLinear,
        shift.tolist(),
        new.tolist(),
        useNearestNeighborExtrapolator=True,
    )
    axes = np.reshape(volume.direction, (3, 3))
    origin = np.asarray(volume.origin) + axes @ shift
    array = sitk.GetArrayFromImage(found).astype(volume.array.dtype if label else np.float32)
    return Volume(array, tuple(new.tolist()), tuple(origin.tolist()), volume.direction)


def on_grid_of(volume: Volume, other: Volume, nearest: bool) -> np.ndarray:
    """Returns a volume [D,H,W] on the grid of another one; what lies beyond its voxels is 0.

    Args:
        volume: [D,H,W].
        other: its array gives the shape alone.
        nearest: take the nearest value, as for labels; otherwise interpolate linearly, as float32.
    """
    array = volume.array if nearest else volume.array.astype(np.float32)
    image = as_image(array, volume.spacing, volume.origin, volume.direction)
    empty = np.zeros(other.array.shape, np.uint8)
    reference = as_image(empty, other.spacing, other.origin, other.direction)
    method = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    found = sitk.Resample(image, reference, sitk.Transform(), method, 0, image.GetPixelID())
    return sitk.GetArrayFromImage(found)
