"""Axial CT slices of a computed thorax in Hounsfield units, at any height between its ends.

A demonstration and test object, not medical data. Lengths are fractions of the picture's side, x to
the patient's left (the right of the picture), y to the back. Heights run from -1 (below the
shoulders) to 1 (above the diaphragm).
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
    blend,
    blurred,
    cover_of,
    edge_cover,
    ellipse_cover,
    ellipse_value,
    grow,
    paint,
    pixel_grid,
    smooth_noise,
    stroke,
)

# Hounsfield units.
AIR, LUNG, FAT, MEDIASTINAL_FAT, MUSCLE, BLOOD = -1000.0, -860.0, -100.0, -70.0, 48.0, 44.0
CORTEX, MARROW, TABLE = 620.0, 210.0, -250.0
BLUR = 0.85 / 512  # standard deviation of the scanner's blur
NOISE = 15.0  # HU, standard deviation

CENTRE = (0.5, 0.485)
CAVITY_INSET = (0.075, 0.068)
CAVITY_POWER = 2.3
# Half width of the mediastinum (x) from front to back (y); the lungs meet behind the sternum.
MEDIASTINUM = PchipInterpolator(
    (0.00, 0.24, 0.30, 0.35, 0.41, 0.50, 0.57, 0.62, 0.66, 0.74, 1.0),
    (0.035, 0.030, 0.014, 0.030, 0.060, 0.068, 0.054, 0.052, 0.066, 0.088, 0.1),
)
VESSELS_PER_LUNG = 8  # from the hilum; most others leave the slice after a short way
PIECES_PER_LUNG = 26  # of vessels that cross the slice obliquely
DOTS_PER_LUNG = 56  # of vessels that cross it
PULMONARY = Growth(
    step=0.023,
    steps=10,
    wander=0.25,
    taper=0.84,
    branching=(0.22, 0.1),
    angles=(0.35, 0.8),
    thinnest=0.0008,
    shortening=0.6,
)
SHORT = Growth(step=0.016, steps=3, wander=0.3, taper=0.85, branching=(0.25,), shortening=0.5)
VESSEL_SHIFT, DOT_SHIFT = 0.06, 0.09  # per unit of height, at most
DETAIL_SEED = 7  # of the texture of fat, the same in all slices of a patient


class Organ(NamedTuple):
    """An ellipse of soft tissue or air in the mediastinum."""

    name: str
    heights: tuple[float, float]
    """Where it is seen."""
    centre: Point
    radii: Point
    hu: float


ORGANS = (
    Organ("ascending aorta", (-1.0, 0.45), (0.485, 0.405), (0.036, 0.034), BLOOD),
    Organ("superior vena cava", (-1.0, 0.2), (0.445, 0.425), (0.020, 0.023), BLOOD),
    Organ("pulmonary trunk", (-0.5, 0.25), (0.543, 0.410), (0.034, 0.030), BLOOD),
    Organ("oesophagus", (-1.0, 1.0), (0.512, 0.585), (0.017, 0.014), 35.0),
    Organ("aorta", (-1.0, 1.0), (0.552, 0.600), (0.030, 0.030), BLOOD),
    Organ("right hilum", (-0.25, 0.5), (0.440, 0.485), (0.034, 0.022), BLOOD),
    Organ("left hilum", (-0.35, 0.4), (0.560, 0.490), (0.030, 0.024), BLOOD),
    Organ("trachea", (-1.0, 0.0), (0.500, 0.500), (0.022, 0.020), AIR),
    Organ("right bronchus", (0.0, 0.7), (0.458, 0.505), (0.017, 0.014), AIR),
    Organ("left bronchus", (0.0, 0.7), (0.537, 0.510), (0.016, 0.012), AIR),
)
BULGING = tuple(organ for organ in ORGANS if organ.name in ("aorta", "right hilum", "left hilum"))
AIRWAY_WALL = 0.004
HEART_CENTRE, HEART_RADII, HEART_TILT = (0.552, 0.428), (0.142, 0.106), 0.50
HEART_TOP = 0.0  # height below which the heart is seen
BLADE = ((0.235, 0.240), (0.300, 0.175), (0.345, 0.110))  # a shoulder blade about `CENTRE`
ARCH = (  # of the vertebra: both sides of the canal, the transverse and the spinous process
    ((0.462, 0.712), (0.455, 0.735), (0.475, 0.755), (0.5, 0.765)),
    ((0.538, 0.712), (0.545, 0.735), (0.525, 0.755), (0.5, 0.765)),
    ((0.455, 0.735), (0.405, 0.750)),
    ((0.545, 0.735), (0.595, 0.750)),
    ((0.5, 0.765), (0.5, 0.80)),
)
RIB_SLIDE = 0.16  # radians by which sections of ribs move along the wall per unit of height
FADE = 0.08  # height over which organs begin and end


@dataclass(frozen=True)
class Thorax:
    """What is the same in all slices of a patient.

    Attributes:
        body: half axes (x, y) of the body's outline.
        scale: of the organs about `CENTRE`.
        tilt: of each lung's cavity, right and left, radians.
        ribs: angles on the oval of the ribs at height 0, radians.
        vessels: strokes of the vessels of both lungs at height 0, a list per tree.
        drifts: [trees,2], how each tree moves per unit of height.
        dots: [N,5] vessels across the slice: x, y, radius and drift (x, y) per unit of height.
        seed: of the texture.
        table: y of the patient table.
    """

    body: Point
    scale: float
    tilt: float
    ribs: np.ndarray
    vessels: tuple[list[Stroke], ...]
    drifts: np.ndarray
    dots: np.ndarray
    seed: int
    table: float


class ThoraxSlice(NamedTuple):
    """A slice without blur and noise, and where its parts lie."""

    hu: np.ndarray
    """[S,S] float32."""
    lungs: np.ndarray
    """[S,S] bool, with their vessels, as lung masks are drawn."""
    mediastinum: np.ndarray
    """[S,S] bool, with heart and great vessels."""


def draw_thorax(rng: np.random.Generator) -> Thorax:
    """Returns a patient."""
    vessels = []
    for side in (-1, 1):
        for _ in range(VESSELS_PER_LUNG):
            start = (0.5 + side * 0.062, 0.49 + rng.uniform(-0.035, 0.035))
            angle = rng.uniform(-1.4, 1.4)
            heading = angle if side > 0 else np.pi - angle
            vessels.append(grow(rng, PULMONARY, start, heading, rng.uniform(0.0035, 0.0080)))
        for _ in range(PIECES_PER_LUNG):
            start = (0.5 + side * rng.uniform(0.10, 0.32), rng.uniform(0.30, 0.67))
            # Vessels run from the hilum outwards.
            heading = np.arctan2(start[1] - 0.49, start[0] - 0.5 - side * 0.06)
            heading += rng.normal(0, 0.3)
            vessels.append(grow(rng, SHORT, start, heading, rng.uniform(0.0018, 0.0042)))
    number = 2 * DOTS_PER_LUNG
    sides = np.repeat((-1, 1), DOTS_PER_LUNG)
    dots = [
        0.5 + sides * rng.uniform(0.09, 0.34, number),
        rng.uniform(0.29, 0.68, number),
        rng.uniform(0.0016, 0.0048, number),
        *rng.uniform(-DOT_SHIFT, DOT_SHIFT, (2, number)),
    ]
    return Thorax(
        body=(rng.uniform(0.41, 0.445), rng.uniform(0.285, 0.315)),
        scale=rng.uniform(0.95, 1.05),
        tilt=rng.uniform(-0.03, 0.03),
        ribs=np.linspace(0, 2 * np.pi, 14, endpoint=False) + rng.uniform(-0.12, 0.12, 14),
        vessels=tuple(vessels),
        drifts=rng.uniform(-VESSEL_SHIFT, VESSEL_SHIFT, (len(vessels), 2)),
        dots=np.stack(dots, axis=1),
        seed=int(rng.integers(2**31)),
        table=rng.uniform(0.84, 0.87),
    )


def organ_centre(thorax: Thorax, organ: Organ) -> Point:
    """Returns where an organ lies in a patient."""
    return tuple(c + thorax.scale * (p - c) for p, c in zip(organ.centre, CENTRE))


def thorax_slice(thorax: Thorax, height: float, side: int) -> ThoraxSlice:
    """Returns the slice of a patient at a height in [-1,1], without lesions, blur and noise.

    Neighbouring heights look alike: organs change their size by 8 % over the whole range, vessels
    drift.

    Args:
        thorax: the patient.
        height: from -1 (top) to 1.
        side: of the picture, pixels.
    """
    x, y = pixel_grid(side)
    hu = np.full((side, side), AIR, np.float32)
    _draw_table(hu, thorax)
    _draw_wall(hu, thorax, x, y)
    lung, mediastinum = _lungs(thorax, height, x, y)
    inside = ellipse_cover(x, y, CENTRE, _cavity(thorax, height), thorax.tilt, CAVITY_POWER)
    blend(hu, inside, MEDIASTINAL_FAT + 30 * _texture(thorax, side, 0.012))
    _draw_organs(hu, thorax, height, x, y)
    blend(hu, lung, LUNG + 18 * _texture(thorax, side, 0.05))
    _draw_vessels(hu, lung, thorax, height)
    _draw_bones(hu, thorax, height, x, y)
    return ThoraxSlice(hu, lung > 0.5, mediastinum > 0.5)


def scanned(rng: np.random.Generator, hu: np.ndarray) -> np.ndarray:
    """Returns a slice [S,S] float in HU as the scanner stores it: blurred, noisy, int16."""
    noise = rng.standard_normal(hu.shape).astype(np.float32)
    picture = blurred(hu, BLUR * hu.shape[0]) + NOISE * noise
    return np.clip(np.rint(picture), -1024, 3071).astype(np.int16)


def _texture(thorax: Thorax, side: int, scale: float) -> np.ndarray:
    return smooth_noise(np.random.default_rng((thorax.seed, DETAIL_SEED)), side, scale)


def _growth(height: float) -> float:
    """The size of what lies in the chest at a height; 1 in the middle."""
    return 1 + 0.04 * height


def _cavity(thorax: Thorax, height: float) -> Point:
    inset_y, inset_x = CAVITY_INSET
    body_x, body_y = thorax.body
    narrow = 1 - 0.10 * max(0.0, -height)  # The chest is narrow at its top.
    return ((body_x - inset_x) * narrow * _growth(height), body_y - inset_y)


def _draw_table(hu: np.ndarray, thorax: Thorax) -> None:
    across = np.linspace(-1, 1, 25)
    for below in (0.0, 0.04):
        bend = 0.075 * np.abs(across) ** 3
        points = np.stack([0.5 + 0.40 * across, thorax.table + below - bend], axis=1)
        blend(hu, cover_of(hu.shape[0], [Stroke(points, np.full(25, 0.005))]), TABLE)


def _draw_wall(hu: np.ndarray, thorax: Thorax, x: np.ndarray, y: np.ndarray) -> None:
    """Skin, fat and the muscles of the chest wall."""
    (bx, by), side = thorax.body, hu.shape[0]
    blend(hu, ellipse_cover(x, y, CENTRE, (bx, by), 0.0, 2.4), 10.0)
    skin = 0.004
    fat = FAT + 10 * _texture(thorax, side, 0.02)
    blend(hu, ellipse_cover(x, y, CENTRE, (bx - skin, by - skin), 0.0, 2.4), fat)
    muscle = ellipse_cover(x, y, CENTRE, (bx - 0.030, by - 0.028), 0.0, 2.3)
    blend(hu, muscle, MUSCLE)
    # Planes of fat between the muscles.
    plane = ellipse_value(x, y, CENTRE, (bx - 0.047, by - 0.043), 0.0, 2.3)
    depth = 0.003 - np.abs(1 - plane ** (1 / 2.3)) * 0.3
    blend(hu, 0.8 * edge_cover(depth, side) * (_texture(thorax, side, 0.06) > -0.3), FAT)
    for sign in (-1, 1):  # muscles beside the spine, wrapped in fat
        centre = (0.5 + sign * 0.062, CENTRE[1] + by - 0.052)
        blend(hu, ellipse_cover(x, y, centre, (0.058, 0.034)), FAT)
        blend(hu, ellipse_cover(x, y, centre, (0.053, 0.030)), MUSCLE)


def _lungs(
    thorax: Thorax, height: float, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Covers of both lungs and of the mediastinum between them, [S,S] each."""
    side, (cx, cy) = y.shape[0], _cavity(thorax, height)
    radii = (cx - 0.006, cy - 0.006)
    cavity = ellipse_cover(x, y, CENTRE, radii, thorax.tilt, CAVITY_POWER)
    half = (MEDIASTINUM(y) * thorax.scale * _growth(height)).astype(np.float32)
    middle = edge_cover(half - np.abs(x - 0.503), side)
    middle = np.maximum(middle, _heart(thorax, height, x, y))
    for organ in BULGING:
        middle = np.maximum(middle, _organ_cover(thorax, organ, height, x, y, 0.004))
    return cavity * (1 - middle), cavity * middle


def _fading(height: float, heights: tuple[float, float]) -> float:
    """How much of an organ is seen at a height: 1 between its ends, 0 far from them."""
    above = min(height - heights[0], heights[1] - height)
    return float(np.clip(above / FADE + 1, 0, 1))


def _heart(thorax: Thorax, height: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The cover of the heart or, above it, of the great vessels' bulge to the left."""
    grown = thorax.scale * _growth(height) * np.interp(height, (-0.3, 0.3, 1.0), (0.5, 0.92, 1.05))
    centre = (0.5 + (HEART_CENTRE[0] - 0.5) * grown, HEART_CENTRE[1])
    radii = (HEART_RADII[0] * grown, HEART_RADII[1] * grown)
    return ellipse_cover(x, y, centre, radii, HEART_TILT)


def _organ_cover(
    thorax: Thorax, organ: Organ, height: float, x: np.ndarray, y: np.ndarray, wall: float = 0.0
) -> np.ndarray:
    """The cover of an organ with a wall around it, as far as it is seen at a height."""
    seen = _fading(height, organ.heights)
    if not seen:
        return np.zeros(1, np.float32)
    radii = tuple(r * _growth(height) * thorax.scale + wall for r in organ.radii)
    return seen * ellipse_cover(x, y, organ_centre(thorax, organ), radii)


def _draw_organs(
    hu: np.ndarray, thorax: Thorax, height: float, x: np.ndarray, y: np.ndarray
) -> None:
    # The heart lies in a layer of fat.
    heart = np.clip(2 * _heart(thorax, height, x, y) - 1, 0, 1)
    blend(hu, _fading(height, (HEART_TOP, 1.0)) * heart, BLOOD)
    for organ in ORGANS:
        if organ.hu == AIR:
            blend(hu, _organ_cover(thorax, organ, height, x, y, AIRWAY_WALL), MUSCLE)
        blend(hu, _organ_cover(thorax, organ, height, x, y), organ.hu)


def _draw_vessels(hu: np.ndarray, lung: np.ndarray, thorax: Thorax, height: float) -> None:
    canvas = np.zeros_like(hu)
    for tree, drift in zip(thorax.vessels, thorax.drifts):
        for line in tree:
            paint(canvas, Stroke(line.points + height * drift, line.radii))
    for px, py, radius, *drift in thorax.dots:
        place = np.array((px, py)) + height * np.array(drift)
        paint(canvas, Stroke(np.stack([place, place]), np.array([radius, radius])))
    blend(hu, canvas * lung, 25.0)


def _bone(
    hu: np.ndarray,
    grid: tuple[np.ndarray, np.ndarray],
    centre: Point,
    radii: Point,
    tilt: float = 0.0,
    cortex: float = 0.004,
) -> None:
    blend(hu, ellipse_cover(*grid, centre, radii, tilt), CORTEX)
    inner = tuple(max(r - cortex, 0.0015) for r in radii)
    blend(hu, ellipse_cover(*grid, centre, inner, tilt), MARROW)


def _draw_bones(
    hu: np.ndarray, thorax: Thorax, height: float, x: np.ndarray, y: np.ndarray
) -> None:
    grid, side, (bx, by) = (x, y), hu.shape[0], thorax.body
    ribs = np.array([bx - 0.052, by - 0.052])
    for angle in thorax.ribs + RIB_SLIDE * height * np.sign(np.sin(2 * thorax.ribs)):
        across = np.array([np.cos(angle), np.sin(angle)])
        if abs(across[0]) < 0.25:  # Sternum and spine are there.
            continue
        # The point of the super-ellipse in this direction, and its tangent.
        reach = np.sum(np.abs(across / ribs) ** 2.3) ** (-1 / 2.3)
        normal = np.sign(across) * np.abs(across * reach / ribs) ** 1.3 / ribs
        tilt = np.arctan2(normal[0], -normal[1])
        _bone(hu, grid, tuple(CENTRE + reach * across), (0.032, 0.0105), tilt, 0.0035)
    _bone(hu, grid, (0.5, CENTRE[1] - by + 0.043), (0.045, 0.013))
    for sign in (-1, 1):  # Shoulder blades.
        seen = _fading(height, (-1.0, -0.1))
        blade = [(0.5 + sign * dx * bx / 0.43, CENTRE[1] + dy * by / 0.3) for dx, dy in BLADE]
        blend(hu, seen * cover_of(side, [stroke(blade, 0.0085)]), CORTEX)
        blend(hu, seen * cover_of(side, [stroke(blade, 0.0045)]), MARROW)
    _bone(hu, grid, (0.5, 0.675), (0.058, 0.046), 0.0, 0.0045)
    blend(hu, cover_of(side, [stroke(part, 0.0085) for part in ARCH]), 480.0)
    blend(hu, ellipse_cover(x, y, (0.5, 0.737), (0.026, 0.021)), 30.0)
    blend(hu, ellipse_cover(x, y, (0.5, 0.737), (0.013, 0.011)), 38.0)
