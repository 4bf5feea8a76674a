"""Shapes from which the pictures of phantoms are drawn: strokes, ellipses, smooth noise, branches.

Lengths are fractions of a picture's side, x to the right and y down, so that a shape is the same at
every size. What covers a part of a pixel has a value between 0 and 1 there (partial volume).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Callable, NamedTuple

import cv2
import numpy as np
from scipy import ndimage

Range = tuple[float, float]
Point = tuple[float, float]

POINTS_PER_SCALE = 1.5  # control points of smooth noise within one standard deviation of its blur
BEND_KEPT = 0.75  # of a vessel's bend from one step to the next
FADING = 0.2  # share of a vessel's steps over which it ends, if nothing else ends it before
RECOIL = 0.15  # how far a vessel turns away from a branch, as a share of the branch's angle


class Stroke(NamedTuple):
    """A line of varying width."""

    points: np.ndarray
    """[N,2] float, (x, y) along the middle."""
    radii: np.ndarray
    """[N] float, half the width at each point."""


def stroke(points: Sequence[Point], radius: float) -> Stroke:
    """Returns the line of one width through some points."""
    points = np.asarray(points, float)
    return Stroke(points, np.full(len(points), float(radius)))


def pixel_grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns x [1,side] and y [side,1] of the pixels' centres, float32 in (0,1)."""
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    return centres[None, :], centres[:, None]


def ellipse_value(
    x: np.ndarray,
    y: np.ndarray,
    centre: Point,
    radii: Point,
    tilt: float = 0.0,
    power: float = 2.0,
) -> np.ndarray:
    """Returns |u/rx|^power + |v/ry|^power at each pixel: 0 in the centre, 1 on the border.

    Args:
        x: [1,W] or [H,W], as `pixel_grid` gives it.
        y: [H,1] or [H,W].
        centre: of the ellipse, (x, y).
        radii: half axes (rx, ry).
        tilt: angle from the x axis to the first half axis, radians, clockwise in the picture.
        power: 2 for an ellipse, more for a rounder rectangle (super-ellipse).
    """
    right, down = x - np.float32(centre[0]), y - np.float32(centre[1])
    cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    u, v = (cos * right + sin * down) / radii[0], (cos * down - sin * right) / radii[1]
    if power == 2.0:
        return u * u + v * v
    return np.abs(u) ** np.float32(power) + np.abs(v) ** np.float32(power)


def ellipse_cover(
    x: np.ndarray,
    y: np.ndarray,
    centre: Point,
    radii: Point,
    tilt: float = 0.0,
    power: float = 2.0,
) -> np.ndarray:
    """Returns the share of each pixel that an ellipse covers, [H,W] float32 in [0,1].

    Arguments as of `ellipse_value`. The distance to the border is exact on the shorter half axis.
    """
    value = ellipse_value(x, y, centre, radii, tilt, power)
    depth = (1 - value ** np.float32(1 / power)) * np.float32(min(radii))
    return np.clip(0.5 + depth * y.shape[0], 0, 1).astype(np.float32)


def edge_cover(depth: np.ndarray, side: int) -> np.ndarray:
    """Returns the covered share of pixels that lie `depth` (fraction of the side) inside a border.

    Args:
        depth: [H,W] float, negative outside.
        side: of the picture, pixels.
    """
    return np.clip(0.5 + depth * side, 0, 1).astype(np.float32)


def blend(picture: np.ndarray, cover: np.ndarray, value: float | np.ndarray) -> None:
    """Moves a picture [H,W] in place to a value where something covers it, [H,W] in [0,1]."""
    picture += cover * (value - picture)


def paint(canvas: np.ndarray, line: Stroke, weight: float | np.ndarray = 1.0) -> None:
    """Raises a canvas to `weight` times the share of each pixel that a stroke covers.

    A stroke narrower than a pixel covers a part of it. Where strokes overlap, the larger value
    stays. Only the bounding box of each segment is computed.

    Args:
        canvas: [S,S] or [K,S,S] float32, changed in place.
        line: the stroke; what lies outside of the canvas is left out.
        weight: value of a pixel that it covers wholly; [K,1,1] for K canvases at once.
    """
    side = canvas.shape[-1]
    # Pixel (i, j) has its centre at (i, j) in these units.
    points, radii = line.points * side - 0.5, line.radii * side
    for start, end, *ends in zip(points[:-1], points[1:], radii[:-1], radii[1:]):
        reach = max(ends) + 1
        low = np.maximum(np.floor(np.minimum(start, end) - reach), 0).astype(int)
        high = np.minimum(np.ceil(np.maximum(start, end) + reach) + 1, side).astype(int)
        if (high <= low).any():
            continue
        box = canvas[..., low[1] : high[1], low[0] : high[0]]
        right = np.arange(low[0], high[0], dtype=np.float32)[None, :] - np.float32(start[0])
        down = np.arange(low[1], high[1], dtype=np.float32)[:, None] - np.float32(start[1])
        along = end - start
        length = max(float(along @ along), 1e-12)
        share = np.clip((right * along[0] + down * along[1]) / length, 0, 1)
        distance = np.hypot(right - share * along[0], down - share * along[1])
        radius = ends[0] + share * (ends[1] - ends[0])
        # How much of the pixel's width lies between the two borders.
        cover = np.minimum(distance + 0.5, radius) - np.maximum(distance - 0.5, -radius)
        np.maximum(box, weight * np.clip(cover, 0, 1), out=box)


def cover_of(side: int, lines: Sequence[Stroke]) -> np.ndarray:
    """Returns the share of each pixel that some strokes cover, [side,side] float32 in [0,1]."""
    canvas = np.zeros((side, side), np.float32)
    for line in lines:
        paint(canvas, line)
    return canvas


def smooth_noise(rng: np.random.Generator, side: int, scale: float) -> np.ndarray:
    """Returns white noise blurred by a Gaussian, [side,side] float32 of mean 0 and deviation 1.

    It is drawn on control points, so that it is about the same at every size.

    Args:
        rng: source of the noise.
        side: of the picture, pixels.
        scale: standard deviation of the Gaussian, fraction of the side.
    """
    count = int(np.ceil(POINTS_PER_SCALE / scale)) + 2
    control = rng.standard_normal((count, count)).astype(np.float32)
    control = ndimage.gaussian_filter(control, POINTS_PER_SCALE, mode="wrap")
    noise = cv2.resize(control, (side, side), interpolation=cv2.INTER_CUBIC)
    return (noise - noise.mean()) / noise.std()


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Returns a picture [H,W] or [H,W,C] after a Gaussian blur of `sigma` pixels per channel."""
    sigmas = (sigma, sigma, 0)[: picture.ndim]
    return ndimage.gaussian_filter(picture, sigmas, mode="nearest")


@dataclass(frozen=True)
class Growth:
    """How a vessel grows and branches; lengths are fractions of the side.

    Attributes:
        step: length of a segment.
        steps: largest number of segments of a vessel.
        wander: standard deviation of the change of bend per step, radians; a vessel winds about
            its course, which it does not leave.
        taper: radius after a step, as a share of the one before.
        branching: probability of a branch per step, by depth; no branch of the last depth has one.
        angles: between a branch and its parent, radians.
        shares: radius of a branch as a share of its parent's.
        thinnest: radius at which a vessel ends.
        shortening: `steps` of a branch, as a share of its parent's.
    """

    step: float
    steps: int
    wander: float
    taper: float
    branching: tuple[float, ...] = ()
    angles: Range = (0.4, 0.9)
    shares: Range = (0.45, 0.75)
    thinnest: float = 0.0
    shortening: float = 1.0


def grow(
    rng: np.random.Generator,
    growth: Growth,
    start: Point,
    angle: float,
    radius: float,
    turn: float = 0.0,
    allowed: Callable[[float, float], bool] = lambda x, y: True,
    depth: int = 0,
) -> list[Stroke]:
    """Returns a vessel and its branches, the vessel first.

    Radii follow Murray's law: the cubes of a branch and of what goes on add up to the parent's.

    Args:
        rng: source of the shape.
        growth: amounts.
        start: where it begins, (x, y).
        angle: its first direction, radians, clockwise from the x axis.
        radius: its first radius.
        turn: mean change of direction per step, radians, which fades to 0 at the last step;
            branches have none.
        allowed: whether a vessel may go on at (x, y).
        depth: how many vessels it comes from.
    """
    points, radii, branches, bend = [start], [radius], [], 0.0
    for done in range(growth.steps):
        angle += turn * (1 - done / growth.steps)
        bend = BEND_KEPT * bend + rng.normal(0, growth.wander)
        x, y = points[-1]
        x, y = x + growth.step * np.cos(angle + bend), y + growth.step * np.sin(angle + bend)
        radius *= growth.taper
        if radius < growth.thinnest or not allowed(x, y):
            break
        points.append((x, y))
        radii.append(radius * min(1.0, (1 - done / growth.steps) / FADING))
        if depth < len(growth.branching) and rng.random() < growth.branching[depth]:
            child = radius * rng.uniform(*growth.shares)
            side = rng.choice((-1, 1))
            branches.append(((x, y), angle + side * rng.uniform(*growth.angles), child))
            radius = (radius**3 - child**3) ** (1 / 3)
            angle -= RECOIL * side * rng.uniform(*growth.angles)
    grown = [Stroke(np.array(points), np.array(radii))] if len(points) > 1 else []
    shorter = replace(growth, steps=max(2, round(growth.steps * growth.shortening)))
    for place, direction, width in branches:
        grown += grow(rng, shorter, place, direction, width, 0.0, allowed, depth + 1)
    return grown
