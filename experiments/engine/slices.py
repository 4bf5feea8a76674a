"""Slices in memory, and what compiled networks make of them batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import tensorflow as tf

from data.pipeline import evaluation_batches, number_of_slices
from data.shards import PreparedSlices
from utils.runs.files import replacing
from utils.seeding import derive_seed

READ_BATCH = 32


@dataclass(frozen=True)
class Slices:
    """Slices in memory.

    Attributes:
        images: [N,H,W,M] in [0,1].
        label: [N,H,W], class numbers.
        outside, structure: [N,H,W], 0/1, mask and map.
        subjects: [N], number of each slice's patient; None if all differ.
        index: [N], of each slice in its volume.
    """

    images: np.ndarray
    label: Optional[np.ndarray] = None
    outside: Optional[np.ndarray] = None
    structure: Optional[np.ndarray] = None
    subjects: Optional[np.ndarray] = None
    index: Optional[np.ndarray] = None

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
            label = batch["label"].numpy()[rows, ..., 0] if "label" in batch else None
            parts.append((batch["images"].numpy()[rows], label, batch["source"].numpy()[rows]))
    images, label, source = (
        None if part[0] is None else np.concatenate(part) for part in zip(*parts)
    )
    in_order = Slices(images, label, subjects=source[:, 0], index=source[:, 1])
    return in_order.choose(np.argsort(np.argsort(chosen)))


def infer(
    function: Callable[[dict], Mapping[str, tf.Tensor]],
    arrays: Mapping[str, np.ndarray],
    batch_size: int,
    padded: bool = False,
) -> dict[str, np.ndarray]:
    """Returns what a function of batches makes of arrays with equally many rows.

    Args:
        function: such as `system.synthesize`, compiled or not.
        arrays: the batch's entries, [N,...] by key.
        batch_size: rows per call.
        padded: fill the last batch with its last row, for functions of one batch size.
    """
    total, parts = len(next(iter(arrays.values()))), []
    for start in range(0, total, batch_size):
        rows = np.arange(start, start + batch_size)
        rows = np.minimum(rows, total - 1) if padded else rows[rows < total]
        outputs = function({key: tf.constant(values[rows]) for key, values in arrays.items()})
        parts.append({key: np.asarray(value) for key, value in outputs.items()})
    return {key: np.concatenate([part[key] for part in parts])[:total] for key in parts[0]}


def kept_images(path: Path, render: Callable[[], np.ndarray]) -> np.ndarray:
    """Returns images [N,H,W,M] from an .npz file, rendered first where that is missing."""
    if not path.exists():
        images = render()
        with replacing(path) as temporary:
            np.savez_compressed(temporary, images=images)
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["images"]


def seeds_of(rows: int, *words: Any) -> np.ndarray:
    """Returns int32 [rows,2]: a pair of seeds per row, from `words` and the row's number."""
    pairs = [[derive_seed(*words, row, part) for part in "ab"] for row in range(rows)]
    return np.array(pairs, np.int32)


def compiled(function: Callable[[dict], dict]) -> Callable[[dict], dict]:
    """Returns a function of batches, compiled for batches of any number of rows."""
    return tf.function(function, autograph=False, reduce_retracing=True)
