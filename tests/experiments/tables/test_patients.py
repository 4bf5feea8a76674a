"""Differences between rows, patient by patient."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.engine.table import Metric, Row, Table
from experiments.tables.patients import differences

TABLE = Table(
    "t", "t", [Row("a", "row a"), Row("b", "row b"), Row("c", "row c")], [Metric("dice", "d")]
)


def test_a_row_is_compared_with_its_reference_patient_by_patient():
    rng = np.random.default_rng(0)
    base, gain = rng.random(9) / 2, rng.random(9) / 4
    patients = {"patient": range(9)}
    results = pd.concat(
        [
            pd.DataFrame({**patients, "no": "a", "dice": base}),
            pd.DataFrame({**patients, "no": "b", "dice": base + gain}).sample(frac=1),
        ]
    )
    references = {"a": "a", "b": "a", "c": "a"}
    (line,) = differences(results, TABLE, references, 500, 0).to_dict("records")
    assert line["row"] == "row b"  # c has no results
    assert line["difference"] == pytest.approx(gain.mean())
    assert 0 < line["low"] < gain.mean() < line["high"]
