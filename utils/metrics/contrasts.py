"""Tests claims about differences between table rows with paired per-patient differences.

The intervals are 95 % bootstrap intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional

import numpy as np
import pandas as pd

from utils.metrics.resampling import Interval, paired_bootstrap

SUPPORTED, NOT_SUPPORTED = "supported", "not supported"
UNDECIDED, NOT_RUN = "undecided", "not run"


class Contrast(NamedTuple):
    """A difference of Dice, left minus right, averaged over the pairs of rows that were run.

    Attributes:
        words: description of the comparison.
        pairs: numbers of the rows, left and right.
        sign: 1 if the claim expects the left row to be better, -1 if worse.
    """

    words: str
    pairs: Sequence[tuple[str, str]]
    sign: int


@dataclass(frozen=True)
class Finding:
    """The result of a run for a contrast.

    Attributes:
        contrast: the contrast.
        pairs: the pairs that were run.
        interval: the difference with its interval; None if nothing was run.
        repeats: the difference in each repeat that has all pairs of rows.
        patients: number of held-out patients.
    """

    contrast: Contrast
    pairs: Sequence[tuple[str, str]] = ()
    interval: Optional[Interval] = None
    repeats: Sequence[float] = ()
    patients: int = 0

    @property
    def verdict(self) -> str:
        """Supported or not supported if interval and repeats are on one side of 0; or undecided."""
        if self.interval is None:
            return NOT_RUN
        if self.patients < 2 or len(set(np.sign(self.repeats))) > 1:
            return UNDECIDED
        low, high = sorted(self.contrast.sign * limit for limit in self.interval[1:])
        return SUPPORTED if low > 0 else NOT_SUPPORTED if high < 0 else UNDECIDED


def examine(contrast: Contrast, results: pd.DataFrame, resamples: int, seed: int) -> Finding:
    """Tests a contrast on results (see `read_results`).

    For each pair of rows, a patient's difference is averaged over the repeats that both rows have,
    then over the pairs. Patients are weighted by their number of slices.
    """
    scores = results.pivot_table("dice", ["no", "repeat"], "patient", sort=True)
    differences = {}
    for left, right in contrast.pairs:
        if {left, right} <= set(scores.index.get_level_values("no")):
            difference = (scores.loc[left] - scores.loc[right]).dropna(how="all")
            if len(difference):
                differences[left, right] = difference
    if not differences:
        return Finding(contrast)
    per_patient = sum(d.mean() for d in differences.values()) / len(differences)
    weights = results.groupby("patient")["slices"].first().loc[per_patient.index]
    shared = set.intersection(*(set(d.index) for d in differences.values()))
    repeats = [
        float(np.mean([np.average(d.loc[repeat], weights=weights) for d in differences.values()]))
        for repeat in sorted(shared)
    ]
    interval = paired_bootstrap(per_patient.to_numpy(), weights.to_numpy(), resamples, seed)
    return Finding(contrast, list(differences), interval, repeats, len(per_patient))


def verdict(findings: Sequence[Finding]) -> str:
    """Returns a claim's verdict: supported if all contrasts are, not supported if one is not."""
    verdicts = [finding.verdict for finding in findings]
    for decisive in (NOT_SUPPORTED, NOT_RUN, UNDECIDED):
        if decisive in verdicts:
            return decisive
    return SUPPORTED
