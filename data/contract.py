"""The batch dictionary through which data and models meet.

Keys of every batch (B batch, H x W the slice, M = 4 modalities):

| key | shape | type | content |
| --- | --- | --- | --- |
| images | [B,H,W,M] | float32 | [0,1], scaled per volume or slice; order `MODALITIES` |
| label | [B,H,W,1] | int32 | 0..4, BRATS 2015 meaning (`LABEL_NAMES`) |
| structure | [B,H,W,1] | float32 | 0/1, Algorithm 1 |
| outside | [B,H,W,1] | float32 | 1 = outside the organ, Algorithm 2 |

A training batch also holds `seed` and `source` [B,2] int32 (subject index, axial slice), and where
a stage needs them `unpaired_images` and `random_structure`, `random_outside`, `random_label`, which
follow the rows without their prefix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from utils.errors import UserError

MODALITIES = ("T1", "T2", "T1c", "Flair")
LABEL_NAMES = ("background", "necrosis", "oedema", "non-enhancing", "enhancing")
NUM_CLASSES = len(LABEL_NAMES)
# Whole tumour, tumour core (all but oedema) and enhancing tumour, as BRATS scores them.
REGIONS = {"wt": (1, 2, 3, 4), "tc": (1, 3, 4), "et": (4,)}

REQUIRED_KEYS = ("images", "label", "structure", "outside")
# Content: type, channels, test of each value, and its words.
_IMAGES = ("float32", len(MODALITIES), lambda v: (v >= 0) & (v <= 1), "numbers in [0,1]")
_LABEL = ("int32", 1, lambda v: (v >= 0) & (v < NUM_CLASSES), f"classes 0..{NUM_CLASSES - 1}")
_BINARY = ("float32", 1, lambda v: (v == 0) | (v == 1), "only 0 and 1")
_SEED = ("int32", 2, lambda v: np.full(v.shape, True), "any numbers")
_SOURCE = ("int32", 2, lambda v: v >= 0, "numbers of 0 or more")
_CONTENT = {
    "images": _IMAGES,
    "unpaired_images": _IMAGES,
    "label": _LABEL,
    "random_label": _LABEL,
    "structure": _BINARY,
    "outside": _BINARY,
    "random_structure": _BINARY,
    "random_outside": _BINARY,
    "seed": _SEED,
    "source": _SOURCE,
}


def check_batch(batch: Mapping[str, np.ndarray], required: Sequence[str] = REQUIRED_KEYS) -> None:
    """Raises UserError if a batch (of arrays or eager tensors) breaks the contract above.

    Keys beyond those `required` are checked where they are present.
    """
    missing = [key for key in required if key not in batch]
    if missing:
        raise UserError(f"Batch key {missing[0]} is missing; check the data pipeline.")
    sides = tuple(batch["images"].shape)[:3]
    for key, (kind, channels, accepts, content) in _CONTENT.items():
        if key not in batch:
            continue
        values = np.asarray(batch[key])
        size = (*(sides[:1] if key in ("seed", "source") else sides), channels)
        wrong = values[~accepts(values)]
        if values.shape != size or values.dtype != kind or wrong.size:
            example = f" with {wrong[0]}" if wrong.size else ""
            raise UserError(
                f"Batch key {key} must be {kind} {list(size)} of {content}, found {values.dtype} "
                f"{list(values.shape)}{example}; check the data pipeline."
            )


def batch_shapes(batch_size: int, size: tuple[int, int]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Returns shape and type of every key of a batch of slices of a size, pixels."""
    return {
        key: ((batch_size, *(() if key in ("seed", "source") else size), channels), kind)
        for key, (kind, channels, *_) in _CONTENT.items()
    }
