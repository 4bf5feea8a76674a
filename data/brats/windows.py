"""Where the crop of a configuration lies in a volume, on whatever grid that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.brats.slices import SliceConfig
from utils.errors import UserError

SIDES = ("slices", "rows", "columns")
_LEAST_SHARE = 0.5  # fraction of each range that has to lie in the volume


def frame_start(shape: Sequence[int], config: SliceConfig) -> tuple[int, ...]:
    """Returns (z, y, x) of the frame's first voxel in a volume (D, H, W), which may be negative."""
    return tuple((side - whole) // 2 for side, whole in zip(shape, config.frame))


def _ranges(shape: Sequence[int], config: SliceConfig) -> list[tuple[int, int]]:
    """Returns the configured ranges in numbers of a volume (D, H, W); they may end beyond it."""
    starts = frame_start(shape, config)
    ranges = (getattr(config, name) for name in SIDES)
    return [(first + start, stop + start) for start, (first, stop) in zip(starts, ranges)]


def axial_range(shape: Sequence[int], config: SliceConfig) -> np.ndarray:
    """Returns int64 [S]: the numbers of the configured slices that a volume (D, H, W) has."""
    first, stop = _ranges(shape, config)[0]
    return np.arange(max(first, 0), min(stop, shape[0]))


def window(
    shape: Sequence[int], config: SliceConfig
) -> tuple[tuple[slice, slice], tuple[tuple[int, int], tuple[int, int]]]:
    """Returns where the configured rows and columns lie in a volume (D, H, W).

    Returns:
        Rows and columns of the volume, and how many of each the crop has before and behind them.
    """
    inside, margins = [], []
    for side, (first, stop) in zip(shape[1:], _ranges(shape, config)[1:]):
        inside.append(slice(max(first, 0), max(min(stop, side), 0)))
        margins.append((max(-first, 0), max(stop - side, 0)))
    return tuple(inside), tuple(margins)


def cut(array: np.ndarray, axial: np.ndarray, config: SliceConfig, fill: float = 0) -> np.ndarray:
    """Returns the crops [S,rows,columns] of the slices `axial` [S] of a volume [D,H,W].

    Rows and columns that the volume does not have are `fill`.
    """
    (rows, columns), margins = window(array.shape, config)
    crops = array[axial, rows, columns]
    return np.pad(crops, ((0, 0), *margins), constant_values=fill) if np.any(margins) else crops


def put_back(crops: np.ndarray, axial: np.ndarray, target: np.ndarray, config: SliceConfig) -> None:
    """Writes crops [S,rows,columns] to where `cut` took them from a volume like `target` [D,H,W].

    Rows and columns that the volume does not have are dropped.
    """
    (rows, columns), ((top, _), (left, _)) = window(target.shape, config)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    target[axial, rows, columns] = crops[:, top : top + height, left : left + width]


def check_crop(
    what: str, shape: Sequence[int], config: SliceConfig, names: Sequence[str] = SIDES
) -> None:
    """Raises UserError unless a volume of size (D, H, W) has at least half of each range."""
    for name, side, (first, stop) in zip(SIDES, shape, _ranges(shape, config)):
        inside = min(stop, side) - max(first, 0)
        if name in names and inside < _LEAST_SHARE * (stop - first):
            wanted, whole = getattr(config, name), config.frame[SIDES.index(name)]
            raise UserError(
                f"{what} has {side} {name}, and only {max(inside, 0)} {name} of --slicing.{name} "
                f"{wanted}, counted in the middle {whole} {name}, lie in it; give --slicing.{name} "
                f"within 0 {side} with --slicing.frame={_as_option(shape)}, or leave the case out."
            )


def frame_note(shape: Sequence[int], config: SliceConfig) -> str | None:
    """Returns where slices are cut from a volume of another size than the frame, else None."""
    if tuple(shape) == tuple(config.frame):
        return None
    ranges = _ranges(shape, config)
    found = [f"{name} {first}..{stop - 1}" for name, (first, stop) in zip(SIDES, ranges)]
    beyond = any(first < 0 or stop > side for side, (first, stop) in zip(shape, ranges))
    rest = ", where the volume ends filled with background" if beyond else ""
    return f"size {tuple(shape)}, not {config.frame}: {', '.join(found)} are cut{rest}"


def _as_option(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
