"""From the volumes of one case to normalised, cropped axial slices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
from skimage.measure import block_reduce

from data.brats.label_schemes import to_2015
from data.brats.names import MODALITIES, NUM_CLASSES
from data.brats.subjects import Subject
from data.contract import CaseSlices, Place
from data.resizing import area_resize, area_resize_label
from data.volumes import SPACING, check_same_geometry, check_spacing, read_volume
from utils.errors import UserError, check_fields, one_of

VOLUME_RANGE, SLICE_MAXIMUM = "volume_range", "slice_maximum"
_MOST = (0.5, 99.5)  # percentiles between which the voxels that matter lie
_LEAST_CONTRAST = 0.04  # of a volume's range


@dataclass(frozen=True)
class SliceConfig:
    """Which part of each volume becomes slices, their size and their scaling.

    Ranges are half-open and count voxels of 1 mm, from the feet, the front and the right.

    Args:
        slices: Axial slices, first and one past the last.
        rows: Rows kept of each slice, first and one past the last, in voxels.
        columns: Columns kept of each slice, first and one past the last, in voxels.
        downsample: Whole factor by which cropped rows and columns shrink (1 keeps every voxel).
        label_scheme: Release whose label values the files use; needed only for BraTS-GLI names.
        min_brain_pixels: Keep slices with more non-zero pixels than this in every modality (0 keeps
            all).
        resize: Side in pixels to which square crops shrink by area interpolation, in place of
            downsample.
        scaling: volume_range (minimum and maximum of each volume become 0 and 1) or slice_maximum
            (each modality of a slice is divided by its largest value).

    Raises:
        UserError: an empty or negative range, a factor that does not divide the crop, or values
            that exclude each other.
    """

    # As in the thesis; its released code took slices [50,105].
    slices: tuple[int, int] = (55, 105)
    rows: tuple[int, int] = (38, 222)
    columns: tuple[int, int] = (48, 192)
    downsample: int = 1
    label_scheme: Optional[str] = None
    min_brain_pixels: int = 0
    resize: Optional[int] = None
    scaling: str = VOLUME_RANGE

    def __post_init__(self) -> None:
        for name in ("slices", "rows", "columns"):
            start, stop = getattr(self, name)
            if not 0 <= start < stop:
                raise UserError(
                    f"--slicing.{name} must be a range 0 <= first < end, found {start} {stop}."
                )
            if name != "slices" and (self.downsample < 1 or (stop - start) % self.downsample):
                raise UserError(
                    f"--slicing.downsample must be a divisor of the {stop - start} {name}, "
                    f"found {self.downsample}; change it or --slicing.{name}."
                )
        check_fields(self, "--slicing.", scaling=one_of((VOLUME_RANGE, SLICE_MAXIMUM)))
        height, width = self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]
        if not 0 <= self.min_brain_pixels < height * width:
            raise UserError(
                f"--slicing.min_brain_pixels must be 0 or more and less than the {height * width} "
                f"pixels of a crop, found {self.min_brain_pixels}; change it or the crop."
            )
        if self.resize is None:
            return
        if self.downsample != 1:
            raise UserError(
                f"--slicing.resize {self.resize} excludes --slicing.downsample {self.downsample}; "
                "give one of the two."
            )
        if height != width or not 1 <= self.resize <= height:
            raise UserError(
                "--slicing.resize needs a square crop and a side of 1 up to the crop's, found "
                f"{self.resize} for {height} rows and {width} columns; change it, --slicing.rows "
                "or --slicing.columns."
            )


def output_size(config: SliceConfig) -> tuple[int, int]:
    """Returns height and width of the prepared slices in pixels."""
    if config.resize is not None:
        return config.resize, config.resize
    (top, bottom), (left, right) = config.rows, config.columns
    return (bottom - top) // config.downsample, (right - left) // config.downsample


def pixel_size(config: SliceConfig) -> float:
    """Returns height and width of a prepared pixel in mm."""
    return SPACING * (config.rows[1] - config.rows[0]) / output_size(config)[0]


def prepare_subject(subject: Subject, config: SliceConfig, scheme: str) -> CaseSlices:
    """Reads one case and cuts its slices, scaled by `scaled_slices`.

    Slices ascend from the feet (TC-MGAN's released code stores them from 154 down to 0). Its rule
    of more than 2000 brain pixels counts them before the resizing. Down-sampling takes the most
    frequent label (the smaller value on a tie), resizing that of `area_resize_label`.

    Args:
        subject: the case.
        config: range, crop and size; S = number of slices, H x W = `output_size(config)`.
        scheme: a key of `data.brats.label_schemes.SCHEMES`.

    Returns:
        Slices of M = 4, order `MODALITIES`, and labels with the BRATS 2015 meaning.

    Raises:
        UserError: an unreadable file, differing geometries, voxels that are not 1 mm wide, a volume
            smaller than the crop, label values outside the scheme, no slice with enough brain, or a
            volume that `scaled_slices` refuses.
    """
    paths = [subject.images[modality] for modality in MODALITIES]
    volumes = {path: read_volume(path) for path in (*paths, subject.label)}
    check_same_geometry(volumes)
    check_spacing(subject.label, volumes[subject.label])
    case, arrays = f"Case {subject.id}", {path: volumes[path].array for path in paths}
    whole = volumes[subject.label]
    check_crop(f"{case} ({subject.label})", whole.array.shape, config)
    axial = chosen_slices(case, arrays, config)
    images = scaled_slices(arrays, axial, config)
    label = cut(to_2015(whole.array, scheme, subject.label), axial, config)
    place = Place(whole.origin, whole.direction)
    return CaseSlices(images, _shrunk_label(label, config), axial, place)


def scaled_slices(
    volumes: Mapping[Path, np.ndarray], axial: np.ndarray, config: SliceConfig
) -> np.ndarray:
    """Cuts slices of some volumes, shrinks and scales them.

    With `volume_range` the scaled values are averaged. With `slice_maximum` (TC-MGAN's released
    code) the file's values are averaged, rounded to whole numbers by `resize`, and divided by the
    largest one of the slice; where all are zero, zeros stay.

    Args:
        volumes: up to four arrays [D,H,W] by file.
        axial: [S], the slices.
        config: crop, size and scaling.

    Returns:
        float32 [S,h,w,M] in [0,1], h x w = `output_size(config)`.

    Raises:
        UserError: a volume that `extremes` refuses; names the file.
    """
    limits = [extremes(path, array, config) for path, array in volumes.items()]
    frames = [cut(array, axial, config) for array in volumes.values()]
    if config.scaling == SLICE_MAXIMUM:
        stack = _shrunk(np.stack(frames, axis=-1), config).astype(np.float64)
        highest = stack.max(axis=(1, 2), keepdims=True)
        scaled = np.divide(stack, highest, out=np.zeros_like(stack), where=highest > 0)
        return scaled.astype(np.float32)
    # Extremes of the whole volume, so that the slices of a case keep comparable intensities.
    scaled = [
        ((frame.astype(np.float64) - low) / (high - low)).astype(np.float32)
        for frame, (low, high) in zip(frames, limits)
    ]
    return _shrunk(np.stack(scaled, axis=-1), config)


def slices_with_brain(
    volumes: Mapping[Path, np.ndarray], axial: np.ndarray, config: SliceConfig
) -> np.ndarray:
    """Returns bool [S]: which slices have enough non-zero pixels within the crop in every volume.

    Args:
        volumes: arrays [D,H,W] by file.
        axial: [S], the slices.
        config: crop and `min_brain_pixels`, of which 0 keeps every slice.
    """
    if not config.min_brain_pixels:
        return np.full(len(axial), True)
    counts = [np.count_nonzero(cut(v, axial, config), axis=(1, 2)) for v in volumes.values()]
    return np.min(counts, axis=0) > config.min_brain_pixels


def chosen_slices(what: str, volumes: Mapping[Path, np.ndarray], config: SliceConfig) -> np.ndarray:
    """Returns int64 [S]: the slices of the range that have enough brain.

    Args:
        what: begins the error's sentence, such as "Case 1".
        volumes: arrays [D,H,W] by file, not smaller than the crop.
        config: range, crop and `min_brain_pixels`.

    Raises:
        UserError: no slice has.
    """
    axial = np.arange(*config.slices)
    axial = axial[slices_with_brain(volumes, axial, config)]
    if not axial.size:
        raise UserError(
            f"{what} has no slice in {config.slices} with more than {config.min_brain_pixels} "
            "non-zero pixels in every modality; lower --slicing.min_brain_pixels or remove the "
            "case."
        )
    return axial


def slices_with_signal(what: str, images: np.ndarray, config: SliceConfig) -> np.ndarray:
    """Returns int64 [K]: the rows of `images` [S,H,W,M] in which a modality is not constant.

    Raises:
        UserError: there is none; `what` begins the sentence.
    """
    kept = np.flatnonzero(np.ptp(images, axis=(1, 2)).any(axis=-1))
    if not kept.size:
        raise UserError(
            f"{what} has no signal in slices {config.slices}, rows {config.rows} and columns "
            f"{config.columns}; choose another range or remove the case."
        )
    return kept


def cut(array: np.ndarray, axial: np.ndarray, config: SliceConfig) -> np.ndarray:
    """Returns the crops [S,rows,columns] of the slices `axial` [S] of a volume [D,H,W]."""
    return array[axial, slice(*config.rows), slice(*config.columns)]


def check_crop(
    what: str,
    shape: tuple[int, ...],
    config: SliceConfig,
    names: Sequence[str] = ("slices", "rows", "columns"),
) -> None:
    """Raises UserError if a volume, `what` of size (D, H, W), is smaller than the crop."""
    sizes = dict(zip(("slices", "rows", "columns"), shape))
    for name in names:
        stop = getattr(config, name)[1]
        if stop > sizes[name]:
            raise UserError(
                f"{what} has {sizes[name]} {name} but --slicing.{name} ends at {stop}; choose a "
                f"range within 0 {sizes[name]} or leave it out."
            )


def extremes(source: Path, array: np.ndarray, config: SliceConfig) -> tuple[float, float]:
    """Returns minimum and maximum of a volume; UserError, naming its file, if it cannot be scaled.

    That is a constant volume, one that a few voxels leave without contrast, such as one of 1e30, or
    under `slice_maximum` one with values below 0. Nothing is clipped.
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
    if 0 < inner[1] - inner[0] < _LEAST_CONTRAST * (high - low):
        raise UserError(
            f"The volume {source} ranges from {low:g} to {high:g}, of which "
            f"{_MOST[1] - _MOST[0]:g} % of its voxels use less than {_LEAST_CONTRAST:.0%} "
            f"({inner[0]:g} to {inner[1]:g}): scaled, they would have no contrast; clip the few "
            "others or remove the case."
        )
    if config.scaling == SLICE_MAXIMUM and low < 0:
        raise UserError(
            f"The volume {source} must have no voxel below 0 for --slicing.scaling {SLICE_MAXIMUM},"
            f" found {low:g}; use intensities with a background of 0 or {VOLUME_RANGE}."
        )
    return low, high


def _shrunk(stack: np.ndarray, config: SliceConfig) -> np.ndarray:
    """Brings crops [S,H,W,M] to the output size."""
    if config.resize is not None:
        return area_resize(stack, config.resize)
    if config.downsample == 1:
        return stack
    return block_reduce(stack, (1, config.downsample, config.downsample, 1), np.mean)


def _shrunk_label(label: np.ndarray, config: SliceConfig) -> np.ndarray:
    """Brings labels [S,H,W] to the output size."""
    if config.resize is not None:
        return area_resize_label(label, config.resize)
    if config.downsample == 1:
        return label
    block = (1, config.downsample, config.downsample)
    votes = [block_reduce(label == value, block, np.sum) for value in range(NUM_CLASSES)]
    return np.argmax(votes, axis=0).astype(np.uint8)
