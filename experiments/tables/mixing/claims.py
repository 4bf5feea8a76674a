"""The thesis' five claims about synthetic data, each put to the test by paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

import numpy as np
import pandas as pd

from utils.metrics.contrasts import Contrast, Finding, examine, verdicts
from utils.seeding import derive_seed

FEW_PATIENTS = 8  # of fewer, p cannot be below 0.05 / 5


class Claim(NamedTuple):
    """One statement of the thesis; all of its contrasts have to hold."""

    letter: str
    text: str
    contrasts: Sequence[Contrast]


CLAIMS = (
    Claim(
        "a",
        "Synthetic data alone is worse than real data.",
        [Contrast("synthetic alone - real", [("3", "1"), ("4", "1"), ("5", "1")], -1)],
    ),
    Claim(
        "b",
        "Synthetic data first, then 10 % of the real data, is better than that 10 % alone.",
        [
            Contrast(
                "synthetic first, then 10 % real - 10 % real alone",
                [("6", "c10"), ("7", "c10"), ("8", "c10")],
                1,
            )
        ],
    ),
    Claim(
        "c",
        "A modest fraction of synthetic data helps.",
        [Contrast("17 to 33 % synthetic - real alone", [("11", "1"), ("12", "1"), ("13", "1")], 1)],
    ),
    Claim(
        "d",
        "Of the orders of 1:1 real and synthetic, synthetic first is best and real first worst.",
        [
            Contrast("synthetic first - random", [("25", "15")], 1),
            Contrast("real first - random", [("24", "15")], -1),
        ],
    ),
    Claim(
        "e",
        "Synthetic data helps more than as much augmented data.",
        [
            Contrast(
                "synthetic added - augmented added",
                [(str(no), str(no + 6)) for no in range(12, 18)],
                1,
            )
        ],
    ),
)


# Of few patients there is no "10 % of the real data": all of them stand in its place.
FEW_PATIENTS_CLAIMS = (
    Claim("a", CLAIMS[0].text, [Contrast("synthetic alone - real", [("3", "1")], -1)]),
    Claim(
        "b",
        "Synthetic data first, then the few patients' real data, is better than these alone.",
        [Contrast("synthetic first, then real - real alone", [("25", "1")], 1)],
    ),
    Claim("c", CLAIMS[2].text, [Contrast("33 % synthetic - real alone", [("13", "1")], 1)]),
    CLAIMS[3],
    Claim("e", CLAIMS[4].text, [Contrast("synthetic - augmented added", [("15", "21")], 1)]),
)

HOW = (
    "paired by patient, averaged over the repeats that both rows have; 95 % interval by BCa "
    "bootstrap over patients, {resamples} resamples; p (two-sided: how often chance alone makes so "
    "large a difference) by flipping the signs of patients' differences, adjusted for all claims "
    "that were run (Holm). A claim is supported if its intervals and all "
    "repeats lie on the claimed side of 0 and p is below 0.05, not supported if an interval and "
    "the repeats lie on the other side, else undecided. The interval covers the choice of "
    'patients, not the chance in training. "Detectable" is the true difference that so many '
    "patients find in four of five studies, by a t-test at 5 % without adjustment."
)
SEES_ALL = (
    "Mode: **GAN sees all**. The GAN was trained on all training patients, also for rows that use "
    "few real slices, and the lesion labels of its slices come from all: such a row knows the rest "
    "of the real data at second hand, as in the thesis. All repeats share one synthetic set. "
    "`experiments/learning_curve.py` trains all networks on the same few patients."
)


def claims_text(
    results: pd.DataFrame,
    resamples: int,
    seed: int,
    claims: Sequence[Claim] = CLAIMS,
    score: str = "dice",
    what: str = "label-index Dice on real held-out patients",
    mode: str = SEES_ALL,
    trainings: Optional[int] = None,
    numbers: Optional[Mapping[str, str]] = None,
) -> str:
    """Returns the claims with this run's answers and how they were found, as Markdown.

    Args:
        results: see `read_results`.
        resamples: number of bootstrap resamples.
        seed: random seed of the draws.
        claims: the claims that are read together.
        score: column of `results` that is compared.
        what: the score in words.
        mode: what the systems behind the synthetic slices saw, as a paragraph.
        trainings: number of trainings of each row; default: of repeats.
        numbers: from the thesis' numbers of rows to those that are printed; default: the same.
    """
    findings = [
        [
            examine(c, results, resamples, derive_seed(seed, "bootstrap", claim.letter, i), score)
            for i, c in enumerate(claim.contrasts)
        ]
        for claim in claims
    ]
    lines = [
        f"Differences of {what}: {HOW.format(resamples=resamples)}",
        "",
        mode,
        "",
        *_caution(results["patient"].nunique(), trainings or results["repeat"].nunique()),
    ]
    for claim, found, (word, p_value) in zip(claims, findings, verdicts(findings)):
        p_text = f" (p {p_value:.3f})" if np.isfinite(p_value) else ""
        lines.append(f"- ({claim.letter}) {claim.text} **{word.capitalize()}{p_text}.**")
        lines += [f"  - {_sentence(finding, numbers or {})}" for finding in found]
    return "\n".join(lines) + "\n"


def _caution(patients: int, trainings: int) -> list[str]:
    """Returns what few patients or trainings mean for the verdicts, as lines of Markdown."""
    lines = []
    if patients == 1:
        lines = ["A single patient was held out: there is no interval, nothing is decided.", ""]
    elif patients < FEW_PATIENTS:
        lines = [
            f"Only {patients} patients were held out: intervals of so few are too narrow, and p "
            "cannot become small enough to support one of five claims.",
            "",
        ]
    if trainings == 1:
        lines += ["Every row was trained once: chance in training may decide a verdict.", ""]
    return lines


def _sentence(finding: Finding, numbers: Mapping[str, str]) -> str:
    def pairs(rows: Sequence[tuple[str, str]], between: str) -> list[str]:
        return [between.join(numbers.get(no, no) for no in pair) for pair in rows]

    contrast = finding.contrast
    if finding.interval is None:
        wanted = " or ".join(pairs(contrast.pairs, " and "))
        return f"{contrast.words}: needs rows {wanted}."
    mean, low, high = finding.interval
    rows = ", ".join(pairs(finding.pairs, " - "))
    repeats = ", ".join(f"{value:+.3f}" for value in finding.repeats)
    several = f"interval {low:+.3f} to {high:+.3f}, detectable {finding.detectable:.3f}; "
    interval = several if finding.patients > 1 else ""
    return f"{contrast.words} (rows {rows}): {mean:+.3f}, {interval}by repeat {repeats or '-'}."
