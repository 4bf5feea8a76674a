"""Differences between rows of a table, paired by patient and repeat."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from utils.metrics.contrasts import (
    NOT_RUN,
    NOT_SUPPORTED,
    SUPPORTED,
    UNDECIDED,
    Contrast,
    Finding,
    examine,
    verdicts,
)
from utils.metrics.resampling import Interval


def results(scores: dict, patients=("p", "q", "r"), step: float = 0.0) -> pd.DataFrame:
    """Made-up results: {row: Dice of each repeat}; a row's patients differ by `step`."""
    lines = [
        {"no": no, "repeat": i, "patient": name, "slices": 10, "dice": dice + step * k, "mse": 0.1}
        for no, repeats in scores.items()
        for i, dice in enumerate(repeats)
        for k, name in enumerate(patients)
    ]
    regions = {f"volume_dice_{region}": 0.6 for region in ("wt", "tc", "et")}
    return pd.DataFrame(lines).assign(dice_wt=0.5, **regions)


def test_differences_are_paired_by_patient_and_repeat():
    frame = pd.concat([results({"1": [0.5, 0.6]}), results({"3": [0.4, 0.3, 0.0]}, step=0.05)])
    contrast = Contrast("synthetic - real", [("3", "1"), ("4", "1")], -1)  # row 4 was not run
    finding = examine(contrast, frame, 500, 0)
    assert finding.pairs == [("3", "1")] and finding.patients == 3
    np.testing.assert_allclose(finding.repeats, [-0.05, -0.25])  # the third repeat has no partner
    assert finding.interval.mean == pytest.approx(-0.15)
    assert -0.201 <= finding.interval.low < finding.interval.high <= -0.099


def test_another_score_is_compared_where_patients_have_it():
    frame = results({"1": [0.5, 0.6], "3": [0.4, 0.4]})
    frame["volume"] = frame["dice"] + 0.1 * (frame["no"] == "1")
    frame.loc[(frame["patient"] == "p") & (frame["repeat"] == 0), "volume"] = np.nan
    frame.loc[frame["patient"] == "q", "volume"] = np.nan
    finding = examine(Contrast("real - synthetic", [("1", "3")], 1), frame, 100, 0, "volume")
    assert finding.patients == 2 and finding.interval.mean == pytest.approx((0.3 + 0.25) / 2)
    np.testing.assert_allclose(finding.repeats, [0.2, 0.3])


def finding(low: float, high: float, p_value: float) -> Finding:
    interval = Interval((low + high) / 2, low, high)
    return Finding(Contrast("", [], 1), [], interval, [interval.mean], 9, p_value)


def test_claims_that_are_read_together_share_one_level():
    good, weak = finding(0.1, 0.2, 0.012), finding(0.1, 0.2, 0.04)
    assert verdicts([[good], [weak]]) == [(SUPPORTED, 0.024), (SUPPORTED, 0.04)]
    alone = verdicts([[good], [weak], [weak], [good], [weak]])
    assert [word for word, _ in alone] == [UNDECIDED] * 5  # 5 x 0.012 is above 0.05


def test_all_contrasts_of_a_claim_have_to_hold():
    good, bad = finding(0.1, 0.2, 0.001), finding(-0.2, -0.1, 0.001)
    open_one, none = finding(-0.1, 0.2, 0.5), Finding(Contrast("", [], 1))
    words = [word for word, _ in verdicts([[good, bad], [good, open_one], [good, none], [good]])]
    assert words == [NOT_SUPPORTED, UNDECIDED, NOT_RUN, SUPPORTED]
    p_values = [p for _, p in verdicts([[good, open_one], [good, none], [good]])]
    assert p_values[0] == 0.5 and np.isnan(p_values[1]) and p_values[2] == 0.002
