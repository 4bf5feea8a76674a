"""Slices in memory: real ones, prepared, or those of a synthetic set."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from data.pipeline import evaluation_batches, number_of_slices
from data.shards import PreparedSlices
from data.synthetic_sets.files import ARRAYS, read_synthetic_set
from utils.errors import UserError

READ_BATCH = 32


@dataclass(frozen=True)
class Slices:
    """Slices in memory.

    Attributes:
        images: [N,H,W,M] in [0,1].
        label: [N,H,W], class numbers.
        boxes: [N,K,5], see `data.boxes`, where labels are boxes.
        outside, structure: [N,H,W], 0/1, mask and map; of several maps [N,H,W,K].
        subjects: [N], number of each slice's patient; None if all differ.
        index: [N], number of each slice, see `data.contract.CaseSlices`.
    """

    images: np.ndarray
    label: Optional[np.ndarray] = None
    outside: Optional[np.ndarray] = None
    structure: Optional[np.ndarray] = None
    subjects: Optional[np.ndarray] = None
    index: Optional[np.ndarray] = None
    boxes: Optional[np.ndarray] = None

    def __len__(self) -> int:
        return len(self.images)

    def take(self, count: int) -> Slices:
        """Returns the first `count` slices."""
        return self.choose(np.arange(min(count, len(self))))

    def choose(self, rows: np.ndarray) -> Slices:
        """Returns the slices of some row numbers, in their order."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return Slices(**{k: None if part is None else part[rows] for k, part in parts.items()})


def real_slices(
    prepared: PreparedSlices,
    subject_ids: Iterable[str],
    count: Optional[int] = None,
    seed: int = 0,
) -> Slices:
    """Returns prepared slices of some subjects: all in order, or at most `count` random ones."""
    subject_ids = list(subject_ids)
    total = number_of_slices(prepared, subject_ids)
    chosen = np.arange(total)
    if count is not None:
        chosen = np.random.default_rng(seed).permutation(total)[:count]
    wanted, parts, start = np.isin(np.arange(total), chosen), [], 0
    for batch in evaluation_batches(prepared, subject_ids, READ_BATCH):
        rows = wanted[start : start + len(batch["images"])]
        start += len(rows)
        if rows.any():
            parts.append({key: values.numpy()[rows] for key, values in batch.items()})
    found = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    source, label = found.pop("source"), found.pop("label", None)
    label = None if label is None else label[..., 0]
    in_order = Slices(**found, label=label, subjects=source[:, 0], index=source[:, 1])
    return in_order.choose(np.argsort(np.argsort(chosen)))


def stored_slices(directory: Path, count: Optional[int] = None) -> Slices:
    """Returns the first `count` samples of a synthetic set, by default all."""
    samples = list(itertools.islice(read_synthetic_set(directory), count))
    keys = [key for key in ARRAYS if key in samples[0]]
    arrays = {key: np.stack([sample[key] for sample in samples]) for key in keys}
    if "label" in arrays:
        arrays["label"] = arrays["label"].astype(np.int32)
    return Slices(**arrays, subjects=np.arange(len(samples)))


class PatientVolume(NamedTuple):
    """One patient's slices, each at its place in the volume.

    Attributes:
        subject: number of the patient.
        values: [D,H,W,...] each, from the first slice to the last; 0 in layers without a slice.
        missing: number of such layers.
    """

    subject: int
    values: tuple[np.ndarray, ...]
    missing: int


def patient_volumes(slices: Slices, *values: np.ndarray) -> Iterator[PatientVolume]:
    """Yields the volumes that values of slices make up, in the order of `subjects`.

    A slice that was left out, such as one with little brain, stays a gap: neighbours in the volume
    are neighbours in the patient.

    Args:
        slices: with subjects and index; the slices of a synthetic set are no volume.
        values: [N,H,W,...] each, of the N slices, such as labels.

    Raises:
        UserError: slices without their place, or two at one place.
    """
    if slices.subjects is None or slices.index is None:
        raise UserError(
            "Only slices with subjects and index make up volumes, found none; take real slices, as "
            "those of a synthetic set have no place in a volume."
        )
    for subject in np.unique(slices.subjects):
        rows = np.flatnonzero(slices.subjects == subject)
        places = slices.index[rows] - slices.index[rows].min()
        if len(np.unique(places)) < len(places):
            raise UserError(
                f"Patient {subject} has two slices at one place of its volume, index "
                f"{sorted(slices.index[rows].tolist())}; give every slice once."
            )
        depth = int(places.max()) + 1
        volumes = tuple(np.zeros((depth, *array.shape[1:]), array.dtype) for array in values)
        for volume, array in zip(volumes, values):
            volume[places] = array[rows]
        yield PatientVolume(int(subject), volumes, depth - len(rows))
