"""Codes of Fig. 15, from corners to the centre: by coordinate swapping or linear interpolation."""

from __future__ import annotations

import numpy as np


def replaced(start: np.ndarray, goal: np.ndarray, steps: int, stride: int) -> np.ndarray:
    """Returns a code after some steps of coordinate swapping.

    Step k takes over the coordinates k - 1, k - 1 + stride, k - 1 + 2 stride, ... of `goal`, so
    that after `stride` steps all are taken over.

    Args:
        start: [L], the code at the beginning.
        goal: [L], the code whose coordinates are taken over.
        steps: number of steps done; more than `stride` change nothing.
        stride: distance of coordinates that change together.
    """
    return np.where(np.arange(len(start)) % stride < steps, goal, start)


def mixed(start: np.ndarray, goal: np.ndarray, share: float) -> np.ndarray:
    """Returns the linear interpolation (1 - share) start + share goal of two codes [L]."""
    return (1 - share) * start + share * goal


def swapping_walk(
    corners: np.ndarray, centre: np.ndarray, side: int, edge_stride: int, centre_stride: int
) -> np.ndarray:
    """Returns the codes of a square in which neighbours differ in some coordinates only.

    A border code has taken over coordinates of the next corner, one step per place, and an inner
    code those of the centre, starting from the border code on the same ray. Source: the released
    script of the thesis' Fig. 15 has 9 places, stride 7 along the border and 3 towards the centre;
    the 7 places between two corners therefore end with the corner itself, the 3 places between
    border and centre with the centre.

    Args:
        corners: [4,L]: top left, top right, bottom left, bottom right.
        centre: [L].
        side: places per row and column, odd.
        edge_stride: `stride` of the steps along the border.
        centre_stride: `stride` of the steps towards the centre.

    Returns:
        [side,side,L].
    """

    def border(start: np.ndarray, goal: np.ndarray, place: int) -> np.ndarray:
        if place == side - 1:
            return goal
        return replaced(start, goal, place, edge_stride)

    def inward(code: np.ndarray, steps: int) -> np.ndarray:
        return centre if steps == side // 2 else replaced(code, centre, steps, centre_stride)

    return _square(corners, side, border, inward)


def straight_walk(corners: np.ndarray, centre: np.ndarray, side: int) -> np.ndarray:
    """Returns the codes of a square by linear interpolation between corners and to the centre.

    An interpolation of two random codes has a smaller norm than a random code, and the more
    reliably so the more coordinates the codes have.

    Args:
        corners: [4,L]: top left, top right, bottom left, bottom right.
        centre: [L].
        side: places per row and column, odd.

    Returns:
        [side,side,L].
    """

    def border(start: np.ndarray, goal: np.ndarray, place: int) -> np.ndarray:
        return mixed(start, goal, place / (side - 1))

    def inward(code: np.ndarray, steps: int) -> np.ndarray:
        return mixed(code, centre, steps / (side // 2))

    return _square(corners, side, border, inward)


def _square(corners, side: int, border, inward) -> np.ndarray:
    top_left, top_right, bottom_left, bottom_right = corners
    edges = {
        "top": [border(top_left, top_right, k) for k in range(side)],
        "bottom": [border(bottom_left, bottom_right, k) for k in range(side)],
        "left": [border(top_left, bottom_left, k) for k in range(side)],
        "right": [border(top_right, bottom_right, k) for k in range(side)],
    }
    half = side // 2
    codes = np.empty((side, side, corners.shape[1]))
    for row in range(side):
        for column in range(side):
            down, right = row - half, column - half
            ring = max(abs(down), abs(right))  # 0 in the centre, half on the border
            scale = half / ring if ring else 0.0
            r, c = half + round(down * scale), half + round(right * scale)
            edge, place = ("top", c) if r == 0 else ("bottom", c)
            if r not in (0, side - 1):
                edge, place = ("left", r) if c == 0 else ("right", r)
            codes[row, column] = inward(edges[edge][place], half - ring)
    return codes
