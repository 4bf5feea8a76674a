"""The atlas: the mean image of the training patients at every height.

Source: SAMR, whose atlas is a multivariate template. Volumes of a data set like BRATS share a
template already, so that their mean, lesions left out, takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.pipeline import evaluation_batches
from data.shards import PreparedSlices
from utils.runs.files import damaged, replacing
from utils.runs.reading import read_arrays

BATCH = 32


class Atlas(NamedTuple):
    """Mean images of neighbouring axial slices.

    Attributes:
        images: float32 [Z,H,W,M] in [0,1].
        first: index in the volume of the first slice.
    """

    images: np.ndarray
    first: int

    def save(self, path: Path) -> None:
        """Writes the atlas to a file."""
        with replacing(path) as part, open(part, "wb") as file:
            np.savez_compressed(file, images=self.images, first=self.first)

    @classmethod
    def load(cls, path: Path) -> Atlas:
        """Reads a file that `save` wrote; UserError if it is damaged."""
        arrays = read_arrays(path)
        try:
            return cls(arrays["images"], int(arrays["first"]))
        except (KeyError, TypeError) as error:
            raise damaged(path, error) from error


def build_atlas(prepared: PreparedSlices, subject_ids: Iterable[str]) -> Atlas:
    """Returns the mean of some patients' slices at each height, pixels of lesions left out.

    Where every patient has a lesion, all count. Between the lowest and the highest slice, a height
    at which nobody has a slice has the image of the nearest one.
    """
    sums: dict[int, np.ndarray] = {}
    for batch in evaluation_batches(prepared, subject_ids, BATCH):
        images = batch["images"].numpy()
        lesion = batch["label"].numpy() >= prepared.dataset.first_lesion
        for image, mask, (_, height) in zip(images, lesion, batch["source"].numpy()):
            # Of each pixel: sum and number of the healthy ones, sum and number of all.
            parts = [image * ~mask, ~mask, image, np.ones_like(mask)]
            total = np.concatenate(parts, axis=-1, dtype=np.float64)
            sums[int(height)] = sums.get(int(height), 0.0) + total
    heights = np.array(sorted(sums))
    every = np.arange(heights[0], heights[-1] + 1)
    nearest = heights[np.abs(every[:, None] - heights).argmin(axis=1)]
    means = {height: _mean(total, len(prepared.dataset.channels)) for height, total in sums.items()}
    return Atlas(np.stack([means[height] for height in nearest]), int(heights[0]))


def _mean(total: np.ndarray, channels: int) -> np.ndarray:
    healthy, count, everything, all_of_them = np.split(
        total, [channels, channels + 1, 2 * channels + 1], axis=-1
    )
    mean = np.where(count > 0, healthy / np.maximum(count, 1), everything / all_of_them)
    return mean.astype(np.float32)
