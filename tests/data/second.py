"""A second data set for tests: photographs in three channels without a label, as .npy files.

A file holds the pictures of one visit, uint8 [N,H,W,3]; `<patient>-<visit>.npy` is its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.contract import CaseSlices, DataSet, Phantom
from data.verdicts import Verdict
from utils.errors import UserError

PICTURES = 4


@dataclass(frozen=True)
class Window:
    """The part of each picture that is used: `side` pixels from its upper left corner."""

    side: int = 16


@dataclass(frozen=True)
class Visit:
    """One file."""

    id: str
    path: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.path,)

    def problems(self) -> list[UserError]:
        return []


def find(root: Path, config: Window) -> list[Visit]:
    return [Visit(path.stem, path) for path in sorted(Path(root).glob("*-*.npy"))]


def phantom(cache: Path, count: int, seed: int) -> Path:
    """Bright ellipses with a bar across on black; two visits of each patient."""
    root = Path(cache) / f"photographs-{count}-{seed}"
    root.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:32, :32] - 8.0
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        widths = rng.uniform(4, 7, (PICTURES, 3, 2, 1, 1))
        inside = (y / widths[:, :, 0]) ** 2 + (x / widths[:, :, 1]) ** 2 < 1
        bar = np.abs(y - x) < 1.5
        pictures = inside * np.where(bar, 90, rng.uniform(180, 250, (PICTURES, 3, 1, 1)))
        path = root / f"p{number // 2:02d}-{number % 2}.npy"
        np.save(path, np.moveaxis(pictures, 1, -1).astype(np.uint8))
    return root


def settle(cases: Sequence[Visit], config: Window) -> Window:
    if not cases:
        raise UserError("There is no photograph; give --data a folder with .npy files.")
    return config


def prepare(case: Visit, config: Window) -> CaseSlices:
    pictures = np.load(case.path)
    if min(pictures.shape[1:3]) < config.side:
        raise UserError(f"The pictures of {case.path} are smaller than {config.side} pixels.")
    images = pictures[:, : config.side, : config.side].astype(np.float32) / np.float32(255)
    return CaseSlices(images, None, np.arange(len(images)))


def verify(
    cases: Sequence[Visit],
    config: Window,
    cache: Path,
    again: bool = False,
    progress: bool = True,
) -> list[Verdict]:
    def problems(case: Visit) -> tuple[str, ...]:
        try:
            prepare(case, config)
        except (UserError, ValueError) as error:
            return (f"{case.path}: {error}",)
        return ()

    return [Verdict(case, problems(case)) for case in cases]


SECOND = DataSet(
    name="photographs",
    channels=("R", "G", "B"),
    classes=(),
    regions={},
    map_constants="drive_fire",
    patient_of=lambda case: case.rpartition("-")[0],
    find=find,
    phantoms={"stripes": Phantom(phantom, "built-in stand-in (computed stripes, not photographs)")},
    settle=settle,
    prepare=prepare,
    size=lambda config: (config.side, config.side),
    most_slices=lambda config: PICTURES,
    verify=verify,
)
