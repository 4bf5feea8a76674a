"""The batch dictionary through which data and models meet.

Keys of every batch (B batch, H x W the slice, M = 4 modalities):

| key | shape | type | content |
| --- | --- | --- | --- |
| images | [B,H,W,M] | float32 | [0,1], min-max per volume; order `MODALITIES` |
| label | [B,H,W,1] | int32 | 0..4, BRATS 2015 meaning (`LABEL_NAMES`) |
| structure | [B,H,W,1] | float32 | 0/1, Algorithm 1 |
| outside | [B,H,W,1] | float32 | 1 = outside the organ, Algorithm 2 |
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from utils.errors import UserError

MODALITIES = ("T1", "T2", "T1c", "Flair")
LABEL_NAMES = ("background", "necrosis", "oedema", "non-enhancing", "enhancing")
NUM_CLASSES = len(LABEL_NAMES)
# Whole tumour, tumour core (all but oedema) and enhancing tumour, as BRATS scores them.
REGIONS = {"wt": (1, 2, 3, 4), "tc": (1, 3, 4), "et": (4,)}


def check_batch(batch: Mapping[str, np.ndarray]) -> None:
    """Raises UserError if a batch (of arrays or eager tensors) breaks the contract above."""
    shape = tuple(batch["images"].shape)
    expected = {
        "images": ((*shape[:3], len(MODALITIES)), "float32", 1),
        "label": ((*shape[:3], 1), "int32", NUM_CLASSES - 1),
        "structure": ((*shape[:3], 1), "float32", 1),
        "outside": ((*shape[:3], 1), "float32", 1),
    }
    for key, (size, kind, highest) in expected.items():
        values = np.asarray(batch[key])
        low, high = values.min(), values.max()
        if values.shape != size or values.dtype != kind or not 0 <= low <= high <= highest:
            raise UserError(
                f"Batch key {key} must be {kind} {list(size)} in 0..{highest}, found "
                f"{values.dtype} {list(values.shape)} in {low}..{high}; check the data pipeline."
            )
