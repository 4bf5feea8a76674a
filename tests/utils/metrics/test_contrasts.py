"""Differences between rows of a table, paired by patient and repeat."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from utils.metrics.contrasts import Contrast, examine


def results(scores: dict, patients=("p", "q", "r"), step: float = 0.0) -> pd.DataFrame:
    """Made-up results: {row: Dice of each repeat}; a row's patients differ by `step`."""
    lines = [
        {"no": no, "repeat": i, "patient": name, "slices": 10, "dice": dice + step * k, "mse": 0.1}
        for no, repeats in scores.items()
        for i, dice in enumerate(repeats)
        for k, name in enumerate(patients)
    ]
    return pd.DataFrame(lines).assign(dice_wt=0.5)


def test_differences_are_paired_by_patient_and_repeat():
    frame = pd.concat([results({"1": [0.5, 0.6]}), results({"3": [0.4, 0.3, 0.0]}, step=0.05)])
    contrast = Contrast("synthetic - real", [("3", "1"), ("4", "1")], -1)  # row 4 was not run
    finding = examine(contrast, frame, 500, 0)
    assert finding.pairs == [("3", "1")] and finding.patients == 3
    np.testing.assert_allclose(finding.repeats, [-0.05, -0.25])  # the third repeat has no partner
    assert finding.interval.mean == pytest.approx(-0.15)
    assert -0.201 <= finding.interval.low < finding.interval.high <= -0.099
