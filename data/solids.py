"""Solid shapes from which the volumes of phantoms are drawn, on voxels of any size.

Lengths are in mm, x to the patient's left, y to the back, z upwards. A shape knows how deep a point
lies in it, so that it is the same on every grid, and what covers a part of a voxel has a value
between 0 and 1 there (partial volume).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Callable, Optional

import numpy as np

from data.drawing import blend

Coordinates = tuple[np.ndarray, np.ndarray, np.ndarray]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Solid:
    """A shape.

    Attributes:
        depth: function from x, y, z (arrays that broadcast) to the distance from the surface in mm,
            above 0 inside. It is about right near the surface.
        low, high: corners (x, y, z) of a box around it; may be infinite.
    """

    depth: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    low: Triple = (-np.inf,) * 3
    high: Triple = (np.inf,) * 3

    def grown(self, margin: float) -> Solid:
        """Returns the shape with a surface `margin` mm further outside; negative for smaller."""
        return Solid(
            lambda *at: self.depth(*at) + margin,
            tuple(side - max(margin, 0) for side in self.low),
            tuple(side + max(margin, 0) for side in self.high),
        )

    def __and__(self, other: Solid) -> Solid:
        """What lies in both."""
        low, high = np.maximum(self.low, other.low), np.minimum(self.high, other.high)
        return Solid(lambda *at: np.minimum(self.depth(*at), other.depth(*at)), low, high)

    def __or__(self, other: Solid) -> Solid:
        """What lies in one or both."""
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Solid(lambda *at: np.maximum(self.depth(*at), other.depth(*at)), low, high)

    def __sub__(self, other: Solid) -> Solid:
        """What lies in the first one only."""
        return replace(self, depth=lambda *at: np.minimum(self.depth(*at), -other.depth(*at)))

    def uneven(self, bumps: Waves, height: float) -> Solid:
        """Returns the shape with bumps on its surface, of a standard deviation of `height` mm."""
        return replace(
            self.grown(3 * height), depth=lambda *at: self.depth(*at) + height * bumps(*at)
        )


class Waves:
    """Smooth noise of mean 0 and deviation 1, a function of the place: a sum of random waves.

    Args:
        rng: source of the waves.
        scale: length over which it changes, mm: the standard deviation of a wave number is 1/scale.
        count: number of waves.
    """

    def __init__(self, rng: np.random.Generator, scale: float, count: int = 24):
        self.numbers = (rng.standard_normal((count, 3)) / scale).astype(np.float32)
        self.phases = rng.uniform(0, 2 * np.pi, count).astype(np.float32)

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Returns the noise at some points, float32 of the shape that x, y and z broadcast to."""
        total = np.float32(0)
        for (kx, ky, kz), phase in zip(self.numbers, self.phases):
            # A product of waves along the axes costs less than a cosine of each voxel.
            plane = np.exp(1j * (ky * y)) * np.exp(1j * (kz * z + phase))
            along = np.exp(1j * (kx * x))
            total = total + (plane.real * along.real - plane.imag * along.imag)
        return (total * np.sqrt(2 / len(self.phases))).astype(np.float32)


def ellipsoid(centre: Triple, radii: Triple, turn: float = 0.0) -> Solid:
    """Returns an ellipsoid.

    Args:
        centre: (x, y, z).
        radii: half axes.
        turn: angle about the z axis from x to the first half axis, radians, towards y.
    """
    cos, sin = np.cos(turn), np.sin(turn)

    def depth(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        right, down, up = (at - np.float32(c) for at, c in zip((x, y, z), centre))
        axes = (cos * right + sin * down, cos * down - sin * right, up)
        value, slope = (sum((a / r**power) ** 2 for a, r in zip(axes, radii)) for power in (1, 2))
        value = np.sqrt(value)
        return value * (1 - value) / np.maximum(np.sqrt(slope), 1e-6)

    wide = (max(radii[:2]), max(radii[:2]), radii[2]) if turn else radii
    low, high = (tuple(c + sign * r for c, r in zip(centre, wide)) for sign in (-1, 1))
    return Solid(depth, low, high)


def column(
    centre: tuple[float, float],
    radii: tuple[float, float],
    power: float = 2.0,
    heights: tuple[float, float] = (-np.inf, np.inf),
) -> Solid:
    """Returns an upright cylinder.

    Args:
        centre: (x, y) of its axis.
        radii: half axes of its section.
        power: 2 for an ellipse, more for a rounder rectangle (super-ellipse).
        heights: z of its ends.
    """

    def depth(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        u, v = np.abs(x - centre[0]) / radii[0], np.abs(y - centre[1]) / radii[1]
        value = (u**power + v**power) ** (1 / power)
        across = (1 - value) * min(radii)
        return np.minimum(across, np.minimum(z - heights[0], heights[1] - z))

    low, high = (
        (centre[0] + sign * radii[0], centre[1] + sign * radii[1], end)
        for sign, end in zip((-1, 1), heights)
    )
    return Solid(depth, low, high)


def half_space(normal: Triple, offset: float) -> Solid:
    """Returns where the product of a place with `normal` (of length 1) is above `offset`."""
    return Solid(lambda x, y, z: normal[0] * x + normal[1] * y + normal[2] * z - offset)


def tube(points: Sequence[Triple], radii: float | Sequence[float]) -> list[Solid]:
    """Returns the pieces of a round tube through some points, each from one to the next.

    `radii` is that of the tube, or one at each point.
    """
    points = np.asarray(points, np.float32)
    widths = np.broadcast_to(np.asarray(radii, np.float32), len(points))
    ends = zip(points[:-1], points[1:], widths[:-1], widths[1:])
    return [_capsule(*piece) for piece in ends]


def _capsule(start: np.ndarray, end: np.ndarray, first: float, last: float) -> Solid:
    along = end - start
    length = max(float(along @ along), 1e-6)

    def depth(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        offsets = [at - c for at, c in zip((x, y, z), start)]
        share = np.clip(sum(o * a for o, a in zip(offsets, along)) / length, 0, 1)
        square = sum((o - share * a) ** 2 for o, a in zip(offsets, along))
        return first + share * (last - first) - np.sqrt(square)

    reach = max(first, last)
    return Solid(depth, np.minimum(start, end) - reach, np.maximum(start, end) + reach)


class Canvas:
    """A volume that solids are painted on, the later over the earlier ones.

    Args:
        size: depth, height and width, voxels.
        spacing: of a voxel along them, mm.
        first: centre (x, y, z) of the first voxel, mm.
        value: of everything at first.

    Attributes:
        values: [D,H,W] float32.
        label: [D,H,W] uint8, of what covers half of a voxel or more.
    """

    def __init__(self, size: Sequence[int], spacing: Triple, first: Triple, value: float):
        self.values = np.full(size, value, np.float32)
        self.label = np.zeros(size, np.uint8)
        self._voxel = min(spacing)
        axes = zip(size[::-1], spacing[::-1], first)
        self._axes = [(np.arange(n) * step + start).astype(np.float32) for n, step, start in axes]

    @property
    def coordinates(self) -> Coordinates:
        """x [1,1,W], y [1,H,1] and z [D,1,1] of the voxels' centres."""
        return _opened(self._axes)

    def paint(
        self,
        solid: Solid,
        value: float,
        label: int = 0,
        texture: Optional[np.ndarray] = None,
    ) -> None:
        """Moves all voxels of a solid to a value and a label.

        Args:
            solid: the shape.
            value: of its material.
            label: of its voxels.
            texture: [D,H,W], added to the value.
        """
        spans = []
        for axis, low, high in zip(self._axes, solid.low, solid.high):
            inside = (axis >= low - self._voxel) & (axis <= high + self._voxel)
            if not inside.any():
                return
            found = np.flatnonzero(inside)
            spans.append(slice(found[0], found[-1] + 1))
        box = tuple(spans[::-1])
        at = _opened([axis[span] for axis, span in zip(self._axes, spans)])
        cover = np.clip(0.5 + solid.depth(*at) / self._voxel, 0, 1).astype(np.float32)
        cover = np.broadcast_to(cover, self.values[box].shape)
        added = 0 if texture is None else texture[box]
        blend(self.values[box], cover, np.float32(value) + added)
        self.label[box][cover >= 0.5] = label


def _opened(axes: Sequence[np.ndarray]) -> Coordinates:
    x, y, z = axes
    return x[None, None, :], y[None, :, None], z[:, None, None]
