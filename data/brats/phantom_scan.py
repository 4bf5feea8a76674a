"""Scans of the phantom: four MR contrasts of one subject, with a scanner's imperfections.

A demonstration and test object, not medical data.
"""

from __future__ import annotations

from typing import Optional

import numpy as np
from scipy import ndimage

from data.brats.phantom_anatomy import Anatomy, SmoothField
from data.brats.phantom_findings import Mimics
from data.brats.phantom_kinds import Scanner
from data.brats.phantom_lesion import ENHANCING, NECROSIS, NON_ENHANCING, OEDEMA

# Relative signal of CSF, grey and white matter, the T1 template's detail, labels 1..4, then blood.
SIGNALS = {
    "T1": (0.19, 0.58, 0.79, 1.0, 0.24, 0.32, 0.38, 0.47, 0.45),
    "T2": (0.95, 0.55, 0.41, -1.0, 0.84, 0.76, 0.66, 0.58, 0.20),
    "T1c": (0.16, 0.46, 0.61, 0.8, 0.19, 0.26, 0.33, 0.95, 0.95),
    "Flair": (0.17, 0.50, 0.42, -0.6, 0.36, 0.86, 0.70, 0.66, 0.25),
    # Amide proton transfer: tumour cells, hardly oedema. No part of BRATS.
    "APTw": (0.42, 0.44, 0.42, 0.05, 0.60, 0.52, 0.85, 0.92, 0.55),
}
WHITE, PARTS = 2, slice(4, 8)  # where these are in a row of `SIGNALS`
# How much of the healthy signal each of labels 1..4 replaces, and by how much that varies.
REPLACED = {
    NECROSIS: (1.0, 0.0),
    OEDEMA: (0.75, 0.09),
    NON_ENHANCING: (0.85, 0.05),
    ENHANCING: (1.0, 0.05),
}


def mixture(
    rng: np.random.Generator,
    anatomy: Anatomy,
    label: np.ndarray,
    mimics: Optional[Mimics] = None,
) -> np.ndarray:
    """What every brain voxel consists of [8 or 9,N] float32, in the order of a row of `SIGNALS`.

    Lesion parts are blurred over the voxel's size (partial volume) and let some of the anatomy
    below shine through, here more, there less; `label` [Z,Y,X] stays crisp. Only with
    `mimics` there is a ninth row, blood; their spots are made of what oedema is made of.
    """
    box = tuple(
        slice(max(part.start - 4, 0), part.stop + 4) for part in ndimage.find_objects(label > 0)[0]
    )
    label = label[box]
    axes = [np.arange(float(n)) for n in label.shape]
    density = SmoothField(rng, 10.0, label.shape)(axes)[0]
    parts = np.zeros((len(REPLACED), *anatomy.brain.shape), np.float32)
    for k, (share, variation) in REPLACED.items():
        fraction = ndimage.gaussian_filter((label == k).astype(np.float32), 0.8, truncate=3.0)
        parts[(k - 1, *box)] = fraction * np.clip(share + variation * density, 0, 1)
    parts = parts[:, anatomy.brain]
    if mimics:
        parts[OEDEMA - 1] += mimics.spots * (1 - parts.sum(0))
    healthy = 1 - parts.sum(0)
    contents = np.concatenate([anatomy.tissues * healthy, [anatomy.detail * healthy], parts])
    if not mimics:
        return contents
    return np.concatenate([contents * (1 - mimics.blood), [mimics.blood]])


def draw_signals(
    rng: np.random.Generator, extra: np.random.Generator, modality: str, count: int, kind: Scanner
) -> np.ndarray:
    """Signals [count] float32 of one volume, the first `count` of a row of `SIGNALS`."""
    signals = np.array(SIGNALS[modality][:count]) * rng.normal(1, kind.contrast, count)
    parts = signals[PARTS]
    parts += (extra.uniform(*kind.visibility, len(parts)) - 1) * (parts - signals[WHITE])
    return signals.astype(np.float32)


def scan(
    rng: np.random.Generator,
    extra: np.random.Generator,
    contents: np.ndarray,
    brain: np.ndarray,
    modality: str,
    kind: Scanner,
) -> np.ndarray:
    """One volume [Z,Y,X] int16 of `modality`: contrast, texture, bias field, Rician noise, scale.

    `contents` [8 or 9,N] comes from `mixture`, `brain` [Z,Y,X] is the mask of its N voxels. The
    background is exactly 0, the brain at least 1 and at most a random scale of 500..1800. `extra`
    draws what easy phantoms do not vary: whatever is added there, their numbers stay the same.
    """
    axes = [np.arange(float(n)) for n in brain.shape]
    image = np.einsum("c,cn->n", draw_signals(rng, extra, modality, len(contents), kind), contents)
    gamma = extra.uniform(*kind.gamma)
    if gamma != 1:
        image = np.maximum(image, 0) ** np.float32(gamma)
    texture = SmoothField(rng, 5.0, brain.shape)(axes)[0][brain]
    bias = SmoothField(rng, 80.0, brain.shape)(axes)[0][brain]
    image *= np.exp(np.float32(0.012) * texture + np.float32(rng.uniform(*kind.bias)) * bias)
    image = soften(image, brain, extra.uniform(*kind.blur), extra.choice(kind.thickness))
    noise = np.float32(rng.uniform(*kind.noise))
    real, imaginary = noise * rng.standard_normal((2, image.size), dtype=np.float32)
    image = np.hypot(image + real, imaginary)
    # A scanner's brightest 0.1 % would otherwise set the range of the min-max normalisation.
    image = np.minimum(image / np.quantile(image, 0.999), 1)
    volume = np.zeros(brain.shape, np.int16)
    volume[brain] = np.maximum(np.rint(image * rng.uniform(500, 1800)), 1)
    return volume


def soften(image: np.ndarray, brain: np.ndarray, blur: float, thickness: int) -> np.ndarray:
    """Signals [N] of the brain's voxels as a scanner of less resolution shows them.

    Args:
        image: [N] signals of the voxels of `brain` [Z,Y,X].
        brain: mask; what lies outside has no part in any mean.
        blur: standard deviation of the blur within a slice, mm.
        thickness: of a slice, in mm: planes are averaged in groups of as many, and each plane is
            interpolated between the groups.
    """
    if blur == 0 and thickness == 1:
        return image
    weighted = np.zeros(brain.shape, np.float32)
    weighted[brain] = image
    weights = brain.astype(np.float32)
    parts = []
    for volume in (weighted, weights):
        volume = ndimage.gaussian_filter(volume, (0, blur, blur), truncate=3.0)
        parts.append(thick_slices(volume, thickness)[brain])
    return parts[0] / parts[1]


def thick_slices(volume: np.ndarray, thickness: int) -> np.ndarray:
    """Means of each `thickness` planes of `volume` [Z,Y,X], interpolated to Z planes again."""
    planes = len(volume)
    starts = np.arange(0, planes, thickness)
    sizes = np.diff([*starts, planes])[:, None, None]
    means = np.add.reduceat(volume, starts) / sizes.astype(np.float32)
    position = np.interp(
        np.arange(planes), starts + (sizes[:, 0, 0] - 1) / 2, np.arange(len(starts))
    )
    low = np.minimum(position.astype(int), max(len(starts) - 2, 0))
    share = (position - low).astype(np.float32)[:, None, None]
    return means[low] * (1 - share) + means[np.minimum(low + 1, len(starts) - 1)] * share
