"""Inference: networks are applied to arrays batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from utils.seeding import derive_seed


def infer(
    function: Callable[[dict], Mapping[str, tf.Tensor]],
    arrays: Mapping[str, np.ndarray],
    batch_size: int,
    padded: bool = False,
) -> dict[str, np.ndarray]:
    """Returns the outputs of a function of batches for arrays with equal numbers of rows.

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


def seeds_of(rows: int, *words: Any) -> np.ndarray:
    """Returns int32 [rows,2]: a pair of seeds per row, from `words` and the row's number."""
    pairs = [[derive_seed(*words, row, part) for part in "ab"] for row in range(rows)]
    return np.array(pairs, np.int32)


def compiled(function: Callable[[dict], dict]) -> Callable[[dict], dict]:
    """Returns a function of batches, compiled for batches of any number of rows."""
    return tf.function(function, autograph=False, reduce_retracing=True)
