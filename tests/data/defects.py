"""Ways to spoil a good case of `trees.write_case`, and what is then said about it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np

from data.volumes import read_volume, write_volume

TILTED = (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1)
Change = Callable[[np.ndarray], np.ndarray]


class Defect(NamedTuple):
    """`spoil` changes the files of a case by kind; `sentence` is a pattern of the only problem."""

    spoil: Callable[[dict[str, Path]], object]
    sentence: str


def _rewritten(kind: str, change: Change = np.array, **geometry) -> Callable:
    def spoil(files: dict[str, Path]) -> None:
        array = read_volume(files[kind]).array
        write_volume(files[kind], change(array).astype(array.dtype), **geometry)

    return spoil


def _put(kind: str, value: float) -> Callable:
    def spoil(files: dict[str, Path]) -> None:
        array = read_volume(files[kind]).array.astype(np.float32)
        array[2, 5, 5] = value
        write_volume(files[kind], array)

    return spoil


def _cut(files: dict[str, Path]) -> None:
    files["T2"].write_bytes(files["T2"].read_bytes()[:-40])


def _flip(files: dict[str, Path]) -> None:
    content = bytearray(files["Flair"].read_bytes())
    content[len(content) * 3 // 4] ^= 0xFF
    files["Flair"].write_bytes(content)


def _repeat(files: dict[str, Path]) -> None:
    shutil.copy(files["T1"], files["T1"].with_name("VSD.Brain.XX.O.MR_T1.99999.mha"))


def _link(files: dict[str, Path]) -> None:
    files["T1"].unlink()
    files["T1"].symlink_to("gone")


def _shorten(files: dict[str, Path]) -> None:
    for kind in files:
        _rewritten(kind, lambda array: array[:1])(files)


def _flatten(files: dict[str, Path]) -> None:
    """Leaves one voxel per volume, outside the slices that are used."""
    for kind in files:
        _rewritten(kind, lambda array: np.arange(array.size).reshape(array.shape) == 0)(files)


DEFECTS = {
    "cut": Defect(_cut, r"MR_T2\.\S+ is damaged or of another type"),
    "flipped": Defect(_flip, r"MR_Flair\.\S+ is damaged .*incorrect data check"),
    "missing": Defect(lambda files: files["T1c"].unlink(), "has no T1c file"),
    "repeated": Defect(_repeat, "has T1 twice, in .*99999.mha; keep one"),
    "shape": Defect(
        _rewritten("Flair", lambda array: np.pad(array, ((0, 1), (0, 0), (0, 0)))),
        r"the shape of \S+MR_T1\.\S+ is \(6, 12, 10\) and that of \S+MR_Flair\.",
    ),
    "origin": Defect(_rewritten("T2", origin=(0, 0, 4)), r"the origin of \S+MR_T1\.\S+ is .*MR_T2"),
    "NaN": Defect(_put("T1c", np.nan), r"MR_T1c\.\S+ holds 1 NaN or infinite"),
    "zero": Defect(_rewritten("T2", lambda a: 0 * a), r"MR_T2\.\S+ is constant .every voxel is 0"),
    "value": Defect(_put("label", 7), r"OT\.\S+ holds the values 7 where brats2015"),
    "short": Defect(_shorten, r"has 1 slices, and only 1 slices of --slicing.slices \(1, 5\)"),
    "spacing": Defect(
        _rewritten("T1", spacing=(1, 1, 1.5)),  # the odd one of five, although it comes first
        r"the spacing of \S+MR_T2\.\S+ is \(1.0, 1.0, 1.0\) and that of \S+MR_T1\.",
    ),
    "direction": Defect(
        _rewritten("label", direction=TILTED), r"the direction of \S+MR_T1\.\S+ is .*OT\."
    ),
    "infinite": Defect(_put("label", -np.inf), r"OT\.\S+ holds 1 NaN or infinite"),
    "constant": Defect(_rewritten("T1", lambda a: 0 * a + 7), "is constant .every voxel is 7"),
    "fraction": Defect(_put("label", 2.5), "holds the values 2.5 where brats2015"),
    "no bytes": Defect(lambda files: files["T1"].write_bytes(b""), r"MR_T1\.\S+ is damaged"),
    "link to nothing": Defect(_link, r"MR_T1\.\S+ does not exist or is not a file"),
    "no signal": Defect(_flatten, r"has no signal in slices \(1, 5\)"),
}
