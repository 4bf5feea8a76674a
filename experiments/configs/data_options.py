"""The options of data that configurations of slices share."""

from __future__ import annotations

from dataclasses import dataclass

from data.augmentation import NO_AUGMENTATION, Augmentation
from utils.errors import BETWEEN_0_AND_1, at_least, check_fields


@dataclass(frozen=True)
class DataOptions:
    """Which data a run learns from, and which it holds out.

    Args:
        seed: of initial weights, order, noise, phantom and split.
        phantom: kind of the built-in phantom (used without --data).
        phantom_subjects: number of its patients.
        test_fraction: share of patients held out, of data without a published test part.
        augmentation: random motions of the training images.
    """

    seed: int = 0
    phantom: str = ""
    phantom_subjects: int = 20
    test_fraction: float = 0.1
    augmentation: Augmentation = NO_AUGMENTATION

    def __post_init__(self) -> None:
        check_fields(self, "--", phantom_subjects=at_least(2), test_fraction=BETWEEN_0_AND_1)
