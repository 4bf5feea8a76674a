"""Built-in phantom: chest X-rays of computed children in the file tree of Kaggle's data set.

A demonstration and test object, not medical data: it shows that a pipeline runs and learns, and
says nothing about patients. Bacterial pneumonia is a dense patch in one lobe with air bronchograms,
viral pneumonia a net of lines and haze in both lungs; exposure hides both from the image's mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data.chest_xray.anatomy import Chest, Projection, draw_chest, project
from data.drawing import (
    Growth,
    Range,
    Stroke,
    blurred,
    cover_of,
    ellipse_value,
    grow,
    pixel_grid,
    smooth_noise,
)
from data.phantom_files import Maker, cached_folder

SIDE = 256  # pixels of the square on which a picture is drawn
TREE = "chest_xray"
NORMAL, BACTERIA, VIRUS = range(3)
KINDS = 3
QUALITY = 95  # of the JPEG files
RGB_CHILD = 1  # whose first picture is stored with three channels, as a few real ones are

# Rounds of one child of each class: where their pictures go.
TEST_EVERY, TEST_ROUND = 5, 1
VAL_EVERY, VAL_ROUND = 20, 2

ABSORPTION = 1.25  # image = 1 - exp(-ABSORPTION * attenuation)
DARKEST, BRIGHTEST = 0.18, 0.90  # of the grey values that a lung and dense bone have at most
BLUR = 1 / 700  # standard deviation, fraction of the side
LETTER = 0.065  # height of the marker, as a share of the picture's longer side
NOISE = 0.003  # of the grey value, standard deviation

BRONCHI = Growth(0.02, 6, 0.12, 0.95, (0.25,), (0.4, 0.8), (0.6, 0.8), 0.001, 0.6)


# How pictures differ whatever the class; each range is uniform.
MEAN: Range = (0.44, 0.58)  # grey value of the whole picture, to which the exposure is regulated
GAMMA: Range = (0.85, 1.2)  # contrast
SCALE: Range = (1.05, 1.18)  # size of the child in the picture
SHIFT: Range = (-0.02, 0.02)  # of the child, fraction of the side
TILT: Range = (-0.04, 0.04)  # of the child, radians
WIDTH: Range = (0.98, 1.36)  # of the file, as a multiple of `SIDE`
HEIGHT: Range = (0.78, 1.25)  # likewise
MARKER: Range = (0.03, 0.09)  # from the picture's corner to the marker's, both ways


class Place(NamedTuple):
    """Where the files of a child go and what its pictures show."""

    part: str
    """"train", "val" or "test"."""
    kind: int
    """NORMAL, BACTERIA or VIRUS."""
    pictures: int
    """1 or 2 of the same child."""


def place_of(index: int) -> Place:
    """Returns part, class and number of pictures of a child, whatever the number of children."""
    turn, kind = divmod(index, KINDS)
    part = "train"
    if turn % TEST_EVERY == TEST_ROUND:
        part = "test"
    elif turn % VAL_EVERY == VAL_ROUND:
        part = "val"
    return Place(part, kind, 2 if turn % 3 == 0 else 1)


def file_name(index: int, picture: int) -> str:
    """Returns the published kind of name of a child's picture, which tells its class."""
    turn, kind = divmod(index, KINDS)
    number = index + 1
    if kind == NORMAL:
        return f"{('IM', 'NORMAL2-IM')[turn % 2]}-{number:04d}-{picture + 1:04d}.jpeg"
    cause = {BACTERIA: "bacteria", VIRUS: "virus"}[kind]
    return f"person{number}_{cause}_{2 * index + picture + 1}.jpeg"


def phantom_picture(seed: int, index: int, picture: int, side: int = SIDE) -> np.ndarray:
    """Returns a picture of a child, uint8 [H,W], H and W about `side`.

    A function of its arguments only; pictures of one child differ in pose and exposure. Not medical
    data.
    """
    child = np.random.default_rng((seed, index))
    chest = draw_chest(child)
    projection = project(chest, side)
    lesion = LESIONS[place_of(index).kind](child, chest, projection)
    rng = np.random.default_rng((seed, index, 1 + picture))
    return expose(rng, np.maximum(projection.attenuation + lesion, 0))


def no_lesion(rng: np.random.Generator, chest: Chest, projection: Projection) -> np.ndarray:
    """Returns what a healthy child's lungs add to the attenuation: nothing, [S,S]."""
    return np.zeros_like(projection.attenuation)


def lobar_pneumonia(rng: np.random.Generator, chest: Chest, projection: Projection) -> np.ndarray:
    """Returns the attenuation [S,S] that a dense patch in one lobe adds, with dark bronchi."""
    side = projection.attenuation.shape[0]
    x, y = pixel_grid(side)
    sign = rng.choice((-1, 1))
    lung = projection.lungs[(sign + 1) // 2]
    centre = (0.5 + sign * rng.uniform(0.15, 0.20), rng.choice((0.30, 0.55)))
    radii = (rng.uniform(0.11, 0.15), rng.uniform(0.12, 0.16))
    value = ellipse_value(x, y, centre, radii) + 0.28 * smooth_noise(rng, side, 1 / 30)
    patch = 1 / (1 + np.exp(np.clip((value - 1) / 0.16, -30, 30)))
    lines: list[Stroke] = []
    for _ in range(5):
        start = (0.5 + sign * 0.08, centre[1] - 0.03 + rng.uniform(-0.05, 0.05))
        heading = np.arctan2(centre[1] - start[1], centre[0] - start[0]) + rng.normal(0, 0.45)
        lines += grow(rng, BRONCHI, start, heading, 0.0034)
    density = rng.uniform(0.45, 0.65) * (1 + 0.10 * smooth_noise(rng, side, 1 / 50))
    return (density * patch - 0.16 * cover_of(side, lines) * patch) * np.sqrt(lung)


def interstitial_pneumonia(
    rng: np.random.Generator, chest: Chest, projection: Projection
) -> np.ndarray:
    """Returns the attenuation [S,S] that a net of lines and haze around both hila adds."""
    side = projection.attenuation.shape[0]
    x, _ = pixel_grid(side)
    lungs = projection.lungs.sum(0)
    central = 0.4 + 0.6 * np.exp(-(((np.abs(x - 0.5) - 0.13) / 0.13) ** 2))
    # The zero lines of smooth noise, broken into pieces by another one.
    net = np.maximum(1 - np.abs(smooth_noise(rng, side, 1 / 110)) / 0.6, 0)
    net *= np.clip(0.55 + 0.5 * smooth_noise(rng, side, 1 / 90), 0, 1)
    haze = np.clip(0.4 + 0.6 * smooth_noise(rng, side, 1 / 12), 0, 1)
    return (rng.uniform(0.22, 0.30) * net * central + 0.15 * haze * central) * np.sqrt(lungs)


LESIONS = {NORMAL: no_lesion, BACTERIA: lobar_pneumonia, VIRUS: interstitial_pneumonia}


def expose(rng: np.random.Generator, attenuation: np.ndarray) -> np.ndarray:
    """Returns the picture uint8 [H,W] of an attenuation [S,S]: pose, exposure, size, letter."""
    side = attenuation.shape[0]
    posed = _posed(rng, attenuation)
    grey = 1 - np.exp(-ABSORPTION * rng.uniform(*GAMMA) * blurred(posed, BLUR * side))
    grey = grey / grey.max()
    grey = DARKEST * np.minimum(grey / 0.05, 1) + (BRIGHTEST - DARKEST) * grey
    grey = grey ** _exponent(grey, rng.uniform(*MEAN))
    grey += NOISE * rng.standard_normal(grey.shape)
    size = [round(side * rng.uniform(*share)) for share in (WIDTH, HEIGHT)]
    grey = cv2.resize(grey.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    _burn_letter(rng, grey)
    return np.rint(255 * np.clip(grey, 0, 1)).astype(np.uint8)


def _posed(rng: np.random.Generator, attenuation: np.ndarray) -> np.ndarray:
    side = attenuation.shape[0]
    angle, scale = np.degrees(rng.uniform(*TILT)), rng.uniform(*SCALE)
    matrix = cv2.getRotationMatrix2D((side / 2, 0.46 * side), angle, scale)
    matrix[:, 2] += side * rng.uniform(*SHIFT, 2)
    return cv2.warpAffine(
        attenuation,
        matrix,
        (side, side),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _exponent(grey: np.ndarray, mean: float) -> float:
    """Returns the exponent after which a picture in [0,1] has a mean."""
    small = np.clip(grey[::4, ::4], 1e-6, 1)
    low, high = 0.2, 5.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if (small**middle).mean() > mean else (low, middle)
    return middle


def _burn_letter(rng: np.random.Generator, grey: np.ndarray) -> None:
    """Writes the marker of the child's right side: white on black, the hardest edge of all.

    Algorithm 1 measures every line by the hardest edge, see `data.structure_maps.extraction`.
    """
    size = round(LETTER * max(grey.shape))
    thickness = max(2, round(size / 5))
    scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, size, thickness)
    (width, _), _ = cv2.getTextSize("R", cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    left, top = (round(n * rng.uniform(*MARKER)) for n in grey.shape[::-1])
    grey[top - thickness : top + size + 2 * thickness, left - thickness : left + width] = 0
    place = (left - thickness // 2, top + size + thickness // 2)
    cv2.putText(grey, "R", place, cv2.FONT_HERSHEY_SIMPLEX, scale, 1.0, thickness, cv2.LINE_8)


def write_child(folder: Path, seed: int, index: int) -> None:
    """Writes the pictures of a child under `folder`, in part, folder and name as published."""
    place = place_of(index)
    kind = "NORMAL" if place.kind == NORMAL else "PNEUMONIA"
    for picture in range(place.pictures):
        grey = phantom_picture(seed, index, picture, SIDE)
        if (index, picture) == (RGB_CHILD, 0):
            grey = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
        path = folder / TREE / place.part / kind / file_name(index, picture)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            cv2.imencode(".jpeg", grey, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        )


MAKER = Maker("chest_xray", 1, write_child)


def cached_phantom(cache: Path, patients: int, seed: int) -> Path:
    """Returns the folder of a phantom of `patients` children, made in `cache` when missing.

    Below it lie `chest_xray/{train,test,val}/{NORMAL,PNEUMONIA}/*.jpeg`. See
    `data.phantom_files.cached_folder`.
    """
    return cached_folder(cache, MAKER, patients, seed)
