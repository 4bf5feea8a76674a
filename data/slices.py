"""From the volumes of one case to normalised, cropped axial slices."""

from dataclasses import dataclass
from typing import Optional

import numpy as np
from skimage.measure import block_reduce

from data.contract import MODALITIES, NUM_CLASSES
from data.label_schemes import to_2015
from data.subjects import Subject
from data.volumes import Volume, check_same_geometry, check_spacing, read_volume
from utils.errors import UserError


@dataclass(frozen=True)
class SliceConfig:
    """Which part of each volume becomes training slices; the defaults are those of the papers.

    Ranges are half-open and count voxels of 1 mm, from the feet, the front and the right.

    Args:
        slices: Axial slices, first and one past the last (the released code
            took [50,105]).
        rows: Rows kept of each slice, first and one past the last, in voxels.
        columns: Columns kept of each slice, first and one past the last, in voxels.
        downsample: Whole factor by which cropped rows and columns shrink (1 keeps every voxel).
        label_scheme: Release whose label values the files use; needed only for BraTS-GLI names.

    Raises:
        UserError: an empty or negative range, or a factor that does not divide the crop.
    """

    slices: tuple[int, int] = (55, 105)
    rows: tuple[int, int] = (38, 222)
    columns: tuple[int, int] = (48, 192)
    downsample: int = 1
    label_scheme: Optional[str] = None

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


def output_size(config: SliceConfig) -> tuple[int, int]:
    """Returns height and width of the prepared slices in pixels."""
    (top, bottom), (left, right) = config.rows, config.columns
    return (bottom - top) // config.downsample, (right - left) // config.downsample


def prepare_subject(
    subject: Subject, config: SliceConfig, scheme: str
) -> tuple[np.ndarray, np.ndarray]:
    """Reads one case and cuts its slices, scaled by minimum and maximum of each whole volume.

    Down-sampling takes the mean of images and the most frequent label (the smaller value on a tie).

    Args:
        subject: the case.
        config: range, crop and size; S = number of slices, H x W = `output_size(config)`.
        scheme: a key of `data.label_schemes.SCHEMES`.

    Returns:
        images: float32 [S,H,W,4] in [0,1], order `MODALITIES`.
        label: uint8 [S,H,W] with the BRATS 2015 meaning.

    Raises:
        UserError: an unreadable file, differing geometries, voxels that are not 1 mm wide, a
            constant volume, a volume smaller than the crop, or label values outside the scheme.
    """
    paths = [subject.images[modality] for modality in MODALITIES]
    volumes = {path: read_volume(path) for path in (*paths, subject.label)}
    check_same_geometry(volumes)
    check_spacing(subject.label, volumes[subject.label])
    crop = _crop(subject, config, volumes[subject.label])
    images = np.stack([_unit_range(volumes[path], crop, path) for path in paths], axis=-1)
    label = to_2015(volumes[subject.label].array, scheme, subject.label)[crop]
    if config.downsample == 1:
        return images, label
    block = (1, config.downsample, config.downsample)
    votes = [block_reduce(label == value, block, np.sum) for value in range(NUM_CLASSES)]
    return block_reduce(images, (*block, 1), np.mean), np.argmax(votes, axis=0).astype(np.uint8)


def _crop(subject: Subject, config: SliceConfig, volume: Volume) -> tuple[slice, ...]:
    crop = []
    for name, size in zip(("slices", "rows", "columns"), volume.array.shape):
        start, stop = getattr(config, name)
        if stop > size:
            raise UserError(
                f"Case {subject.id} ({subject.label}) has {size} {name} but --slicing.{name} ends "
                f"at {stop}; choose a range within 0 {size} or remove the case."
            )
        crop.append(slice(start, stop))
    return tuple(crop)


def _unit_range(volume: Volume, crop: tuple[slice, ...], source: object) -> np.ndarray:
    # Extremes of the whole volume, so that the slices of a case keep comparable intensities.
    low, high = float(volume.array.min()), float(volume.array.max())
    if low == high:
        raise UserError(
            f"The volume {source} is constant (every voxel is {low:g}) and cannot be scaled; "
            "replace the file or remove the case."
        )
    return ((volume.array[crop].astype(np.float64) - low) / (high - low)).astype(np.float32)
