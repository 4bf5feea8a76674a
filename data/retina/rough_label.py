"""Rough vessel labels of generated photographs: the lines of their maps away from the rim."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_erosion

OUTSIDE, FIELD, VESSEL = range(3)  # numbers of the label's classes
RIM = 14 / 512  # share of the side, within which the outline of the field of view is a line


def rough_label(structure: np.ndarray, outside: np.ndarray, rim: float = RIM) -> np.ndarray:
    """Returns `OUTSIDE`, `FIELD` or `VESSEL`, uint8 [N,H,W]: lines in a shrunken field (5.6.2).

    Args:
        structure: [N,H,W], 1 on lines.
        outside: [N,H,W], 1 outside of the field of view.
        rim: width by which the field shrinks, share of the side.
    """
    width = max(1, round(rim * structure.shape[1]))
    field = np.asarray(outside) == 0
    inside = np.stack([binary_erosion(each, iterations=width) for each in field])
    vessels = inside & (np.asarray(structure) > 0)
    return np.where(field, FIELD + vessels, OUTSIDE).astype(np.uint8)


def masks(structure: np.ndarray, outside: np.ndarray) -> dict[str, np.ndarray]:
    """Returns vessels and field of view of one sample, bool [H,W], from its map and mask [H,W]."""
    label = rough_label(structure[None], outside[None])[0]
    return {"vessels": label == VESSEL, "field_of_view": label != OUTSIDE}
