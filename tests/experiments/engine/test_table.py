"""One table for pages, charts and programs, against numbers by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.engine.table import Metric, Row, Table
from utils.errors import UserError
from utils.reporting.tables import markdown_table
from utils.runs.files import read_json
from utils.runs.run_directory import RunDirectory

TABLE = Table(
    "t",
    "A table",
    rows=(
        Row("a", "first", {"dice": 0.5, "dice_std": 0.25, "*/dice": 0.125, "psnr_?": 20.0}),
        Row("b", "second"),
        Row("c", "not measured", {"dice": 0.9}),
    ),
    metrics=(
        Metric("n", "number of slices.", whole=True),
        Metric("dice", "overlap of both", 1, "Dice (1 is perfect)", spread="dice_std"),
        Metric("psnr_1", "peak", -1),
        Metric("never"),
    ),
    parts=("T1", "T2"),
)
FIGURES = {
    **{"t/a/n": 8.0, "t/a/dice": 0.75, "t/a/dice_std": 0.0625, "t/a/psnr_1": 22.0},
    **{"t/a/T1/dice": 0.5, "t/b/n": 9.0, "t/b/dice": 0.25, "t/b/T2/dice": 1.0},
    **{"t/ab/dice": 9.0, "other/c/dice": 9.0, "t/c/other": 9.0},
}


def test_a_frame_has_a_line_for_what_was_measured_beside_the_papers():
    frame = TABLE.frame(FIGURES)
    expected = {
        "row": list("aabb"),
        "title": ["first", "first", "second", "second"],
        "part": ["", "T1", "", "T2"],
        "n": [8, None, 9, None],
        "dice": [0.75, 0.5, 0.25, 1],
        "paper_dice": [0.5, 0.125, None, None],
        "dice_std": [0.0625, None, None, None],
        "paper_dice_std": [0.25, None, None, None],
        "difference_dice": [0.25, 0.375, None, None],
        "psnr_1": [22, None, None, None],
        "paper_psnr_1": [20, None, None, None],
        "difference_psnr_1": [2, None, None, None],
    }
    assert list(frame) == list(expected)
    pd.testing.assert_frame_equal(frame, pd.DataFrame(expected), check_dtype=False)


def test_a_page_prints_spreads_whole_numbers_and_gaps():
    frame = TABLE.frame(FIGURES)
    text = markdown_table(TABLE.printed(frame[frame["part"] == ""])).splitlines()
    assert text[0] == "|  | n | dice | paper dice | difference dice | psnr_1 | paper psnr_1 | " + (
        "difference psnr_1 |"
    )
    assert text[2] == "| first | 8 | 0.750 ± 0.062 | 0.500 ± 0.250 | 0.250 | 22.000 | 20.000 | " + (
        "2.000 |"
    )
    assert text[3] == "| second | 9 | 0.250 | - | - | - | - | - |"
    parts = TABLE.printed(frame[frame["part"] != ""])
    assert parts["part"].tolist() == ["T1", "T2"] and "n" not in parts


def test_single_figures_and_definitions():
    assert TABLE.value(FIGURES, "a", "dice") == 0.75 and np.isnan(TABLE.value(FIGURES, "c", "dice"))
    assert TABLE.measured(FIGURES, "a", "b") and not TABLE.measured(FIGURES, "a", "c")
    assert TABLE.definitions() == [
        "`n`: number of slices.",
        "`dice`: overlap of both; higher is better.",
        "`psnr_1`: peak; lower is better.",
    ]


def test_bars_are_grouped_by_parts_or_by_rows():
    panels, groups = TABLE.bars(FIGURES)
    assert groups == ["mean", "T1", "T2"] and list(panels) == ["Dice (1 is perfect)"]
    (series,) = panels.values()
    np.testing.assert_equal(series, {"first": [0.75, 0.5, np.nan], "second": [0.25, np.nan, 1.0]})
    panels, groups = TABLE.bars(FIGURES, "rows")
    (series,) = panels.values()
    assert groups == ["first", "second"]
    np.testing.assert_equal(series, {"this run": [0.75, 0.25], "paper": [0.5, np.nan]})


def test_rows_are_measured_once_and_again_with_other_settings(tmp_path):
    run, measured = RunDirectory(tmp_path), []
    run.update_metrics({"t/a/old": 1.0, "t/ab/n": 9.0, "other": 2.0})

    def measure(row: str) -> dict[str, float]:
        measured.append(row)
        if row == "c":
            raise KeyboardInterrupt
        return {"n": len(measured), "T1/dice": np.float32(0.5), "dice": np.nan}

    for settings, expected in (({"x": 1}, "abc"), ({"x": 1}, "c"), ({"x": 2}, "abc")):
        measured.clear()
        with pytest.raises(KeyboardInterrupt):
            TABLE.measure(run, measure, settings)
        assert "".join(measured) == expected
    assert read_json(tmp_path / "rows" / "a.json") == {
        "settings": {"x": 2},
        "n": 1.0,
        "T1/dice": 0.5,
    }
    others = {"t/ab/n": 9.0, "other": 2.0}
    rows = {"t/a/n": 1, "t/a/T1/dice": 0.5, "t/b/n": 2, "t/b/T1/dice": 0.5}
    assert run.read_metrics() == {**others, **rows}
    measured.clear()
    TABLE.measure(run, measure, {"x": 2}, ["a", "b"], {"a": "same", "b": "same"}.get)
    assert measured == ["a"] and run.read_metrics()["t/b/n"] == 1


def test_a_table_without_any_figure_is_refused_in_a_sentence(tmp_path):
    nothing = {"t/a/other": 1.0, "t/a/dice": np.nan}
    for show in (TABLE.frame, TABLE.bars):
        with pytest.raises(UserError, match="A table: no row has a result yet; run the stages"):
            show(nothing)
    panels, _ = TABLE.bars({"t/a/n": 8.0})  # what nothing was measured of has no panel
    assert panels == {}
