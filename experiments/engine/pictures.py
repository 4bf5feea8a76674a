"""Rows of pictures of slices, maps and labels, for contact sheets; columns are examples."""

from __future__ import annotations

import numpy as np

from utils.reporting.pictures import draw_contour, label_picture, to_uint8

SCALE = 2  # contours are drawn on enlarged slices


def slice_rows(images: np.ndarray, label: np.ndarray) -> list[list[np.ndarray]]:
    """Returns one row of pictures per modality, lesion outlined.

    images is [N,H,W,M] in [0,1], label [N,H,W] in 0..4.
    """
    return [
        [draw_contour(image[..., i], mask, scale=SCALE) for image, mask in zip(images, label)]
        for i in range(images.shape[-1])
    ]


def plain_row(maps: np.ndarray) -> list[np.ndarray]:
    """Returns one row of grey pictures of maps [N,H,W] in [0,1], enlarged like the slices."""
    return [to_uint8(np.kron(image, np.ones((SCALE, SCALE)))) for image in maps]


def label_row(labels: np.ndarray) -> list[np.ndarray]:
    """Returns one row of coloured label pictures [N,H,W], enlarged like the slices."""
    return [label_picture(np.kron(mask, np.ones((SCALE, SCALE), int))) for mask in labels]
