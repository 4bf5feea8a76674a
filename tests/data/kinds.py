"""Small data sets of each kind of label, held in memory: their cases are numbers of pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable

import numpy as np

from data.contract import BOX_ROW, BOXES, IMAGE, CaseSlices, DataSet
from tests.data.second import SECOND

SIDE, MOST = 16, 3


@dataclass(frozen=True)
class Side:
    """Height and width in pixels."""

    side: int = SIDE


@dataclass(frozen=True)
class Numbered:
    """A case whose pictures are made of its number; its file only has to exist."""

    id: str
    path: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.path,)

    def problems(self) -> list:
        return []


def cases(folder: Path, count: int) -> list[Numbered]:
    paths = [folder / f"p{number}.txt" for number in range(count)]
    for path in paths:
        path.write_text(path.name)
    return [Numbered(path.stem, path) for path in paths]


def pictures(case: Numbered, channels: int) -> np.ndarray:
    """Two pictures; channel c of picture k of patient p is (10 p + 4 k + c) / 100 everywhere."""
    patient = int(case.id[1:])
    values = 10 * patient + 4 * np.arange(2)[:, None] + np.arange(channels)
    shown = np.broadcast_to(values[:, None, None] / 100, (2, SIDE, SIDE, channels))
    return shown.astype(np.float32)


def _dataset(channels: int, label: Callable[[int], Any], **changes: Any) -> DataSet:
    def prepare(case: Numbered, config: Side) -> CaseSlices:
        return CaseSlices(pictures(case, channels), label(int(case.id[1:])), np.arange(2))

    names = tuple(f"c{number}" for number in range(channels))
    settings = {"channels": names, "prepare": prepare, "one_image": True, **changes}
    return replace(SECOND, settle=lambda found, config: config, most_slices=lambda _: 2, **settings)


def boxes_of(patient: int) -> np.ndarray:
    """Both slices: a box of class 1 in the left half; the second also a small one of class 2."""
    rows = np.zeros((2, MOST, BOX_ROW), np.float32)
    rows[:, 0] = (1, 0.25, 0.5, 0.25, 0.5)
    rows[1, 1] = (2, 0.25, 0.5, 0.125, 0.125)
    return rows


COLOURS = _dataset(3, lambda patient: None, name="colours")
CLASSES = _dataset(
    1,
    lambda patient: np.array([0, patient % 3], np.uint8),
    name="classes",
    classes=("a", "b", "c"),
    label_kind=IMAGE,
)
BOXED = _dataset(
    3,
    boxes_of,
    name="boxed",
    classes=("background", "large", "small"),
    label_kind=BOXES,
    most_boxes=MOST,
    map_channels=3,
)
