"""Samples of a synthetic set on their way, and what gives them their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, NamedTuple, Optional, Protocol

import numpy as np


class BestMap(NamedTuple):
    """Maps [H,W,K] and what is wrong with it; the lower the first two, the better the map."""

    flawed: bool = True
    contour_error: float = np.inf
    structure: Optional[np.ndarray] = None
    outside: Optional[np.ndarray] = None


@dataclass
class Draft:
    """One sample on its way: its number, how often it was drawn, the best map so far, its label.

    `after_retries` tells whether that map was taken without passing the filter; `label` is what its
    matcher gives it, such as uint8 [H,W,1], and `label_source` its number among the real ones, once
    a label fits.
    """

    number: int
    attempt: int = 0
    since_label: int = 0
    best: BestMap = BestMap()
    after_retries: bool = False
    label: Optional[np.ndarray] = None
    label_source: int = -1
    rejected: Counter = field(default_factory=Counter)


class Matcher(Protocol):
    """Gives drafts with a map their labels."""

    def match(self, draft: Draft) -> bool:
        """Gives a draft a label that fits its map; without one its map is dropped."""

    def arrays(self, draft: Draft, size: tuple[int, int]) -> Mapping[str, np.ndarray]:
        """Returns the label's arrays as a sample of (H, W) pixels stores them, by name."""


LabelSource = Callable[[Any, int], Matcher]  # from (`SyntheticConfig`, seed of the set)
