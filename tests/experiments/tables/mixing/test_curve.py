"""The learning curve's systems, numbers, differences and chart, on made-up results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data.splits import Cohort
from experiments.configs.learning_curve import TINY, LearningCurveConfig, numbers
from experiments.engine.request import Request
from experiments.tables.mixing.chart import CURVES, draw_curve
from experiments.tables.mixing.claims import FEW_PATIENTS_CLAIMS
from experiments.tables.mixing.curve import (
    METRICS,
    PRIMARY,
    TABLE,
    check,
    complete,
    figures,
    gains,
    measured_table,
    system_configs,
)
from experiments.tables.mixing.rows import FEW_PATIENTS_ROWS, choose_rows
from utils.errors import UserError

PATIENTS = tuple("abcdefghijkl")


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    """Dice 0.5 + n / 100 + 0.01 per repeat; with synthetic slices 0.1 more; patients differ."""
    lines = []
    for number in (2, 4):
        for seed in (0, 1):
            for repeat in (0, 1, 2):
                for no, gain in (("1", 0.0), ("15", 0.1), ("21", 0.02)):
                    for i, patient in enumerate(PATIENTS):
                        dice = 0.5 + number / 100 + 0.01 * repeat + gain * (1 + i / 100)
                        line = dict.fromkeys((metric.key for metric in METRICS), dice)
                        place = {"no": no, "number": number, "seed": seed, "repeat": repeat}
                        lines.append({**line, **place, "patient": patient, "slices": 1})
    return pd.DataFrame(lines)


def test_numbers_of_patients_are_read_and_others_refused():
    assert numbers("8, 2,4,2") == [2, 4, 8] and numbers("2;4") == numbers("") == []
    for wrong in ("0,2", "two", "", "-1"):
        with pytest.raises(UserError, match="--patients"):
            LearningCurveConfig(patients=wrong)


def test_each_system_has_its_patients_and_seed_and_all_hold_out_the_same():
    configs = system_configs(TINY)
    assert list(configs) == [f"patients_00{n}_seed_{seed}" for n in (2, 1) for seed in (0, 1)]
    config = configs["patients_001_seed_1"]
    assert (config.seed, config.cohort) == (1, Cohort(patients=1, seed=0))
    assert {config.cohort.seed for config in configs.values()} == {0}


def test_the_table_has_a_part_for_each_number_of_patients(found):
    values = figures(found)
    assert values[f"learning_curve/row_15/2 patients/{PRIMARY}"] == pytest.approx(0.6355)
    assert values[f"learning_curve/row_15/{PRIMARY}"] == pytest.approx(0.6455)
    spread = np.std([0.0, 0.01, 0.02] * 2, ddof=1)
    assert values[f"learning_curve/row_01/4 patients/{PRIMARY}_std"] == pytest.approx(spread)
    frame = measured_table(LearningCurveConfig(patients="2,4")).frame(values)
    assert frame["part"].tolist() == ["", "2 patients", "4 patients"] * 3
    assert [row.key for row in TABLE.rows] == [row.name for row in FEW_PATIENTS_ROWS]


def test_only_systems_with_all_rows_are_compared(found):
    """Else a row that only many patients have would be compared with all numbers of another."""
    late = (found["number"] == 2) & (found["no"] == "15") & (found["seed"] == 1)
    places = complete(found[~late])[["number", "seed"]].drop_duplicates()
    assert sorted(places.itertuples(index=False, name=None)) == [(2, 0), (4, 0), (4, 1)]
    missing_repeat = late & (found["repeat"] == 2)
    places = complete(found[~missing_repeat])[["number", "seed"]].drop_duplicates()
    assert sorted(places.itertuples(index=False, name=None)) == [(2, 0), (4, 0), (4, 1)]
    assert len(complete(found)) == len(found)


def started(words: dict, **options) -> Request:
    generator = replace(TINY.generator, **words)
    config = replace(TINY, generator=generator, **options)
    return Request(Path(), config, options={"rows": "all"})


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (started({"seed": 3}), "--generator.seed and --generator.cohort are set"),
        (started({"cohort": Cohort(seed=3)}), "give --patients and --seed"),
        (started({"cohort": Cohort(patients=3)}), "give --patients and --seed"),
    ],
)
def test_settings_that_the_curve_cannot_keep_are_refused(request_, text):
    strategy = tf.distribute.get_strategy()
    check(started({}), strategy)
    with pytest.raises(UserError, match=text):
        check(request_, strategy)


def test_differences_are_those_of_patients(found):
    lines = gains(found, 500, 0)
    assert lines["patients"].tolist() == [2, 2, 4, 4]
    line = lines[lines["row"].str.startswith("15")].iloc[0]
    assert line["difference"] == pytest.approx(0.1055) and line["low"] > 0.1
    assert line["p"] == pytest.approx(2 / 500, abs=3e-3)
    assert line["detectable"] == pytest.approx(0.1 * 0.036 * (2.201 + 0.876) / 12**0.5, rel=0.01)


def test_claims_need_only_rows_of_the_curve():
    known = {row.no for row in FEW_PATIENTS_ROWS}
    used = {no for c in FEW_PATIENTS_CLAIMS for each in c.contrasts for p in each.pairs for no in p}
    assert used <= known and set(CURVES) <= known
    with pytest.raises(UserError, match="some of 1,3,13,15,21,24,25,cm"):
        choose_rows("2", FEW_PATIENTS_ROWS)


def test_the_chart_has_a_line_for_each_mixture(found, tmp_path):
    draw_curve(found, PRIMARY, tmp_path / "curve.png", "phantom (not medical)")
    picture = cv2.imread(str(tmp_path / "curve.png"))
    assert picture.shape[1] > 600 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
