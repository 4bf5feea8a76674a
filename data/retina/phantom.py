"""Built-in phantom: photographs of computed retinas in the file trees of DRIVE and FIRE.

A demonstration and test object, not medical data. Two of five eyes are DRIVE's, with vessel labels,
half of them for training; the others are FIRE's, each photographed twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from data.drawing import Range
from data.phantom_files import Maker, cached_folder
from data.retina.eye import Photograph, View, draw_eye, photograph

SIDE = 256  # pixels of the square on which a picture is drawn; its height in DRIVE
DRIVE_WIDTH = 565 / 584  # of DRIVE's pictures, as a share of their height
QUALITY = 95  # of the JPEG files

# What each of five eyes in turn is for, and with which numbers DRIVE's parts begin.
ROUND = ("training", "test", "FIRE", "FIRE", "FIRE")
FIRST_NUMBER = {"training": 21, "test": 1}
# FIRE's classes in turn, about as frequent as there: S and P differ in overlap, A in anatomy.
FIRE_CLASSES = "SPSPSASPS"


class Pair(NamedTuple):
    """How the second photograph of a class of FIRE's pairs differs from the first."""

    shift: float
    """Largest, fraction of the side."""
    turn: float
    """Largest, radians."""
    changed: bool
    """Whether something new is seen in the eye."""


PAIRS = {"S": Pair(0.04, 0.05, False), "P": Pair(0.12, 0.09, False), "A": Pair(0.04, 0.05, True)}
LIGHT: Range = (0.85, 1.1)
VIGNETTE: Range = (0.15, 0.4)


class Place(NamedTuple):
    """Where the files of an eye go."""

    part: str
    """"training" or "test" of DRIVE, or "FIRE"."""
    stem: str
    """Begin of the file names: DRIVE's number, or FIRE's class and number."""


def place_of(index: int) -> Place:
    """Returns where the files of an eye go, whatever the number of eyes."""
    turn, place = divmod(index, len(ROUND))
    part = ROUND[place]
    if part != "FIRE":
        return Place(part, f"{FIRST_NUMBER[part] + turn:02d}")
    pair = turn * ROUND.count("FIRE") + place - ROUND.index("FIRE")
    turn, place = divmod(pair, len(FIRE_CLASSES))
    kind = FIRE_CLASSES[place]
    earlier = turn * FIRE_CLASSES.count(kind) + FIRE_CLASSES[:place].count(kind)
    return Place(part, f"{kind}{earlier + 1:02d}")


def phantom_photograph(seed: int, index: int, number: int, side: int = SIDE) -> Photograph:
    """Returns a photograph [side,side] of an eye; `number` is 0, for FIRE's second pictures 1.

    A function of its arguments only. Not medical data.
    """
    eye = draw_eye(np.random.default_rng((seed, index)))
    rng = np.random.default_rng((seed, index, 1 + number))
    return photograph(rng, eye, _view(rng, place_of(index), number), side)


def _view(rng: np.random.Generator, place: Place, number: int) -> View:
    light, vignette = rng.uniform(*LIGHT), rng.uniform(*VIGNETTE)
    if place.part != "FIRE":
        return View(light=light, vignette=vignette)
    if number == 0:
        return View(light=light, vignette=vignette, tab=True)
    pair = PAIRS[place.stem[0]]
    direction, far = rng.uniform(0, 2 * np.pi), pair.shift * rng.uniform(0.5, 1)
    return View(
        shift=(far * np.cos(direction), far * np.sin(direction)),
        turn=pair.turn * rng.uniform(-1, 1),
        light=light,
        vignette=vignette,
        tab=True,
        spots=pair.changed,
    )


def write_eye(folder: Path, seed: int, index: int) -> None:
    """Writes the files of an eye under `folder`, named as published."""
    place = place_of(index)
    if place.part == "FIRE":
        for number in (0, 1):
            picture = phantom_photograph(seed, index, number, SIDE).colour
            path = folder / "FIRE" / "Images" / f"{place.stem}_{number + 1}.jpg"
            _write_picture(path, picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return
    part, shot = folder / "DRIVE" / place.part, phantom_photograph(seed, index, 0, SIDE)
    height = shot.field.shape[0]
    width = round(DRIVE_WIDTH * height)
    columns = slice((height - width) // 2, (height - width) // 2 + width)
    _write_picture(part / "images" / f"{place.stem}_{place.part}.tif", shot.colour[:, columns])
    _write_mask(part / "1st_manual" / f"{place.stem}_manual1.gif", shot.vessels[:, columns])
    _write_mask(part / "mask" / f"{place.stem}_{place.part}_mask.gif", shot.field[:, columns])


def _write_picture(path: Path, colour: np.ndarray, options: tuple[int, ...] = ()) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.rint(255 * colour[..., ::-1]).astype(np.uint8)  # OpenCV wants blue first.
    path.write_bytes(cv2.imencode(path.suffix, stored, options)[1].tobytes())


def _write_mask(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(255 * mask.astype(np.uint8)).save(path)


MAKER = Maker("retina", 1, write_eye)


def cached_phantom(cache: Path, patients: int, seed: int) -> Path:
    """Returns the folder of a phantom of `patients` eyes, made in `cache` when missing.

    Below it lie `DRIVE/{training,test}/{images,1st_manual,mask}` and `FIRE/Images`. See
    `data.phantom_files.cached_folder`.
    """
    return cached_folder(cache, MAKER, patients, seed)
