"""From a volume of one patient to a translator's input slices, and from its output back.

The slices are cut and scaled by the functions that prepare the training slices, so that a network
meets what it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Callable, NamedTuple, Union

import numpy as np
from tqdm import tqdm

from data.brats.preparation import slices_with_brain
from data.brats.scaling import scaled_slices
from data.brats.slices import SLICE_MAXIMUM, SliceConfig
from data.brats.windows import put_back, window
from data.grids import StoredGrid, check_spacing
from data.resizing import enlarge
from data.volumes import read_volume_and_grid
from utils.errors import UserError
from utils.runs.names import printable

FULL_SCALE = 1000  # what a predicted intensity of 1 is in a written volume


class Source(NamedTuple):
    """A volume and its slices.

    Attributes:
        path: its file.
        slices: float32 [N,h,w] in [0,1], see `source_slices`.
        axial: int64 [N], the index of each in the volume.
        array: [D,H,W], the volume.
        grid: grid of its file.
    """

    path: Path
    slices: np.ndarray
    axial: np.ndarray
    array: np.ndarray
    grid: StoredGrid


class VolumeTranslator:
    """A network that makes slices of other modalities of those of one.

    Args:
        translate: from slices [B,h,w] in [0,1] to slices [B,h,w,K] of the targets.
        targets: names of the K modalities.
        slicing: how slices are cut for it.
        network: hash of the network and of `slicing`.
    """

    def __init__(
        self,
        translate: Callable[[np.ndarray], np.ndarray],
        targets: Sequence[str],
        slicing: SliceConfig,
        network: str,
    ):
        self._translate = translate
        self.targets, self.slicing, self.network = tuple(targets), slicing, network

    def read(self, path: Union[str, Path]) -> Source:
        """Reads a volume and cuts its slices.

        Raises UserError if the volume is damaged, is not on the 1 mm grid or not skull-stripped, or
        holds no brain.
        """
        path = Path(path)
        volume, grid = read_volume_and_grid(path)
        check_spacing(path, volume)
        return Source(path, *source_slices(volume.array, self.slicing, path), volume.array, grid)

    def volumes(self, source: Source, batch_size: int = 8) -> dict[str, np.ndarray]:
        """Returns a volume's translations by modality: int16 [D,H,W], 0..1000, LPS order.

        With the scaling `slice_maximum` values are not comparable between slices.
        """
        starts = range(0, len(source.slices), batch_size)
        bar = tqdm(starts, desc=printable(source.path.name), unit="batch")
        batches = (source.slices[start : start + batch_size] for start in bar)
        images = np.concatenate([self._translate(batch) for batch in batches])
        return {
            name: predicted_volume(images[..., i], source.axial, source.array, self.slicing)
            for i, name in enumerate(self.targets)
        }


def source_slices(
    volume: np.ndarray, config: SliceConfig, source: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the input slices of a volume as `preparation.prepare_subject` cuts training slices.

    All slices with enough brain are used. `config.slices` is ignored, since it chooses slices for
    training only.

    Args:
        volume: [D,H,W] in LPS order with voxels of 1 mm, background 0, such as the T2.
        config: frame, crop, size, scaling and brain-pixel rule of the training.
        source: the file, for messages.

    Returns:
        images: float32 [N,h,w] in [0,1], h x w = `data.brats.slices.output_size(config)`.
        axial: int64 [N], the index of each in the volume, ascending.

    Raises:
        UserError: the volume has less than half of the crop's rows or columns, voxels other than 0
            along its border or outside the crop, negative voxels under `slice_maximum`, or no slice
            with enough brain.
    """
    what = f"The volume {source}"
    _check_frame(what, volume, config)
    if config.scaling == SLICE_MAXIMUM and volume.min() < 0:
        raise UserError(
            f"{what} must have no voxel below 0, found {volume.min():g}; shift its intensities so "
            "that the background is 0."
        )
    axial = np.arange(len(volume))
    axial = axial[slices_with_brain({source: volume}, axial, config)]
    if not volume.any() or not axial.size:
        raise UserError(
            f"{what} has no axial slice with more than {config.min_brain_pixels} voxels other than "
            "0; check that it is a brain."
        )
    return scaled_slices({source: volume}, axial, config)[..., 0], axial


def _check_frame(what: str, volume: np.ndarray, config: SliceConfig) -> None:
    """Raises UserError unless a volume is skull-stripped and lies where the training volumes do."""
    inside, _ = window(volume.shape, config)
    sizes = [part.stop - part.start for part in inside]
    needed = [(stop - start + 1) // 2 for start, stop in (config.rows, config.columns)]
    if any(size < least for size, least in zip(sizes, needed)):
        raise UserError(
            f"{what} must have {needed[0]} rows and {needed[1]} columns or more where the training "
            f"data has its brain, found {sizes[0]} and {sizes[1]}; resample it to the grid of "
            "BraTS."
        )
    # A head with its skull or a noisy background reaches the border.
    rows, columns = (
        (max(part.start, 1), min(part.stop, side - 1))
        for part, side in zip(inside, volume.shape[1:])
    )
    outside = np.count_nonzero(volume)
    outside -= np.count_nonzero(volume[:, slice(*rows), slice(*columns)])
    if outside:
        raise UserError(
            f"{what} is not skull-stripped or lies elsewhere than the training data: it must be 0 "
            f"outside rows {rows} and columns {columns}, found {outside} other voxels; remove "
            "skull and background, or resample it to the grid of BraTS."
        )


def predicted_volume(
    images: np.ndarray, axial: Iterable[int], volume: np.ndarray, config: SliceConfig
) -> np.ndarray:
    """Puts predicted slices back to where the input slices of `source_slices` were cut.

    In the returned volume `FULL_SCALE` stands for a predicted intensity of 1. With the scaling
    `slice_maximum` this is the largest value of each slice, so values of different slices or
    patients are not comparable. The result is 0 where the input is 0, and in slices without a
    prediction.

    Args:
        images: float [N,h,w] in [0,1], a prediction for each input slice; what lies outside the
            range is clipped.
        axial: [N], as `source_slices` returned them.
        volume: [D,H,W], the input of `source_slices`.
        config: as given to `source_slices`.

    Returns:
        int16 [D,H,W], 0..1000.
    """
    size = config.rows[1] - config.rows[0], config.columns[1] - config.columns[0]
    predicted = np.zeros(volume.shape, np.int16)
    values = np.clip(enlarge(np.clip(images, 0, 1), size), 0, 1) * FULL_SCALE
    put_back(np.rint(values), np.asarray(axial, int), predicted, config)
    predicted[volume == 0] = 0
    return predicted
