"""Where lesions may lie on a generated CT map, and boxes that lie there.

Algorithm 2 marks what is darker than soft tissue: the air around the body and in the lungs. The
thesis says that boxes are chosen by the mask; for nodules, which lie where the mask is 1, its rule
for brains would refuse all. Here nodules and cords belong into the lungs, calcified arteries and
lymph nodes into soft tissue.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from data.boxes import mirrored
from data.contract import BOX_ROW

IN_LUNGS = (1, 2)  # classes: nodule and cord
LEAST_LUNG = 0.01  # share of the slice
CLOSED = 5 / 512  # share of the side, by which gaps in the lungs are closed
GROWN = 0.03  # share of the side that a nodule may reach beyond the lungs
LUNG_SHARE, TISSUE_SHARE = 0.8, 0.6  # of a box that has to lie where its kind belongs


class Places(NamedTuple):
    """Where the kinds of lesion belong on one slice, bool [H,W] each.

    Attributes:
        lungs: their field, without holes.
        reach: the same, grown by `GROWN`.
        tissue: soft tissue and bone.
    """

    lungs: np.ndarray
    reach: np.ndarray
    tissue: np.ndarray


def places_of(outside: np.ndarray) -> Places:
    """Returns the places of a slice from its mask [H,W], 1 where it is dark."""
    dark = np.asarray(outside) > 0
    pieces, count = ndimage.label(dark)
    rim = np.unique(np.concatenate([pieces[[0, -1]].ravel(), pieces[:, [0, -1]].ravel()]))
    sizes = ndimage.sum_labels(dark, pieces, np.arange(count + 1))
    kept = [k for k in range(1, count + 1) if k not in rim and sizes[k] > LEAST_LUNG * dark.size]
    lungs = np.isin(pieces, kept)
    width = max(1, round(CLOSED * max(dark.shape)))
    lungs = ndimage.binary_fill_holes(ndimage.binary_closing(lungs, iterations=width))
    reach = ndimage.binary_dilation(lungs, iterations=max(1, round(GROWN * max(dark.shape))))
    return Places(lungs, reach, ~dark)


def fits(rows: np.ndarray, places: Places) -> bool:
    """Returns whether every box of rows [N,5] lies where its kind belongs; there must be one."""
    boxes = rows[rows[:, 0] > 0]
    return len(boxes) > 0 and all(_fits(row, places) for row in boxes)


def _fits(row: np.ndarray, places: Places) -> bool:
    height, width = places.lungs.shape
    kind, cx, cy, w, h = row
    top, bottom = _span(cy, h, height)
    left, right = _span(cx, w, width)
    box = (slice(top, bottom), slice(left, right))
    if kind not in IN_LUNGS:
        return places.tissue[box].mean() >= TISSUE_SHARE
    centre = places.lungs[min(int(cy * height), height - 1), min(int(cx * width), width - 1)]
    return bool(centre) and places.reach[box].mean() >= LUNG_SHARE


def _span(centre: float, length: float, side: int) -> tuple[int, int]:
    first = int(np.clip(np.floor((centre - length / 2) * side), 0, side - 1))
    return first, max(first + 1, min(int(np.ceil((centre + length / 2) * side)), side))


def drawn_boxes(
    rng: np.random.Generator, places: Places, boxes: np.ndarray, tries: int
) -> np.ndarray | None:
    """Returns one box where its kind belongs, as rows float32 [M,5]; None if there is no place.

    Kind and size are those of a box among `boxes` [L,M,5], its place is uniform.

    Args:
        rng: of the draws.
        places: of the map.
        boxes: of training slices.
        tries: kinds and places to be tried.
    """
    known = boxes[boxes[..., 0] > 0]
    for _ in range(tries):
        row = known[rng.integers(len(known))].copy()
        allowed = np.argwhere(places.lungs if row[0] in IN_LUNGS else places.tissue)
        if not len(allowed):
            continue
        y, x = allowed[rng.integers(len(allowed))] + 0.5
        row[1], row[2] = x / places.lungs.shape[1], y / places.lungs.shape[0]
        inside = (row[1:3] - row[3:] / 2 >= 0).all() and (row[1:3] + row[3:] / 2 <= 1).all()
        if inside and _fits(row, places):
            rows = np.zeros((boxes.shape[1], BOX_ROW), np.float32)
            rows[0] = row
            return rows
    return None


def fitting_boxes(
    rng: np.random.Generator, places: Places, boxes: np.ndarray, tries: int, mirror: bool = True
) -> tuple[np.ndarray | None, int]:
    """Returns boxes that fit a map, and the number of the training slice that they are of.

    Boxes of random slices are tried, with `mirror` half of them mirrored; if none fits,
    `drawn_boxes` draws one, whose number is -1. (None, -1) if that fails too.

    Args:
        rng: of the draws.
        places: of the map.
        boxes: float32 [L,M,5] of training slices, each with a lesion.
        tries: slices to be tried.
        mirror: whether to exchange left and right in half of the tries.
    """
    for number in rng.integers(len(boxes), size=tries):
        rows = mirrored(boxes[number]).numpy() if rng.random() < 0.5 and mirror else boxes[number]
        if fits(rows, places):
            return rows, int(number)
    return drawn_boxes(rng, places, boxes, tries), -1
