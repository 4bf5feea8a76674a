"""Projection of a computed child's chest: what each pixel's ray has passed through.

A demonstration and test object, not medical data. Lengths are fractions of the picture's side, x to
the patient's left (the right of the picture), y down. Attenuation is without unit: it is that of
the trunk's soft tissue in its middle times `TRUNK`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from data.drawing import (
    Growth,
    Point,
    Stroke,
    blurred,
    cover_of,
    edge_cover,
    ellipse_value,
    grow,
    pixel_grid,
    smooth_noise,
    stroke,
)

# Attenuation.
TRUNK, AIR_IN_LUNG, HEART, MEDIASTINUM, ABDOMEN = 1.15, -0.95, 0.46, 0.36, 0.32
VERTEBRA, RIB, CLAVICLE, BLADE, TRACHEA, VESSEL = 0.13, 0.10, 0.18, 0.13, -0.22, 0.12
BEHIND_HEART = 0.45  # share of the lung's air where the heart lies in front of it
ANTERIOR = 0.55  # contrast of the ribs' front parts, as a share of that of their back parts

BODY = PchipInterpolator(  # half width of neck, shoulders and trunk over y
    (-0.2, 0.0, 0.05, 0.09, 0.13, 0.17, 0.24, 0.60, 1.2),
    (0.15, 0.16, 0.19, 0.29, 0.43, 0.49, 0.47, 0.44, 0.46),
)
# Distance of the lungs' borders from the midline, over the share of the way from apex to base.
LATERAL = PchipInterpolator(
    (-0.2, 0.0, 0.04, 0.12, 0.25, 0.45, 0.70, 1.3),
    (0.10, 0.10, 0.155, 0.215, 0.270, 0.315, 0.340, 0.345),
)
MEDIAL = PchipInterpolator(
    (-0.2, 0.0, 0.04, 0.15, 0.5, 1.3), (0.10, 0.10, 0.060, 0.045, 0.04, 0.05)
)
DOME = 0.065  # height of the diaphragm
DOME_WIDTH = 0.19  # half of its width

BONE_BLUR, SPINE_BLUR = 1 / 700, 1 / 300  # standard deviations
RIBS_PER_SIDE = 10
VESSELS_PER_SIDE = 14
PULMONARY = Growth(
    step=0.024,
    steps=9,
    wander=0.18,
    taper=0.86,
    branching=(0.25,),
    thinnest=0.0012,
    shortening=0.6,
)


@dataclass(frozen=True)
class Chest:
    """A child.

    Attributes:
        top: y of the lungs' apices.
        width: of the rib cage, 1 on average.
        bases: y of the two domes of the diaphragm, image left and right.
        heart: centre and half axes of the heart.
        heart_tilt: radians.
        ribs: back parts of the ribs.
        fronts: front parts of the ribs.
        clavicles: both.
        blades: the inner edges of the shoulder blades.
        vessels: of both lungs.
        seed: of the texture.
    """

    top: float
    width: float
    bases: tuple[float, float]
    heart: tuple[Point, Point]
    heart_tilt: float
    ribs: tuple[Stroke, ...]
    fronts: tuple[Stroke, ...]
    clavicles: tuple[Stroke, ...]
    blades: tuple[Stroke, ...]
    vessels: tuple[Stroke, ...]
    seed: int


class Projection(NamedTuple):
    """The attenuation of a chest without lesions, and where lesions can lie."""

    attenuation: np.ndarray
    """[S,S] float32."""
    lungs: np.ndarray
    """[2,S,S] float32 in [0,1], thickness of the lung at the image's left and right."""


def draw_chest(rng: np.random.Generator) -> Chest:
    """Returns a child."""
    top, base = 0.13 + rng.uniform(-0.015, 0.01), 0.71 + rng.uniform(-0.05, 0.04)
    size, width = rng.uniform(0.86, 1.14), rng.uniform(0.92, 1.05)
    # In a deep breath the dome stands low and the ribs are steep.
    slope = 0.12 + 0.5 * (base - 0.71) + rng.uniform(-0.02, 0.02)
    sides = [(k, s) for s in (-1, 1) for k in range(RIBS_PER_SIDE)]
    ribs, fronts = zip(*(_rib(rng, k, s, width, slope) for k, s in sides))
    return Chest(
        top=top,
        width=width,
        bases=(base - 0.015, base + 0.015),
        heart=((0.5 + 0.042 * size, base - 0.115), (0.170 * size, 0.128 * size)),
        heart_tilt=0.62 + rng.uniform(-0.1, 0.1),
        ribs=ribs,
        fronts=fronts,
        clavicles=tuple(_clavicle(rng, s) for s in (-1, 1)),
        blades=tuple(_blade(rng, s) for s in (-1, 1)),
        vessels=tuple(_vessels(rng)),
        seed=int(rng.integers(2**31)),
    )


def _rib(
    rng: np.random.Generator, number: int, sign: int, width: float, slope: float
) -> tuple[Stroke, Stroke]:
    """The back part of a rib, from the spine to the side, and the front part from there inwards."""
    height = 0.115 + 0.060 * number + rng.uniform(-0.004, 0.004)
    reach = width * (0.19 + 0.165 * np.sin(np.pi * min(0.14 + 0.075 * number, 0.62)))
    along = np.linspace(0, 1, 11)
    x = 0.03 + reach * along**0.75
    y = height - 0.030 * np.sin(np.pi * along) + slope * along**2.2
    back = np.stack([0.5 + sign * x, y], axis=1)
    # It turns at the side and runs downwards to the sternum, and ends as cartilage before it.
    inwards = np.linspace(0, 1, 7)
    end = 0.30 + 0.035 * number
    x_front = x[-1] - (x[-1] - 0.10 - 0.012 * number) * end * 1.5 * inwards**1.4
    y_front = y[-1] + 0.105 * inwards**0.85
    front = np.stack([0.5 + sign * x_front, y_front], axis=1)
    return Stroke(back, np.full(11, 0.0095)), Stroke(front, np.linspace(0.0095, 0.0115, 7))


def _clavicle(rng: np.random.Generator, sign: int) -> Stroke:
    tilt = rng.uniform(-0.012, 0.012)
    x = np.array([0.035, 0.09, 0.15, 0.21, 0.27, 0.33])
    y = np.array([0.172, 0.157, 0.140, 0.125, 0.108, 0.100]) + tilt * x / 0.33
    return Stroke(np.stack([0.5 + sign * x, y], axis=1), np.linspace(0.0135, 0.0105, 6))


def _blade(rng: np.random.Generator, sign: int) -> Stroke:
    """The inner edge of a shoulder blade."""
    x = np.array([0.37, 0.32, 0.305, 0.325, 0.36, 0.40]) + rng.uniform(-0.01, 0.02)
    y = np.array([0.13, 0.16, 0.22, 0.31, 0.36, 0.26])
    return stroke(np.stack([0.5 + sign * x, y], axis=1), 0.008)


def _vessels(rng: np.random.Generator) -> list[Stroke]:
    lines = []
    for sign in (-1, 1):
        for _ in range(VESSELS_PER_SIDE):
            start = (0.5 + sign * 0.065, 0.41 + rng.uniform(-0.03, 0.04))
            angle = rng.uniform(-1.2, 1.3)
            heading = angle if sign > 0 else np.pi - angle
            lines += grow(rng, PULMONARY, start, heading, rng.uniform(0.0045, 0.007))
    return lines


def project(chest: Chest, side: int) -> Projection:
    """Returns the projection of a chest without lesions, `side` pixels wide and high."""
    x, y = pixel_grid(side)
    body = _sheet(np.abs(x - 0.5) / BODY(y).astype(np.float32))
    heart = _heart(chest, x, y)
    lungs = np.stack([_lung(chest, x, y, sign) for sign in (-1, 1)])
    air = lungs.sum(0)
    texture = smooth_noise(np.random.default_rng(chest.seed), side, 0.04)
    total = TRUNK * body * (1 + 0.02 * texture)
    total += AIR_IN_LUNG * air * (1 - (1 - BEHIND_HEART) * np.minimum(2 * heart, 1))
    total += HEART * heart + _middle(x, y) + _below(chest, x, y) * body
    total += _bones(chest, side, air) + VESSEL * cover_of(side, chest.vessels) * np.sqrt(air)
    return Projection(np.maximum(total, 0).astype(np.float32), lungs)


def _sheet(share: np.ndarray) -> np.ndarray:
    """Thickness of a body whose border lies at 1 and whose middle is flat."""
    return np.sqrt(np.clip(1 - share**4, 0, 1))


def _ball(value: np.ndarray) -> np.ndarray:
    """Thickness of an ellipsoid from the value of its ellipse."""
    return np.sqrt(np.clip(1 - value, 0, 1))


def _heart(chest: Chest, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Thickness of the heart and of the great vessels above it."""
    (cx, cy), (rx, ry) = chest.heart
    ventricles = _ball(ellipse_value(x, y, (cx, cy), (rx, ry), chest.heart_tilt))
    atrium = _ball(ellipse_value(x, y, (0.478, cy + 0.005), (0.075, 0.11)))
    trunk = _ball(ellipse_value(x, y, (0.515, cy - 0.13), (0.070, 0.13), -0.1))
    arch = _ball(ellipse_value(x, y, (0.527, cy - 0.235), (0.052, 0.045)))
    # A smooth maximum, so that the parts have no edges within the heart.
    parts = (ventricles, 0.75 * atrium, 0.6 * trunk, 0.5 * arch)
    return sum(part**4 for part in parts) ** 0.25


def _lung(chest: Chest, x: np.ndarray, y: np.ndarray, sign: int) -> np.ndarray:
    """Thickness of the lung on the image's left (-1) or right (1)."""
    base = chest.bases[(sign + 1) // 2]
    down = (y - chest.top) / (base - chest.top)
    lateral, medial = chest.width * LATERAL(down), MEDIAL(down)
    across = (sign * (x - 0.5) - medial) / np.maximum(lateral - medial, 1e-3)
    width = np.clip(1 - np.abs(2 * across - 1) ** 3, 0, 1) * ((across > 0) & (across < 1))
    floor = base + 0.05 - DOME * (1 - ((sign * (x - 0.5) - 0.15) / DOME_WIDTH) ** 2)
    # The lung lies behind the dome too, so that its shadow begins below the dome's edge.
    cover = edge_cover(floor - y, 2 * y.shape[0] // 3) * np.clip(down / 0.10, 0, 1) ** 0.5
    return (np.sqrt(width) * cover).astype(np.float32)


def _middle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Great vessels, the spine's soft tissue, the thymus, and the air in the trachea."""
    half = np.interp(y, (0.0, 0.2, 0.3, 0.42, 0.6), (0.045, 0.05, 0.062, 0.055, 0.05))
    column = MEDIASTINUM * np.exp(-2 * np.abs((x - 0.505) / half) ** 3)
    column = column * np.clip((0.95 - y) / 0.2, 0.3, 1)
    tube = np.clip(1 - ((x - 0.5) / 0.020) ** 2, 0, 1) ** 0.5
    return column + TRACHEA * tube * np.clip((0.34 - y) / 0.04, 0, 1)


def _below(chest: Chest, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What the abdomen adds."""
    floor = np.where(x < 0.5, *chest.bases)
    floor = floor + 0.02 - DOME * (1 - ((np.abs(x - 0.5) - 0.15) / DOME_WIDTH) ** 2)
    return ABDOMEN / (1 + np.exp(np.clip((floor - y) / 0.012, -30, 30)))


def _bones(chest: Chest, side: int, air: np.ndarray) -> np.ndarray:
    """Ribs, clavicles, shoulder blades and spine; bone is dense at its surface, the cortex."""
    total = np.zeros((side, side), np.float32)
    families = (
        (chest.ribs, RIB, 1.0),
        (chest.fronts, ANTERIOR * RIB, 1.0),
        (chest.clavicles, CLAVICLE, 0.5),
        (chest.blades, BLADE, 0.3),
    )
    for lines, value, cortex in families:
        for line in lines:
            outer = cover_of(side, [line])
            inner = cover_of(side, [line._replace(radii=0.68 * line.radii)])
            total += value * (outer + cortex * (outer - inner))
    return blurred(total, BONE_BLUR * side) + _spine(side)


def _spine(side: int) -> np.ndarray:
    x, y = pixel_grid(side)
    total = np.zeros((side, side), np.float32)
    for number in range(14):
        centre = (0.5, 0.035 + 0.068 * number)
        block = ellipse_value(x, y, centre, (0.036, 0.027), 0.0, 6.0)
        total += edge_cover((1 - block) * 0.006, side) * (0.7 + 0.3 * np.minimum(block, 1))
        for sign in (-1, 1):  # pedicles
            total += 0.4 * edge_cover(
                (1 - ellipse_value(x, y, (0.5 + sign * 0.022, centre[1]), (0.008, 0.010))) * 0.005,
                side,
            )
    return VERTEBRA * blurred(total, SPINE_BLUR * side)
