"""Computed lesions of a thorax CT: nodules, cords, calcified arteries and lymph nodes.

A demonstration and test object, not medical data. Lengths are fractions of the picture's side
unless they are called mm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Callable, NamedTuple, Optional

import cv2
import numpy as np

from data.drawing import Point, Range, cover_of, edge_cover, ellipse_cover, pixel_grid, stroke
from data.lung_ct.anatomy import ORGANS, Thorax, ThoraxSlice, organ_centre

NODULE, CORD, ARTERY, NODE = 1, 5, 31, 32  # codes of the published annotation
SHARES: Mapping[int, float] = {NODULE: 0.5, CORD: 0.2, ARTERY: 0.2, NODE: 0.1}

NODULE_DIAMETER: Range = (5, 30)  # mm, log-uniform
LOBULATION = 0.10  # of a nodule's radius
TOUCHING = 0.25  # share of the nodules at the pleura
SOLID: Range = (0, 60)  # HU
GROUND_GLASS: Range = (-650, -350)  # HU
GROUND_GLASS_SHARE = 1 / 3
CORD_LENGTH: Range = (0.05, 0.15)
CORD_RADIUS: Range = (0.004, 0.008)
CORD_HU: Range = (-50, 30)
ARC: Range = (60, 160)  # degrees of the aorta's wall
ARC_RADIUS = 0.0035
ARTERY_HU: Range = (500, 1000)
NODE_RADIUS: Range = (0.006, 0.014)
NODE_HU: Range = (600, 900)
NODE_TISSUE: Range = (-190, 10)  # HU of the fat in which a node's middle lies
MARGIN = 0.008  # between a lesion and what it does not touch
TRIES = 20  # places for a lesion


class Geometry(NamedTuple):
    """Size of the voxels of a series."""

    side: int
    """Pixels of a slice."""
    pixel: float
    """mm within the slice."""
    thickness: float
    """mm from slice to slice."""

    def share(self, length: float) -> float:
        """Returns a length in mm as a fraction of the side."""
        return length / (self.pixel * self.side)


class Lesion(NamedTuple):
    """A lesion of a series."""

    code: int
    """As published: NODULE, CORD, ARTERY or NODE."""
    hu: float
    cover: np.ndarray
    """[Z,S,S] float32 in [0,1], the covered share of each voxel."""

    @property
    def voxels(self) -> np.ndarray:
        """[Z,S,S] bool, what it covers by more than a half."""
        return self.cover > 0.5


Draw = Callable[
    [np.random.Generator, Thorax, Sequence[ThoraxSlice], Geometry, int], Optional[Lesion]
]


def draw_lesions(
    rng: np.random.Generator, thorax: Thorax, slices: Sequence[ThoraxSlice], geometry: Geometry
) -> list[Lesion]:
    """Returns one to three lesions of a series, which do not overlap in any slice.

    A place is drawn up to `TRIES` times for each but the first, which is drawn until it fits.
    """
    wanted, lesions, tries = int(rng.integers(1, 4)), [], 0
    taken = np.zeros_like(slices[0].lungs)
    grown = np.ones((2 * round(MARGIN * geometry.side) + 1,) * 2, np.uint8)
    while len(lesions) < wanted and (tries < TRIES or not lesions):
        tries += 1
        code = int(rng.choice(list(SHARES), p=list(SHARES.values())))
        middle = int(rng.integers(1, len(slices) - 1))
        lesion = DRAW[code](rng, thorax, slices, geometry, middle)
        if lesion is None or not lesion.voxels.any():
            continue
        footprint = cv2.dilate(lesion.voxels.any(0).astype(np.uint8), grown) > 0
        if not (footprint & taken).any():
            taken |= footprint
            lesions.append(lesion)
    return lesions


def insert(volume: np.ndarray, lesion: Lesion) -> None:
    """Draws a lesion into a volume [Z,S,S] float in HU, in place.

    What is brighter stays, such as a vessel in a lesion of ground glass.
    """
    volume += lesion.cover * (np.maximum(volume, lesion.hu) - volume)


def _drawn_place(rng: np.random.Generator, allowed: np.ndarray) -> Optional[Point]:
    """The centre (x, y) of a random pixel that is allowed; None if no pixel is."""
    rows, columns = np.nonzero(allowed)
    if not len(rows):
        return None
    chosen = rng.integers(len(rows))
    side = allowed.shape[0]
    return (columns[chosen] + 0.5) / side, (rows[chosen] + 0.5) / side


def _depth(mask: np.ndarray) -> np.ndarray:
    """How far each pixel lies inside a mask, fraction of the side."""
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5) / mask.shape[0]


def _nodule(
    rng: np.random.Generator,
    thorax: Thorax,
    slices: Sequence[ThoraxSlice],
    geometry: Geometry,
    middle: int,
) -> Optional[Lesion]:
    """A lobulated ball in a lung."""
    radius = np.exp(rng.uniform(*np.log(NODULE_DIAMETER))) / 2
    depth, reach = _depth(slices[middle].lungs), geometry.share(radius)
    if rng.random() < TOUCHING:
        allowed = (depth > 0.6 * reach) & (depth < 0.9 * reach)
    else:
        allowed = depth > (1 + LOBULATION) * reach + MARGIN
    centre = _drawn_place(rng, allowed)
    if centre is None:
        return None
    x, y = pixel_grid(geometry.side)
    distance, angle = (
        np.hypot(x - centre[0], y - centre[1]),
        np.arctan2(y - centre[1], x - centre[0]),
    )
    shape = 1 + LOBULATION * np.sin(3 * angle + rng.uniform(0, 2 * np.pi))
    height = middle + rng.uniform(-0.3, 0.3)
    covers = []
    for z, drawn in enumerate(slices):
        section = radius**2 - ((z - height) * geometry.thickness) ** 2
        size = geometry.share(np.sqrt(max(section, 0)))
        cover = edge_cover(size * shape - distance, geometry.side) if section > 0 else 0 * distance
        covers.append(cover * drawn.lungs)
    glass = rng.random() < GROUND_GLASS_SHARE
    return Lesion(NODULE, rng.uniform(*(GROUND_GLASS if glass else SOLID)), np.stack(covers))


def _extended(
    rng: np.random.Generator, cover: np.ndarray, slices: int, middle: int, most: int
) -> np.ndarray:
    """[slices,S,S]: a cover in 2 to `most` slices around the middle one, 0 in the others."""
    covers = np.zeros((slices, *cover.shape), np.float32)
    first = middle - int(rng.integers(0, 2))
    covers[first : first + int(rng.integers(2, most + 1))] = cover
    return covers


def _cord(
    rng: np.random.Generator,
    thorax: Thorax,
    slices: Sequence[ThoraxSlice],
    geometry: Geometry,
    middle: int,
) -> Optional[Lesion]:
    """A slightly bent stroke from the pleura of the chest wall inwards."""
    lungs = slices[middle].lungs
    x, _ = pixel_grid(geometry.side)
    depth = _depth(lungs)
    start = _drawn_place(rng, (depth > 0) & (depth < 0.01) & (np.abs(x - 0.5) > 0.16))
    if start is None:
        return None
    length = rng.uniform(*CORD_LENGTH)
    hilum = (0.5 + np.sign(start[0] - 0.5) * 0.12, 0.49)
    angle = np.arctan2(hilum[1] - start[1], hilum[0] - start[0]) + rng.uniform(-0.5, 0.5)
    along, bend = np.linspace(0, 1, 7), rng.uniform(-0.3, 0.3)
    angles = angle + bend * along
    points = np.array(start) + length * along[:, None] * np.stack(
        [np.cos(angles), np.sin(angles)], axis=1
    )
    cover = cover_of(geometry.side, [stroke(points, rng.uniform(*CORD_RADIUS))])
    covers = _extended(rng, cover, len(slices), middle, 3)
    covers *= np.stack([drawn.lungs for drawn in slices])
    return Lesion(CORD, rng.uniform(*CORD_HU), covers)


def _artery(
    rng: np.random.Generator,
    thorax: Thorax,
    slices: Sequence[ThoraxSlice],
    geometry: Geometry,
    middle: int,
) -> Lesion:
    """A calcified arc of the descending aorta's wall."""
    aorta = next(organ for organ in ORGANS if organ.name == "aorta")
    centre, radius = organ_centre(thorax, aorta), 0.95 * thorax.scale * aorta.radii[0]
    angles = rng.uniform(0, 2 * np.pi) + np.radians(rng.uniform(*ARC)) * np.linspace(0, 1, 9)
    points = np.array(centre) + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    cover = cover_of(geometry.side, [stroke(points, ARC_RADIUS)])
    covers = _extended(rng, cover, len(slices), middle, 4)
    return Lesion(ARTERY, rng.uniform(*ARTERY_HU), covers)


def _node(
    rng: np.random.Generator,
    thorax: Thorax,
    slices: Sequence[ThoraxSlice],
    geometry: Geometry,
    middle: int,
) -> Optional[Lesion]:
    """A calcified lymph node in the mediastinum or a hilum."""
    drawn, radius = slices[middle], rng.uniform(*NODE_RADIUS)
    tissue = drawn.mediastinum & (drawn.hu > NODE_TISSUE[0]) & (drawn.hu < NODE_TISSUE[1])
    _, y = pixel_grid(geometry.side)
    centre = _drawn_place(rng, (_depth(tissue) > 0.5 * radius) & (y > 0.36) & (y < 0.60))
    if centre is None:
        return None
    radii = (radius, radius * rng.uniform(0.7, 1))
    x, y = pixel_grid(geometry.side)
    cover = ellipse_cover(x, y, centre, radii, rng.uniform(0, np.pi))
    covers = _extended(rng, cover, len(slices), middle, 3)
    return Lesion(NODE, rng.uniform(*NODE_HU), covers)


DRAW: Mapping[int, Draw] = {NODULE: _nodule, CORD: _cord, ARTERY: _artery, NODE: _node}
