"""Photographs of a computed eye's back: optic disc, macula and branching vessels.

A demonstration and test object, not medical data. Lengths are fractions of the picture's side, x to
the right, y down. Eyes are drawn with the disc at the left and mirrored if it lies at the right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from data.drawing import (
    Growth,
    Point,
    Range,
    Stroke,
    blurred,
    cover_of,
    edge_cover,
    ellipse_value,
    grow,
    paint,
    pixel_grid,
    smooth_noise,
    stroke,
)

FIELD = 0.48  # radius of the field of view
TAB = (0.858, 0.142, 0.028)  # notch of some cameras at the field's upper right: x, y, radius
GROWN = 0.62  # radius to which vessels grow, so that a shifted picture is full of them too
MACULA_FREE = 0.050  # radius around the macula without vessels

# Reflected light as red, green, blue in [0,1], and what takes it away.
BACKGROUND = (0.86, 0.36, 0.22)
DISC, CUP = (1.0, 0.86, 0.52), (1.0, 0.98, 0.80)
MACULA = (0.30, 0.46, 0.42)  # share that the macula's pigment takes
ARTERY, VEIN = (0.16, 0.40, 0.34), (0.30, 0.56, 0.44)  # shares that a wide vessel takes
REFLEX = 0.13  # brightness that the middle of a wide artery has more
REFLEX_RADIUS = 0.0036  # of the narrowest artery with a reflex
WIDE = 0.0045  # radius from which a vessel takes its whole share
PALEST = 0.42  # what the finest vessel takes, as a share of that
VESSEL_COVER = 0.4  # share of a pixel that is labelled as vessel
TEXTURE = ((0.025, 1 / 8), (0.012, 1 / 40), (0.016, 1 / 150))  # share of the light, scale
BLUR, NOISE = 0.7 / 512, 0.006  # standard deviations: fraction of the side, light

MAIN = Growth(
    step=0.018,
    steps=52,
    wander=0.12,
    taper=0.981,
    branching=(0.15, 0.10, 0.05),
    angles=(0.45, 0.95),
    shares=(0.45, 0.75),
    thinnest=0.0012,
    shortening=0.5,
)
TWIG = Growth(0.018, 16, 0.16, 0.965, (0.15, 0.1), (0.4, 0.8), (0.5, 0.75), 0.0011, 0.6)


class Trunk(NamedTuple):
    """A vessel as it leaves the disc, which lies at the left of the macula."""

    angle: Range
    """Direction, radians, clockwise from the x axis."""
    turn: Range
    """Change of direction per step, radians."""
    radius: float
    is_vein: bool
    growth: Growth = MAIN


TRUNKS = (
    Trunk((-1.45, -1.20), (0.052, 0.066), 0.0084, True),  # upper temporal
    Trunk((-1.15, -0.90), (0.042, 0.058), 0.0064, False),
    Trunk((1.20, 1.45), (-0.066, -0.052), 0.0084, True),  # lower temporal
    Trunk((0.90, 1.15), (-0.058, -0.042), 0.0064, False),
    Trunk((-2.35, -1.95), (-0.015, 0.01), 0.0060, True),  # upper nasal
    Trunk((-2.75, -2.40), (-0.01, 0.015), 0.0046, False),
    Trunk((1.95, 2.35), (-0.01, 0.015), 0.0060, True),  # lower nasal
    Trunk((2.40, 2.75), (-0.015, 0.01), 0.0046, False),
    Trunk((-0.75, -0.50), (0.012, 0.03), 0.0034, False, TWIG),  # towards the macula
    Trunk((0.45, 0.75), (-0.03, -0.012), 0.0036, True, TWIG),
    Trunk((-3.3, -2.95), (-0.02, 0.02), 0.0032, True, TWIG),
)


@dataclass(frozen=True)
class Eye:
    """What is the same in all photographs of an eye.

    Attributes:
        disc: centre of the optic disc.
        disc_radii: half axes of the disc.
        cup: half axes of its cup, as a share of the disc's.
        macula: its centre.
        vessels: (stroke, is a vein) of each.
        colour: [3] of the background, red, green, blue in [0,1].
        spots: [N,3] bleedings that came between two photographs: x, y, radius.
        seed: of the texture.
    """

    disc: Point
    disc_radii: Point
    cup: float
    macula: Point
    vessels: tuple[tuple[Stroke, bool], ...]
    colour: np.ndarray
    spots: np.ndarray
    seed: int


@dataclass(frozen=True)
class View:
    """How an eye was photographed.

    Attributes:
        shift: of the eye's picture, fraction of the side.
        turn: of the eye's picture, radians, clockwise.
        light: brightness.
        vignette: share of the light that is missing at the field's border.
        tab: whether the field of view has a notch.
        spots: whether the bleedings are there.
    """

    shift: Point = (0.0, 0.0)
    turn: float = 0.0
    light: float = 1.0
    vignette: float = 0.35
    tab: bool = False
    spots: bool = False


class Photograph(NamedTuple):
    """A picture and where its parts lie."""

    colour: np.ndarray
    """[S,S,3] float32 in [0,1], red, green, blue; 0 outside of the field of view."""
    vessels: np.ndarray
    """[S,S] bool, within the field of view."""
    field: np.ndarray
    """[S,S] bool, the field of view."""


def draw_eye(rng: np.random.Generator) -> Eye:
    """Returns a right or left eye."""
    disc = (0.5 - 0.30 * rng.uniform(0.95, 1.1), 0.5 + rng.uniform(-0.03, 0.03))
    macula = (disc[0] + 0.30 + rng.uniform(-0.02, 0.02), disc[1] + 0.02 + rng.uniform(-0.01, 0.01))
    size, mirrored = rng.uniform(0.9, 1.1), rng.random() < 0.5
    vessels = []
    for trunk in TRUNKS:
        for line in _vessel(rng, trunk, disc, macula):
            vessels.append((_mirrored(line) if mirrored else line, trunk.is_vein))
    if mirrored:
        disc, macula = (1 - disc[0], disc[1]), (1 - macula[0], macula[1])
    places = 0.5 + rng.uniform(-0.3, 0.3, (9, 2))
    return Eye(
        disc=disc,
        disc_radii=(0.050 * size, 0.060 * size),
        cup=rng.uniform(0.35, 0.6),
        macula=macula,
        vessels=tuple(vessels),
        colour=np.minimum(np.array(BACKGROUND) * rng.uniform(0.9, 1.1, 3), 0.92),
        spots=np.column_stack([places, rng.uniform(0.003, 0.010, 9)]),
        seed=int(rng.integers(2**31)),
    )


def _vessel(rng: np.random.Generator, trunk: Trunk, disc: Point, macula: Point) -> list[Stroke]:
    def allowed(x: float, y: float) -> bool:
        return (
            np.hypot(x - 0.5, y - 0.5) < GROWN
            and np.hypot(x - macula[0], y - macula[1]) > MACULA_FREE
        )

    angle, radius = rng.uniform(*trunk.angle), trunk.radius * rng.uniform(0.9, 1.1)
    # Vessels come out of the cup, a little beside its middle.
    start = (
        disc[0] - 0.008 + 0.012 * np.cos(angle) + rng.uniform(-0.004, 0.004),
        disc[1] + 0.020 * np.sin(angle) + rng.uniform(-0.004, 0.004),
    )
    return grow(rng, trunk.growth, start, angle, radius, rng.uniform(*trunk.turn), allowed)


def _mirrored(line: Stroke) -> Stroke:
    return line._replace(points=line.points * (-1, 1) + (1, 0))


def photograph(rng: np.random.Generator, eye: Eye, view: View, side: int) -> Photograph:
    """Returns a photograph of an eye.

    Args:
        rng: source of the noise.
        eye: the eye.
        view: how it is photographed; the field of view stays where it is.
        side: of the picture, pixels.
    """
    x, y = pixel_grid(side)
    field = _field(x, y, view.tab)
    lines = [(_seen(line, view), is_vein) for line, is_vein in eye.vessels]
    colour = _background(eye, view, x, y)
    drawn = np.zeros((side, side), bool)
    for is_vein, shares in ((True, VEIN), (False, ARTERY)):  # arteries cross over veins
        covers = np.zeros((2, side, side), np.float32)
        for line in (line for line, vein in lines if vein == is_vein):
            pale = np.clip(line.radii.mean() / WIDE, PALEST, 1)
            paint(covers, line, np.float32([1, pale])[:, None, None])
        drawn |= covers[0] > VESSEL_COVER
        _absorb(colour, covers[1], shares)
    colour *= (1 + REFLEX * _reflexes(lines, side))[..., None]
    if view.spots:
        _absorb(colour, _spots(eye, view, side), VEIN)
    radius = np.hypot(x - 0.5, y - 0.5) / FIELD
    colour *= (view.light * (1 - view.vignette * np.minimum(radius, 1.1) ** 2.2))[..., None]
    colour = blurred(colour, BLUR * side)
    colour += NOISE * rng.standard_normal(colour.shape, np.float32)
    colour = np.clip(colour, 0, 1) * field[..., None]
    return Photograph(colour, drawn & (field > 0.5), field > 0.5)


def _field(x: np.ndarray, y: np.ndarray, tab: bool) -> np.ndarray:
    """The share of each pixel in the field of view."""
    side = y.shape[0]
    field = edge_cover(FIELD - np.hypot(x - 0.5, y - 0.5), side)
    if tab:
        square = ellipse_value(x, y, TAB[:2], (TAB[2], TAB[2]), np.pi / 4, 16.0)
        field = np.maximum(field, edge_cover((1 - square) * 0.02, side))
    return field


def _matrix(view: View) -> np.ndarray:
    """[2,3], from a place in the eye's own picture to its place in a view."""
    cos, sin = np.cos(view.turn), np.sin(view.turn)
    turn = np.array([[cos, -sin], [sin, cos]])
    centre = np.array([0.5, 0.5])
    return np.column_stack([turn, centre + np.array(view.shift) - turn @ centre])


def _seen(line: Stroke, view: View) -> Stroke:
    matrix = _matrix(view)
    return line._replace(points=line.points @ matrix[:, :2].T + matrix[:, 2])


def _background(eye: Eye, view: View, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[S,S,3]: the retina's colour with its texture, macula, disc and cup, without vessels."""
    side, rng = y.shape[0], np.random.default_rng(eye.seed)
    texture = sum(share * smooth_noise(rng, side, scale) for share, scale in TEXTURE)
    matrix = _matrix(view)
    matrix[:, 2] *= side
    texture = cv2.warpAffine(texture, matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
    disc, macula = (matrix[:, :2] @ place + matrix[:, 2] / side for place in (eye.disc, eye.macula))
    # The layer of nerve fibres shines near the disc.
    around = ellipse_value(x, y, disc, (0.20, 0.26))
    light = 1 + texture + 0.10 * np.exp(-around)
    colour = (light[..., None] * eye.colour).astype(np.float32)
    wide, narrow = (np.exp(-ellipse_value(x, y, macula, (r, r))) for r in (0.105, 0.035))
    _absorb(colour, 0.62 * wide + 0.38 * narrow, MACULA)
    tilt = view.turn
    for radii, light, share in ((1.0, DISC, 0.92), (eye.cup, CUP, 0.75)):
        size = tuple(radii * r for r in eye.disc_radii)
        depth = (1 - np.sqrt(ellipse_value(x, y, disc, size, tilt))) * size[0]
        cover = share * edge_cover(depth * 0.4, side)
        colour += cover[..., None] * (np.float32(light) - colour)
    return colour


def _absorb(colour: np.ndarray, cover: np.ndarray, shares: tuple[float, float, float]) -> None:
    """Takes shares of red, green and blue away, in place, where a pigment covers the picture."""
    colour *= 1 - cover[..., None] * np.float32(shares)


def _reflexes(lines: list[tuple[Stroke, bool]], side: int) -> np.ndarray:
    """The cover of the bright lines along the middle of wide arteries."""
    wide = [
        line._replace(radii=0.3 * line.radii)
        for line, is_vein in lines
        if not is_vein and line.radii[0] > REFLEX_RADIUS
    ]
    return cover_of(side, wide)


def _spots(eye: Eye, view: View, side: int) -> np.ndarray:
    dots = [_seen(stroke([place, place], radius), view) for *place, radius in eye.spots]
    return cover_of(side, dots)
