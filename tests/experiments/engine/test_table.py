"""One table for pages, charts and programs, against numbers by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.engine.table import Metric, Row, Table, kept
from utils.reporting.tables import markdown_table
from utils.runs.files import read_json

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


def test_a_result_is_measured_once_and_again_with_other_settings(tmp_path):
    path, count = tmp_path / "rows" / "a.json", iter(range(9))

    def measure() -> dict:
        return {"count": next(count)}

    assert [kept(path, measure), kept(path, measure)] == [{"count": 0}] * 2
    found = [kept(path, measure, settings) for settings in ({"x": 1}, {"x": 1}, {"x": 2})]
    assert [one["count"] for one in found] == [1, 1, 2]
    with pytest.raises(ZeroDivisionError):
        kept(path, lambda: {"count": 1 / 0}, {"x": 3})
    assert read_json(path) == {"settings": {"x": 2}, "count": 2}
    with pytest.raises(ZeroDivisionError):
        kept(tmp_path / "rows" / "b.json", lambda: 1 / 0)
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]
