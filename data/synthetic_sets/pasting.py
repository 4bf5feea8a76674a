"""Real slices with the lesion of another patient: copy-paste augmentation, a rival of synthesis.

In the manner of CarveMix (Zhang et al., NeuroImage 2023): a region is cut out around a lesion along
its outline, somewhat wider or narrower, and replaces the same region of another slice, with the
label. The published method works on registered volumes; here the two slices have about the same
height in the head.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from data.pipeline import RecordFile
from data.slice_sets import Slices
from data.synthetic_sets.records import SHARD, write_records

NEAR = 5  # axial slices between donor and receiver, at most, where there is such a donor


def carve(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns a region [H,W] bool around a lesion: its outline moved by a random distance.

    The distance is uniform in half of the cases between minus half of the lesion's largest depth
    and 0 (narrower), in the others between 0 and that depth (wider). Never empty.

    Args:
        label: [H,W], lesion above 0, with a lesion.
        rng: source of the random numbers.
    """
    inside = ndimage.distance_transform_edt(label > 0)
    distance = ndimage.distance_transform_edt(label == 0) - inside
    depth = inside.max()
    limits = (-depth / 2, 0) if rng.random() < 0.5 else (0, depth)
    return distance <= rng.uniform(*limits)


def pasted_slice(
    slices: Slices, receiver: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns images [H,W,M] and label [H,W] of a slice with the lesion of another patient.

    The donor is a random slice with a lesion of another patient, at most `NEAR` slices higher or
    lower if there is one. If only one patient has lesions, they are the donor for all. What the
    receiver has of its own lesion outside the region stays.

    Args:
        slices: with labels, patients and heights, at least one with a lesion.
        receiver: number of the slice that gets the lesion.
        rng: source of the random numbers.
    """
    donors = np.flatnonzero(slices.label.any(axis=(1, 2)))
    others = donors[slices.subjects[donors] != slices.subjects[receiver]]
    donors = others if len(others) else donors
    near = donors[np.abs(slices.index[donors] - slices.index[receiver]) <= NEAR]
    donor = rng.choice(near if len(near) else donors)
    region = carve(slices.label[donor], rng)
    images = np.where(region[..., None], slices.images[donor], slices.images[receiver])
    return images, np.where(region, slices.label[donor], slices.label[receiver]).astype(np.uint8)


def pasted_files(slices: Slices, directory: Path, subject: int, seed: int) -> list[RecordFile]:
    """Returns files with a pasted slice for each real one, written where they are missing.

    A slice's `source` is (subject, number of the receiver).

    Args:
        slices: of the training patients, with a lesion.
        directory: where the files are kept.
        subject: index that no real patient has.
        seed: of donors and outlines.
    """
    files = []
    for start in range(0, len(slices), SHARD):
        receivers = range(start, min(start + SHARD, len(slices)))
        path = directory / f"{start:06d}_{len(receivers)}.tfrecord"
        if not path.exists():
            rngs = (np.random.default_rng((seed, number)) for number in receivers)
            pairs = zip(receivers, rngs)
            write_records(path, ((*pasted_slice(slices, *p), (subject, p[0])) for p in pairs))
        files.append(RecordFile(path, np.ones(len(receivers), bool)))
    return files
