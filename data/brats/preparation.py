"""From the volumes of one case to normalised, cropped axial slices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from data.brats.label_schemes import to_2015
from data.brats.names import MODALITIES
from data.brats.scaling import background, scaled_slices, shrunk_label
from data.brats.slices import SliceConfig
from data.brats.subjects import Subject
from data.brats.windows import axial_range, check_crop, cut, frame_start
from data.contract import CaseSlices, Place
from data.grids import SPACING, Volume, check_same_geometry, check_spacing
from data.resampling import resampled
from data.volumes import read_volume
from utils.errors import UserError

RESAMPLING = " (a training does it with --slicing.resample true)"


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
    volumes = read_case((*paths, subject.label), (subject.label,), config)
    case, arrays = f"Case {subject.id}", {path: volumes[path].array for path in paths}
    whole = volumes[subject.label]
    check_crop(f"{case} ({subject.label})", whole.array.shape, config)
    axial = chosen_slices(case, arrays, config)
    images = scaled_slices(arrays, axial, config)
    label = cut(to_2015(whole.array, scheme, subject.label), axial, config)
    index, place = in_frame(axial, whole, config)
    return CaseSlices(images, shrunk_label(label, config), index, place)


def read_case(
    paths: Sequence[Path], labels: Collection[Path], config: SliceConfig
) -> dict[Path, Volume]:
    """Returns the volumes of one case, on one grid of 1 mm.

    Args:
        paths: all files.
        labels: those of them that hold labels.
        config: its `resample` tells what happens to voxels of another size.

    Raises:
        UserError: an unreadable file, differing geometries, or voxels that are not 1 mm wide.
    """
    volumes = {path: read_volume(path) for path in paths}
    check_same_geometry(volumes)
    if config.resample:
        return on_millimetres(volumes, labels)
    check_spacing(paths[-1], volumes[paths[-1]], RESAMPLING)
    return volumes


def on_millimetres(volumes: Mapping[Path, Volume], labels: Collection[Path]) -> dict[Path, Volume]:
    """Returns volumes with voxels of 1 mm; `labels` are the files that hold labels."""
    return {path: resampled(v, (SPACING,) * 3, path in labels) for path, v in volumes.items()}


def in_frame(axial: np.ndarray, volume: Volume, config: SliceConfig) -> tuple[np.ndarray, Place]:
    """Returns the numbers of slices of a volume in the frame, [S], and where the frame begins.

    The same number is the same height in volumes of any size.
    """
    first, row, column = frame_start(volume.array.shape, config)
    axes = np.reshape(volume.direction, (3, 3))
    moved = np.asarray(volume.origin) + SPACING * axes @ (column, row, first)
    return axial - first, Place(tuple(moved.tolist()), volume.direction)


def slices_with_brain(
    volumes: Mapping[Path, np.ndarray], axial: np.ndarray, config: SliceConfig
) -> np.ndarray:
    """Returns bool [S]: which slices have enough brain within the crop in every volume.

    Brain pixels differ from the volume's background, or from 0 if it has no background value.

    Args:
        volumes: arrays [D,H,W] by file.
        axial: [S], the slices.
        config: crop and `min_brain_pixels`; 0 keeps every slice.
    """
    if not config.min_brain_pixels:
        return np.full(len(axial), True)
    counts = []
    for array in volumes.values():
        empty = background(array) or 0
        counts.append(np.count_nonzero(cut(array, axial, config, empty) != empty, axis=(1, 2)))
    return np.min(counts, axis=0) > config.min_brain_pixels


def chosen_slices(what: str, volumes: Mapping[Path, np.ndarray], config: SliceConfig) -> np.ndarray:
    """Returns int64 [S]: the slices of the range that have enough brain.

    Args:
        what: beginning of the error message, such as "Case 1".
        volumes: arrays [D,H,W] by file, not smaller than the crop.
        config: range, crop and `min_brain_pixels`.

    Raises:
        UserError: no slice has enough brain.
    """
    axial = axial_range(next(iter(volumes.values())).shape, config)
    axial = axial[slices_with_brain(volumes, axial, config)]
    if not axial.size:
        raise UserError(
            f"{what} has no slice in {config.slices} with more than {config.min_brain_pixels} "
            "pixels of brain in every modality; lower --slicing.min_brain_pixels or remove the "
            "case."
        )
    return axial


def slices_with_signal(what: str, images: np.ndarray, config: SliceConfig) -> np.ndarray:
    """Returns int64 [K]: the rows of `images` [S,H,W,M] in which a modality is not constant.

    Raises:
        UserError: there is no such row; `what` begins the message.
    """
    kept = np.flatnonzero(np.ptp(images, axis=(1, 2)).any(axis=-1))
    if not kept.size:
        raise UserError(
            f"{what} has no signal in slices {config.slices}, rows {config.rows} and columns "
            f"{config.columns}; choose another range or remove the case."
        )
    return kept
