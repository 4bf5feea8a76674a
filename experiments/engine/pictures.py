"""Pictures of images of any data set."""

from __future__ import annotations

from typing import Optional

import numpy as np

from data.contract import BOXES, DataSet
from utils.reporting.pictures import PALETTE, ROW_SCALE, draw_contour, enlarge, to_uint8


def image_row(
    images: np.ndarray, dataset: DataSet, label: Optional[np.ndarray] = None
) -> list[np.ndarray]:
    """Returns one row of pictures uint8 [H,W,3].

    Args:
        images: [N,H,W,M] in [0,1]: three colours, one grey, or neighbouring slices, of which the
            middle one is shown.
        dataset: that they are of.
        label: [N,H,W], whose outlines are drawn where labels have a place.
    """
    middle = images.shape[-1] // 2
    colours = dataset.map_channels == 1 and images.shape[-1] == 3
    shown = images if colours else np.repeat(images[..., middle : middle + 1], 3, axis=-1)
    if label is not None and dataset.label_kind == BOXES:
        return [
            draw_contour(image[..., 0], one, PALETTE, ROW_SCALE) for image, one in zip(shown, label)
        ]
    return [enlarge(to_uint8(image), ROW_SCALE) for image in shown]
