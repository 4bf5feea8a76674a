"""Tests claims about differences between table rows with paired per-patient differences.

The intervals are 95 % bootstrap intervals; claims that are read together share one level of 5 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional

import numpy as np
import pandas as pd

from utils.metrics.resampling import (
    LEVEL,
    Interval,
    detectable_difference,
    holm,
    paired_bootstrap,
    sign_flip_test,
)

SUPPORTED, NOT_SUPPORTED = "supported", "not supported"
UNDECIDED, NOT_RUN = "undecided", "not run"


class Contrast(NamedTuple):
    """A difference of a score, left minus right, averaged over the pairs of rows that were run.

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
        p_value: of the hypothesis that there is no difference, see `sign_flip_test`.
        detectable: the difference that so many patients mostly find, see `detectable_difference`.
    """

    contrast: Contrast
    pairs: Sequence[tuple[str, str]] = ()
    interval: Optional[Interval] = None
    repeats: Sequence[float] = ()
    patients: int = 0
    p_value: float = 1.0
    detectable: float = np.nan

    @property
    def verdict(self) -> str:
        """Supported or not supported if interval and repeats are on one side of 0; or undecided."""
        if self.interval is None:
            return NOT_RUN
        if self.patients < 2 or len(set(np.sign(self.repeats))) > 1:
            return UNDECIDED
        low, high = sorted(self.contrast.sign * limit for limit in self.interval[1:])
        return SUPPORTED if low > 0 else NOT_SUPPORTED if high < 0 else UNDECIDED


def examine(
    contrast: Contrast, results: pd.DataFrame, resamples: int, seed: int, score: str = "dice"
) -> Finding:
    """Tests a contrast on results (see `read_results`).

    For each pair of rows, a patient's difference is averaged over the repeats that both rows have,
    then over the pairs. Patients are weighted by their number of slices.

    Args:
        contrast: which rows are compared.
        results: columns no, repeat, patient, slices and the score.
        resamples: number of bootstrap resamples, and of sign patterns at most.
        seed: random seed of both.
        score: the column that is compared.
    """
    scores = results.pivot_table(score, ["no", "repeat"], "patient", sort=True)
    differences = {}
    for left, right in contrast.pairs:
        if {left, right} <= set(scores.index.get_level_values("no")):
            difference = (scores.loc[left] - scores.loc[right]).dropna(how="all")
            if len(difference):
                differences[left, right] = difference
    if not differences:
        return Finding(contrast)
    per_patient = sum(d.mean() for d in differences.values()) / len(differences)
    per_patient = per_patient.dropna()
    weights = results.groupby("patient")["slices"].first().loc[per_patient.index]
    shared = set.intersection(*(set(d.index) for d in differences.values()))
    repeats = [
        float(np.mean([_average(d.loc[repeat], weights) for d in differences.values()]))
        for repeat in sorted(shared)
    ]
    values, weights = per_patient.to_numpy(), weights.to_numpy()
    return Finding(
        contrast,
        list(differences),
        paired_bootstrap(values, weights, resamples, seed),
        repeats,
        len(values),
        sign_flip_test(values, weights, resamples, seed),
        detectable_difference(values),
    )


def _average(difference: pd.Series, weights: pd.Series) -> float:
    """Returns the weighted mean over the patients that have a score in this repeat."""
    found = difference.loc[weights.index].dropna()
    return float(np.average(found, weights=weights.loc[found.index]))


def verdicts(claims: Sequence[Sequence[Finding]]) -> list[tuple[str, float]]:
    """Returns each claim's verdict and its p-value, which is adjusted for all claims that were run.

    All contrasts of a claim have to hold, so its own p-value is their largest. A claim is supported
    if all contrasts are and its adjusted p-value is below 5 %, and not supported if a contrast is
    not.
    """
    run = [i for i, claim in enumerate(claims) if all(f.interval is not None for f in claim)]
    p_values = dict(zip(run, holm([max(f.p_value for f in claims[i]) for i in run])))
    found = []
    for i, claim in enumerate(claims):
        each, p_value = [finding.verdict for finding in claim], p_values.get(i, np.nan)
        word = next((v for v in (NOT_SUPPORTED, NOT_RUN, UNDECIDED) if v in each), SUPPORTED)
        if word == SUPPORTED and not p_value < LEVEL:
            word = UNDECIDED
        found.append((word, p_value))
    return found
