"""Lesions drawn from a few numbers: an ellipsoid with a rough surface and nested parts.

They are new shapes, not copies of somebody's lesion, and have no anatomy in them: they cross sulci
and ventricles. Labels are those of BRATS 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np
from scipy import ndimage

from utils.errors import UserError

NECROSIS, OEDEMA, NON_ENHANCING, ENHANCING = 1, 2, 3, 4
RADII = (10.0, 28.0)  # mm, of the oedema along each axis
CORE, CAVITY = (0.45, 0.8), (0.3, 0.75)  # radii as shares of the part around: core, necrosis
ROUGHNESS, GRAIN = 0.25, 6.0  # share of the radius; mm
DEEP = 0.25  # share of the brain's largest depth in which lesions have their centre, at least


def random_lesion(
    inside: np.ndarray, rng: np.random.Generator, spacing: Optional[Sequence[float]] = None
) -> np.ndarray:
    """Returns a random lesion in a brain.

    Args:
        inside: bool [H,W] or [D,H,W], the brain.
        rng: source of size, place, shape and parts.
        spacing: size of a pixel along each axis in mm; default: 1.

    Returns:
        uint8 of the same shape: 0, 1 necrosis, 2 oedema, 3 non-enhancing, 4 enhancing.

    Raises:
        UserError: the brain is empty.
    """
    if not inside.any():
        raise UserError("There is no brain to draw a lesion in; give a mask that is not empty")
    sides = np.ones(inside.ndim) if spacing is None else np.asarray(spacing, float)
    shape = [-1] + [1] * inside.ndim
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sides)
    depth = depth[tuple(slice(1, -1) for _ in sides)]
    places = np.argwhere(depth >= max(DEEP * depth.max(), depth[inside].min()))
    centre = places[rng.integers(len(places))]
    # A lesion in a small brain, such as the top of one, is no larger than half of it.
    radii = np.minimum(rng.uniform(*RADII, inside.ndim), 2 * depth.max())
    offsets = np.indices(inside.shape) - centre.reshape(shape)
    distance = np.sqrt(((offsets * (sides / radii).reshape(shape)) ** 2).sum(axis=0))
    rough, rim = (_noise(inside.shape, rng, sides) for _ in range(2))
    distance = distance * np.exp(ROUGHNESS * rough)
    core = rng.uniform(*CORE)
    necrosis = core * rng.uniform(*CAVITY)
    parts = np.where(rim > rng.uniform(-1.5, 0.5), ENHANCING, NON_ENHANCING)
    parts = np.where(distance < necrosis, NECROSIS, parts)
    parts = np.where(distance < core, parts, OEDEMA)
    lesion = np.where((distance < 1) & inside, parts, 0).astype(np.uint8)
    lesion[tuple(centre)] = lesion[tuple(centre)] or NECROSIS
    return lesion


def _noise(shape: Sequence[int], rng: np.random.Generator, sides: np.ndarray) -> np.ndarray:
    """Returns smooth noise of mean 0 and standard deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), GRAIN / sides)
    return (noise - noise.mean()) / max(float(noise.std()), 1e-6)
