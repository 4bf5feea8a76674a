"""Intensities of volumes on their way to slices in [0,1]: background, limits, size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Optional

import numpy as np
from scipy import ndimage
from skimage.measure import block_reduce

from data.brats.names import NUM_CLASSES
from data.brats.slices import MINMAX, PERCENTILE, SLICE_MAXIMUM, SliceConfig
from data.brats.windows import cut
from data.resizing import area_resize, area_resize_label
from utils.errors import UserError

_MOST = (0.5, 99.5)  # percentiles between which the voxels that matter lie
_LEAST_CONTRAST = 0.04  # of a volume's range
_NEAR = 1e-4  # of a volume's range: what resampling leaves of a constant
_FEW = 0.05  # fraction of a brain that interpolation may make darker than the background
_DARKEST = 0.2  # scaled value of a z-scored brain's darkest voxel; above the thresholds of masks
BRIGHT = "the background is not the minimum, as in z-scored volumes: it becomes 0, the brain "
BRIGHT += f"{_DARKEST} to 1"
DARK_MEDIAN = 0.15
DARK = (
    f"the median of the brain is below {DARK_MEDIAN} after scaling, so that its slices are dark: a "
)
DARK += f"few bright voxels set the scale; --slicing.scaling {PERCENTILE} clips them"
_BRIGHTEST = 99.9  # percentile of the brain
OVERSHOT = "a few voxels darker than the background become 0, like the background"


def background(array: np.ndarray) -> Optional[float]:
    """Returns the background value of a volume [D,H,W], around the head; None if there is none.

    More than half of the outermost voxels have this value, up to rounding. Skull-stripped volumes
    have a background value; scans with noise around the head have none.
    """
    low, high = float(array.min()), float(array.max())
    faces = [array.take(end, axis).ravel() for axis in range(array.ndim) for end in (0, -1)]
    outer = np.concatenate(faces)
    if _mostly(outer, low, high - low):  # nearly always, and faster than sorting
        return low
    middle = float(np.partition(outer, outer.size // 2)[outer.size // 2])
    return middle if _mostly(outer, middle, high - low) else None


def _mostly(values: np.ndarray, value: float, span: float) -> bool:
    return 2 * np.count_nonzero(_near(values, value, span)) > values.size


def _near(values: np.ndarray, value: float, span: float) -> np.ndarray:
    """Returns bool [...]: which values equal `value` up to rounding, given their range `span`."""
    return np.abs(values.astype(np.float64) - value) <= _NEAR * span


def bright_value(array: np.ndarray) -> Optional[float]:
    """Returns the background of a volume if it is not the minimum, as in z-scored volumes."""
    value, low = background(array), float(array.min())
    dark = value is None or value - low <= _NEAR * (float(array.max()) - low)
    return None if dark else value


def zero_point(array: np.ndarray) -> tuple[float, str]:
    """Returns the intensity of a volume [D,H,W] that is scaled to 0, and a note for the user.

    The note is "" if this intensity is the minimum. If the background is brighter than the minimum,
    the background intensity is scaled to 0. But if more than the fraction `_FEW` of the brain
    voxels is darker than the background, as in z-scored volumes, the zero point is set below the
    minimum: the darkest brain voxel becomes `_DARKEST`, so that masks include it.
    """
    value, low, high = bright_value(array), float(array.min()), float(array.max())
    if value is None:
        return low, ""
    brain = ~_near(array, value, high - low)
    if np.count_nonzero(brain & (array < value)) <= _FEW * np.count_nonzero(brain):
        return value, OVERSHOT
    return low - (high - low) * _DARKEST / (1 - _DARKEST), BRIGHT


def bright_background(array: np.ndarray) -> Optional[np.ndarray]:
    """Returns bool [D,H,W]: the voxels of a background of `bright_value`; None if that is None.

    Voxels of a z-scored brain can have this value, too, so only voxels that are connected to the
    border count as background.
    """
    value = bright_value(array)
    if value is None:
        return None
    near = _near(array, value, float(array.max()) - float(array.min()))
    parts, _ = ndimage.label(np.pad(near, 1, constant_values=True))
    return (parts == 1)[1:-1, 1:-1, 1:-1]  # the first part is that of the padding


def scaled_slices(
    volumes: Mapping[Path, np.ndarray], axial: np.ndarray, config: SliceConfig
) -> np.ndarray:
    """Cuts slices of some volumes, shrinks and scales them.

    With `minmax` and `percentile` the scaled values are averaged; a background that is not the
    minimum, as in z-scored volumes, becomes 0 before (`zero_point`). With `slice_maximum` (the
    released code of TC-MGAN) the file's values are averaged, rounded to whole numbers by `resize`,
    and divided by the largest one of the slice; where all are zero, zeros stay.

    Args:
        volumes: up to four arrays [D,H,W] by file.
        axial: [S], the slices.
        config: crop, size and scaling.

    Returns:
        float32 [S,h,w,M] in [0,1], h x w = `output_size(config)`.

    Raises:
        UserError: `extremes` refuses a volume; the message names the file.
    """
    limits = [extremes(path, array, config) for path, array in volumes.items()]
    if config.scaling == SLICE_MAXIMUM:
        frames = [cut(array, axial, config) for array in volumes.values()]
        stack = _shrunk(np.stack(frames, axis=-1), config).astype(np.float64)
        highest = stack.max(axis=(1, 2), keepdims=True)
        scaled = np.divide(stack, highest, out=np.zeros_like(stack), where=highest > 0)
        return scaled.astype(np.float32)
    # Extremes of the whole volume, so that the slices of a case keep comparable intensities.
    pairs = zip(volumes.values(), limits)
    return _shrunk(
        np.stack([_scaled(v, axial, config, high) for v, (_, high) in pairs], -1), config
    )


def _scaled(array: np.ndarray, axial: np.ndarray, config: SliceConfig, high: float) -> np.ndarray:
    """Returns crops [S,rows,columns] float32 in [0,1], in which the background is 0."""
    low, note = zero_point(array)
    frame = np.maximum(cut(array, axial, config, low).astype(np.float64), low)
    scaled = np.minimum((frame - low) / (high - low), 1).astype(np.float32)
    if note == BRIGHT:
        scaled[cut(bright_background(array), axial, config, True)] = 0
    return scaled


def extremes(source: Path, array: np.ndarray, config: SliceConfig) -> tuple[float, float]:
    """Returns minimum and maximum of a volume, or with `percentile` what becomes 1 in its place.

    Raises:
        UserError: the volume cannot be scaled: it is constant, a few outliers such as 1e30 leave
            the other voxels without contrast (with `percentile` only dark outliers do), or, under
            `slice_maximum`, it has values below 0 or a background other than 0. The message names
            the file.
    """
    low, high = float(array.min()), float(array.max())
    if low == high:
        raise UserError(
            f"The volume {source} is constant (every voxel is {low:g}) and cannot be scaled; "
            "replace the file or remove the case."
        )
    # Not interpolated, which would draw outliers in. Of a volume that is empty but for a few voxels
    # these are the signal.
    inner = [float(v) for v in np.percentile(array, _MOST, method="nearest")]
    visible = (inner[1] - inner[0]) / _LEAST_CONTRAST  # the largest range that leaves contrast
    high = _brightest(array, config.scaling)
    if 0 < visible < high - low:
        bright = config.scaling == MINMAX and visible >= _brightest(array, PERCENTILE) - low
        cure = f"choose --slicing.scaling {PERCENTILE}, " if bright else ""
        raise UserError(
            f"The volume {source} ranges from {low:g} to {high:g}, but {_MOST[1] - _MOST[0]:g} % "
            f"of its voxels lie between {inner[0]:g} and {inner[1]:g}, less than "
            f"{_LEAST_CONTRAST:.0%} of that range: after scaling they would have almost no "
            f"contrast; {cure}clip the outliers or remove the case."
        )
    if config.scaling != SLICE_MAXIMUM:
        return low, high
    lowest = low if low < 0 else background(array)
    if lowest:
        raise UserError(
            f"The volume {source} must have a background of 0 and no voxel below 0 for "
            f"--slicing.scaling {SLICE_MAXIMUM}, found {lowest:g}; shift its intensities or choose "
            f"--slicing.scaling {MINMAX}."
        )
    return low, high


def _brightest(array: np.ndarray, scaling: str) -> float:
    """Returns the value of a volume that becomes 1: a percentile of the brain, or the maximum."""
    if scaling == PERCENTILE:
        return float(np.percentile(_brain(array), _BRIGHTEST, method="lower"))
    return float(array.max())


def _brain(array: np.ndarray) -> np.ndarray:
    """Returns the values that differ from the background; all if that leaves none."""
    value = background(array)
    if value is None:
        return array
    low, high = np.percentile(array, _MOST, method="nearest")  # outliers would hide the brain
    brain = array[~_near(array, value, float(high) - float(low))]
    return brain if brain.size else array


def darkness_note(array: np.ndarray, low: float, config: SliceConfig) -> str:
    """Returns a warning if the brain of a volume [D,H,W] is dark after scaling, else "".

    `low` is the intensity that is scaled to 0, see `zero_point`.
    """
    high = _brightest(array, config.scaling)
    # One voxel in 27 is enough for a median, and is fast.
    median = float(np.median(_brain(array[::3, ::3, ::3])))
    return DARK if median - low < DARK_MEDIAN * (high - low) else ""


def _shrunk(stack: np.ndarray, config: SliceConfig) -> np.ndarray:
    """Brings crops [S,H,W,M] to the output size."""
    if config.resize is not None:
        return area_resize(stack, config.resize)
    if config.downsample == 1:
        return stack
    return block_reduce(stack, (1, config.downsample, config.downsample, 1), np.mean)


def shrunk_label(
    label: np.ndarray, config: SliceConfig, num_classes: int = NUM_CLASSES
) -> np.ndarray:
    """Brings labels [S,H,W] of 0..num_classes - 1 to the output size."""
    if config.resize is not None:
        return area_resize_label(label, config.resize)
    if config.downsample == 1:
        return label
    block = (1, config.downsample, config.downsample)
    votes = [block_reduce(label == value, block, np.sum) for value in range(num_classes)]
    return np.argmax(votes, axis=0).astype(np.uint8)
