"""Rough vessel labels of generated photographs: the lines of their maps away from the rim."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_erosion

from data.retina.dataset import CLASSES

OUTSIDE, VESSEL = CLASSES.index("outside"), CLASSES.index("vessel")
RIM = 14 / 512  # share of the side, within which the outline of the field of view is a line


def rough_label(structure: np.ndarray, outside: np.ndarray, rim: float = RIM) -> np.ndarray:
    """Returns numbers of `CLASSES`, uint8 [N,H,W]: lines inside of a shrunken field (5.6.2).

    Args:
        structure: [N,H,W], 1 on lines.
        outside: [N,H,W], 1 outside of the field of view.
        rim: width by which the field shrinks, share of the side.
    """
    width = max(1, round(rim * structure.shape[1]))
    field = np.asarray(outside) == 0
    inside = np.stack([binary_erosion(each, iterations=width) for each in field])
    vessels = inside & (np.asarray(structure) > 0)
    return np.where(field, 1 + vessels, OUTSIDE).astype(np.uint8)
