"""What a phantom shows besides its lesion: a resection cavity, hyperintensities, vessels.

A demonstration and test object, not medical data. None of it has a label: as in BRATS 2015, which
has no class for cavities, and because bright white matter and vessels are no tumour.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np
from scipy import ndimage

from data.brats.phantom_anatomy import Anatomy, SmoothField
from data.brats.phantom_kinds import Findings

GAP = 3.0  # mm from the lesion's focus to the wall of the cavity, at least
DENTS = 0.25  # of its wall, as a share of its radius
REACH = 3  # radii up to which a spot is drawn
VESSEL_WIDTH = 0.13  # of the two fields whose common zeros are the vessels
# Where a standard normal field exceeds this, the surface has a vein or enhancing dura.
SURFACE_THRESHOLD = 0.6


class Mimics(NamedTuple):
    """Fractions [N] float32 in [0,1] of the brain's voxels that look like lesion and are none."""

    spots: np.ndarray
    blood: np.ndarray


def with_cavity(rng: np.random.Generator, anatomy: Anatomy, findings: Findings) -> Anatomy:
    """Returns the anatomy, by chance with CSF in a cavity beside the first focus of the lesion.

    Lesions hardly grow into CSF, so that they surround the cavity.
    """
    share = cavity_share(rng, anatomy, findings)
    return anatomy if share is None else with_csf(anatomy, share)


def with_csf(anatomy: Anatomy, share: np.ndarray) -> Anatomy:
    """Returns the anatomy with CSF in a share [N] of each of the brain's voxels."""
    tissues = anatomy.tissues * (1 - share)
    tissues[0] += share
    return anatomy._replace(tissues=tissues, detail=anatomy.detail * (1 - share))


def cavity_share(
    rng: np.random.Generator, anatomy: Anatomy, findings: Findings
) -> Optional[np.ndarray]:
    """Returns how much of each of the brain's voxels [N] a cavity takes, by chance None."""
    if rng.random() >= findings.cavity:
        return None
    radius = rng.uniform(*findings.cavity_radius)
    # Towards the brain's surface, from where it was operated on.
    outwards = anatomy.seeds[0] - np.array(anatomy.brain.shape) / 2
    outwards = outwards / np.linalg.norm(outwards) + 0.3 * rng.standard_normal(3)
    shift = radius * (1 + DENTS) + GAP  # so that the lesion has tissue to begin in
    centre = anatomy.seeds[0] + shift * outwards / np.linalg.norm(outwards)
    axes = [np.arange(float(n)) for n in anatomy.brain.shape]
    rough = np.clip(SmoothField(rng, 9.0, anatomy.brain.shape)(axes)[0], -1, 1)
    away = np.meshgrid(*(axis - c for axis, c in zip(axes, centre)), indexing="ij", sparse=True)
    distance = np.sqrt(sum(component**2 for component in away))
    wall = radius * (1 + DENTS * rough) - distance
    return np.clip(wall[anatomy.brain] + 0.5, 0, 1).astype(np.float32)  # one voxel wide


def draw_mimics(
    rng: np.random.Generator, anatomy: Anatomy, label: np.ndarray, findings: Findings
) -> Mimics:
    """Draws what looks like lesion outside the lesion `label` [Z,Y,X]."""
    return Mimics(
        draw_spots(rng, anatomy, label, findings), draw_vessels(rng, anatomy, label, findings)
    )


def draw_spots(
    rng: np.random.Generator, anatomy: Anatomy, label: np.ndarray, findings: Findings
) -> np.ndarray:
    """Fractions [N] of small blurred ellipsoids in white matter, as in small vessel disease."""
    shape = anatomy.brain.shape
    volume = np.zeros(shape, np.float32)
    white = np.flatnonzero(anatomy.brain.ravel())[anatomy.tissues[2] > 0.9]
    white = white[label.ravel()[white] == 0]
    low, high = findings.spots
    for place in rng.choice(white, rng.integers(low, high + 1)):
        centre = np.unravel_index(place, shape)
        radii = rng.uniform(*findings.spot_radius) * rng.uniform(0.7, 1.4, 3)
        reach = np.ceil(REACH * radii).astype(int)
        box = tuple(
            slice(max(c - r, 0), min(c + r + 1, n)) for c, r, n in zip(centre, reach, shape)
        )
        away = np.meshgrid(
            *((np.arange(p.start, p.stop) - c) / r for p, c, r in zip(box, centre, radii)),
            indexing="ij",
            sparse=True,
        )
        spot = rng.uniform(0.5, 1.0) * np.exp(-0.5 * sum(component**2 for component in away))
        volume[box] = np.maximum(volume[box], spot)
    return volume[anatomy.brain] * (1 - anatomy.tissues[0])


def draw_vessels(
    rng: np.random.Generator, anatomy: Anatomy, label: np.ndarray, findings: Findings
) -> np.ndarray:
    """Fractions [N] of blood: curves through the sulci, and patches of the brain's surface."""
    brain = anatomy.brain
    axes = [np.arange(float(n)) for n in brain.shape]
    first, second = SmoothField(rng, 12.0, brain.shape, channels=2)(axes)[:, brain]
    curves = np.exp(-(first**2 + second**2) / np.float32(2 * VESSEL_WIDTH**2))
    surface = (brain & ~ndimage.binary_erosion(brain, iterations=2))[brain]
    patches = surface * (SmoothField(rng, 20.0, brain.shape)(axes)[0][brain] > SURFACE_THRESHOLD)
    blood = np.maximum(curves * np.minimum(2 * anatomy.tissues[0], 1), 0.7 * patches)
    return np.float32(rng.uniform(*findings.vessels)) * blood * (label[brain] == 0)
