"""Computed lesions of a liver: darker than it, some with a bright rim.

A demonstration and test object, not medical data. Lengths are in mm.
"""

from __future__ import annotations

import numpy as np

from data.drawing import Range
from data.liver_ct.anatomy import Abdomen, Part
from data.solids import Solid, Waves, ellipsoid

LESION = 2  # of the label
NUMBER = (1, 5)  # at least and at most
RADIUS: Range = (5, 22)  # log-uniform
DARKER: Range = (35, 65)  # HU, than the liver
UNEVEN = 0.07  # of its surface, a share of the radius
RIMS = 0.35  # share of the larger lesions that have one
RIM, RIM_HU, RIM_RADIUS = 2.0, 24.0, 10.0  # width; HU above the liver; smallest lesion with a rim
PLACES = 4000  # that are tried for a lesion
MARGIN = 3.0  # from the liver's surface and other lesions


def draw_lesions(rng: np.random.Generator, abdomen: Abdomen) -> list[Part]:
    """Returns one to five lesions inside of the liver, each with its rim in front of its middle.

    They do not touch each other. One for which no place is deep enough is drawn smaller.
    """
    room, parts = abdomen.liver, []
    for _ in range(int(rng.integers(NUMBER[0], NUMBER[1] + 1))):
        radius = float(np.exp(rng.uniform(*np.log(RADIUS))))
        centre, radius = _place(rng, room, radius)
        if radius < RADIUS[0]:
            continue
        lesion = _shape(rng, centre, radius) & abdomen.liver
        dark, bright = abdomen.liver_hu - rng.uniform(*DARKER), abdomen.liver_hu + RIM_HU
        if radius >= RIM_RADIUS and rng.random() < RIMS:
            parts += [
                Part([lesion], bright, 4.0, LESION),
                Part([lesion.grown(-RIM)], dark, 6.0, LESION),
            ]
        else:
            parts.append(Part([lesion], dark, 6.0, LESION))
        room = room - ellipsoid(centre, (radius + MARGIN,) * 3)
    return parts


def _place(
    rng: np.random.Generator, room: Solid, radius: float
) -> tuple[tuple[float, float, float], float]:
    """Returns a random centre and the radius, which is smaller where there is no room for it."""
    x, y, z = rng.uniform(room.low, room.high, (PLACES, 3)).T.astype(np.float32)
    depth = room.depth(x, y, z) - MARGIN
    fitting = np.flatnonzero(depth >= radius)
    chosen = fitting[0] if fitting.size else int(depth.argmax())
    centre = tuple(float(axis[chosen]) for axis in (x, y, z))
    return centre, min(radius, float(depth[chosen]))


def _shape(rng: np.random.Generator, centre: tuple[float, float, float], radius: float) -> Solid:
    radii = tuple(radius * rng.uniform(0.82, 1.0, 3))
    solid = ellipsoid(centre, radii, rng.uniform(0, np.pi))
    return solid.uneven(Waves(rng, 0.6 * radius), UNEVEN * radius)
