"""Healthy anatomy of the phantom: MNI152 tissue maps, warped into one subject on the BRATS grid.

A demonstration and test object, not medical data. The maps are the ICBM 2009a non-linear symmetric
T1, grey and white matter templates that nilearn ships (1 mm). Arrays are [z,y,x] in the orientation
of the BRATS volumes: axis 0 upwards, axis 1 towards the back of the head, axis 2 to the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.interpolate import BSpline
from scipy.spatial.transform import Rotation

from data.brats.phantom_kinds import Sites

GRID = (155, 240, 240)
# Where a brain may lie: the crop rows 38..221 and columns 48..191, less 6 pixels on every side.
BOX = (slice(0, 155), slice(44, 216), slice(54, 186))
TEMPLATE_AC_SLICE = 72
COARSE_STEP = 2.0
FIELD_MARGIN = 24.0
# Least-squares fit of the T1 template: CSF, and what grey and white matter have more than CSF.
T1_FIT = tuple(np.float32((0.276, 0.385, 0.603)))
# Root mean square of a tensor product of cubic B-splines with unit-variance coefficients.
SPLINE_RMS = (151 / 315) ** 1.5


class Anatomy(NamedTuple):
    """One healthy subject inside `BOX`: tissue fractions, fine detail, brain mask, lesion sites."""

    brain: np.ndarray
    """[Z,Y,X] bool, with N voxels set; `volume[brain]` is the order of the next two."""
    tissues: np.ndarray
    """[3,N] float32 in [0,1], order `names.TISSUES`; they add up to 1."""
    detail: np.ndarray
    """[N] float32 within +-0.06: what the T1 template shows beyond its tissue fractions."""
    seeds: np.ndarray
    """[K,3] float, voxels of `BOX` in white matter from which lesion foci grow; first the main."""


def tissue_map(anatomy: Anatomy) -> np.ndarray:
    """What most of each voxel is, [Z,Y,X] uint8: 1 + its place in `names.TISSUES`, 0 outside.

    A lesion is no tissue: what it grew in is shown.
    """
    found = np.zeros(anatomy.brain.shape, np.uint8)
    found[anatomy.brain] = 1 + anatomy.tissues.argmax(axis=0)
    return found


class SmoothField:
    """A random field of mean 0 and standard deviation about 1: cubic B-splines on control points.

    The free-form deformation model (Rueckert et al. 1999): it can be evaluated on any axis-aligned
    grid, and costs little because the three axes are interpolated one after the other.
    Bitwise the same whatever the number of threads, because no BLAS is involved.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        spacing: float,
        extent: Sequence[float],
        channels: int = 1,
    ):
        """Draw `channels` fields over [0, extent] mm, with a control point every `spacing` mm."""
        self.knots = []
        for length in extent:
            count = int(np.ceil((length + 2 * FIELD_MARGIN) / spacing)) + 3
            self.knots.append(spacing * (np.arange(count + 4) - 3) - FIELD_MARGIN)
        shape = (channels, *(len(knots) - 4 for knots in self.knots))
        self.control = rng.standard_normal(shape).astype(np.float32) / SPLINE_RMS

    def __call__(self, axes: Sequence[np.ndarray]) -> np.ndarray:
        """Values [channels,Z,Y,X] float32 at the grid spanned by three coordinate vectors in mm."""
        values = self.control
        for knots, coordinates in zip(self.knots, axes):
            basis = BSpline.design_matrix(coordinates, knots, 3).astype(np.float32)
            # Interpolates the axis in front and moves it to the end: three turns restore the order.
            values = np.moveaxis(values, 1, 0)
            flat = basis @ np.ascontiguousarray(values).reshape(values.shape[0], -1)
            values = np.moveaxis(flat.reshape(-1, *values.shape[1:]), 0, -1)
        return np.ascontiguousarray(values)


@lru_cache(maxsize=1)
def load_template() -> np.ndarray:
    """Maps [4,Z,Y,X] float32 of the MNI152 template: brain, grey, white matter, T1 detail."""
    from nilearn import datasets  # Takes seconds to import; a finished phantom does not need it.

    loaders = (
        datasets.load_mni152_template,
        datasets.load_mni152_gm_template,
        datasets.load_mni152_wm_template,
    )
    images = (loader(resolution=1) for loader in loaders)
    # From RAS+ [x,y,z] to [z,y,x] with y towards the back and x to the left.
    t1, grey, white = (
        np.asarray(image.dataobj, np.float32).transpose(2, 1, 0)[:, ::-1, ::-1] for image in images
    )
    brain = (t1 > 0).astype(np.float32)
    grey, white = grey * brain, white * brain
    detail = t1 - sum(signal * part for signal, part in zip(T1_FIT, (brain, grey, white)))
    return np.stack([brain, grey, white, np.clip(detail, -0.06, 0.06) * brain])


class Warp:
    """The subject's shape: template position = rotation, mass effect and a smooth displacement."""

    def __init__(self, rng: np.random.Generator, extent: Sequence[float]):
        """Draw a shape for a template of `extent` [3] mm."""
        self.centre = (np.array(extent) - 1) / 2
        # About the axes 2, 1, 0 of the arrays: nodding, tilting, turning the head.
        self.rotation = Rotation.from_euler("zyx", rng.normal(0, (2.5, 1.5, 3.0)), degrees=True)
        self.fields = [
            (2.8, SmoothField(rng, 48.0, extent, channels=3)),
            (1.3, SmoothField(rng, 15.0, extent, channels=3)),
        ]
        self.masses = []

    def press(self, position: np.ndarray, strength: float, radius: float) -> None:
        """Push tissue away from `position` [3] mm: the mass effect of a lesion."""
        self.masses.append((position, strength, radius))

    def __call__(self, axes: Sequence[np.ndarray]) -> np.ndarray:
        """Template voxels [3,Z,Y,X] float32 for the grid spanned by three vectors in mm."""
        grid = np.meshgrid(*(np.asarray(a, np.float32) for a in axes), indexing="ij", sparse=True)
        offset = sum(scale * field(axes) for scale, field in self.fields)
        for position, strength, radius in self.masses:
            away = [g - np.float32(c) for g, c in zip(grid, position)]
            falloff = np.float32(strength)
            for component in away:
                falloff = falloff * np.exp(-(component**2) / np.float32(2 * radius**2))
            for axis in range(3):
                offset[axis] -= falloff * away[axis]
        matrix = self.rotation.as_matrix().astype(np.float32)
        away = [g - np.float32(c) for g, c in zip(grid, self.centre)]
        for axis in range(3):
            offset[axis] += sum(matrix[axis, k] * away[k] for k in range(3)) + self.centre[axis]
        return offset


def sample(volume: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Linear interpolation of `volume` [Z,Y,X] at voxel `positions` [3,...]; 0 outside."""
    return ndimage.map_coordinates(volume, positions, output=np.float32, order=1)


def draw_seeds(
    rng: np.random.Generator, white: np.ndarray, step: float, sites: Sites
) -> np.ndarray:
    """Seeds [K,3] mm, K >= 1, in deep white matter at the height of the lateral ventricles.

    `white` [Z,Y,X] is the fraction of white matter on a grid of `step` mm.
    """
    deep = ndimage.gaussian_filter(white, 3.0 / step) > sites.depth
    candidates = np.argwhere(deep) * step
    height = candidates[:, 0] - TEMPLATE_AC_SLICE
    low, high = sites.heights
    candidates = candidates[(height > low) & (height < high)]
    seeds = [candidates[rng.integers(len(candidates))]]
    distance = np.linalg.norm(candidates - seeds[0], axis=1)
    low, high = sites.distances
    near = candidates[(distance > low) & (distance < high)]
    for probability in sites.further:
        if rng.random() > probability:
            break
        seeds.append(near[rng.integers(len(near))])
    return np.stack(seeds)


def fit_axis(profile: np.ndarray, step: float, size: float, count: int) -> np.ndarray:
    """Template coordinates [count] that show the occupied part of `profile` centred, `size` wide.

    `profile` [N] bool says where the brain lies along the axis, every `step` mm.
    """
    occupied = np.flatnonzero(profile) * step
    scale = size / (occupied[-1] - occupied[0] + step)
    return (np.arange(count) - (count - 1) / 2) / scale + (occupied[0] + occupied[-1]) / 2


def subject_axes(rng: np.random.Generator, brain: np.ndarray) -> Sequence[np.ndarray]:
    """Template coordinates (mm) of the planes, rows and columns of `BOX` for one subject.

    The head is fitted into the box from the coarse mask `brain` [Z,Y,X], so that no deformation
    can carry it across the border; slices 55..104 show the ventricles and what lies above them.
    """
    planes, rows, columns = (part.stop - part.start for part in BOX)
    commissure, scale = rng.uniform(62, 66), rng.uniform(0.91, 0.98)
    return (
        (np.arange(planes) - commissure) / scale + TEMPLATE_AC_SLICE,
        fit_axis(brain.any((0, 2)), COARSE_STEP, rng.uniform(152, 166), rows),
        fit_axis(brain.any((0, 1)), COARSE_STEP, rng.uniform(121, 129), columns),
    )


def individual_tissues(rng: np.random.Generator, maps: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """Tissue fractions [3,N] of one person from the template's averages over many people.

    `maps` [3,N] are brain, grey and white matter; squaring the fractions undoes some of the blur
    of averaging; the smooth random `odds` [2,N] vary the width of sulci, ventricles and cortex.
    """
    brain, grey, white = maps
    weights = np.stack([np.maximum(brain - grey - white, 0), grey, white]) ** 2
    weights[0] *= np.exp(np.float32(rng.normal(0.3, 0.5)) + np.float32(0.5) * odds[0])
    weights[2] *= np.exp(np.float32(rng.normal(0.0, 0.3)) + np.float32(0.4) * odds[1])
    return weights / weights.sum(0)


def draw_anatomy(rng: np.random.Generator, sites: Sites) -> Anatomy:
    """One subject: the template warped into `BOX`, seeds of a lesion, and its mass effect."""
    template = load_template()
    extent = template.shape[1:]
    warp = Warp(rng, extent)
    coarse = [np.arange(0, size, COARSE_STEP) for size in extent]
    seeds = draw_seeds(rng, sample(template[2], warp(coarse)), COARSE_STEP, sites)
    warp.press(seeds[0], rng.uniform(0.1, 0.35), rng.uniform(14, 22))
    axes = subject_axes(rng, sample(template[0], warp(coarse)) > 0.5)
    positions = warp(axes)
    brain = sample(template[0], positions) > 0.5
    maps = np.stack([sample(volume, positions[:, brain]) for volume in template])
    odds = SmoothField(rng, 14.0, extent, channels=2)(axes)[:, brain]
    voxels = [np.interp(seeds[:, i], axes[i], np.arange(len(axes[i]))) for i in range(3)]
    return Anatomy(
        brain=brain,
        tissues=individual_tissues(rng, maps[:3], odds),
        detail=maps[3],
        seeds=np.stack(voxels, axis=1),
    )
