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

MODALITIES = ("T1", "T2", "T1c", "Flair")
LABEL_NAMES = ("background", "necrosis", "oedema", "non-enhancing", "enhancing")
NUM_CLASSES = len(LABEL_NAMES)
