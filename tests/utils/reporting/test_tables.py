"""Markdown tables, their files, and charts."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from utils.errors import UserError
from utils.reporting.charts import OKABE_ITO, grouped_bars, new_figure, save_figure
from utils.reporting.tables import markdown_table, page, spreadsheet_text, write_table

FRAME = pd.DataFrame(
    {"system": ["a|b", "two\nlines"], "images": [8, 200], "dice": [0.91549, np.nan]}
)


def test_markdown_rounds_escapes_and_marks_what_is_missing():
    expected = [
        "| system | images | dice |",
        "| --- | ---: | ---: |",
        "| a\\|b | 8 | 0.92 |",
        "| two lines | 200 | - |",
    ]
    assert markdown_table(FRAME, digits=2).splitlines() == expected
    assert markdown_table(pd.DataFrame({"x": [-123456.7]})).splitlines()[2] == "| -1.23e+05 |"
    assert markdown_table(pd.DataFrame({"x": [None, "y"]})).splitlines()[2:] == ["| - |", "| y |"]


def test_a_page_has_a_blank_line_between_its_parts():
    assert page(["# Table\n", " text", "| a |\n"]) == "# Table\n\ntext\n\n| a |\n"


def test_a_table_is_written_in_full_beside_its_text(tmp_path):
    write_table(tmp_path / "table0", FRAME, "# Table\n")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table0.csv"), FRAME)
    assert (tmp_path / "table0.md").read_text() == "# Table\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table0.csv", "table0.md"]


def test_bars_have_one_colour_per_series_and_their_values(tmp_path):
    figure = new_figure(4, 3)
    axes = figure.subplots()
    grouped_bars(axes, ("g", "h", "i"), {"real": (0.5, 0.25, 1), "synthetic": (np.nan, 2, 1)})
    bars = [bar for container in axes.containers for bar in container]
    assert [bar.get_height() for bar in bars if np.isfinite(bar.get_height())] == [
        0.5,
        0.25,
        1,
        2,
        1,
    ]
    assert len({bar.get_facecolor() for bar in bars}) == 2
    assert [text.get_text() for text in axes.texts] == [
        "0.500",
        "0.250",
        "1.00",
        "",
        "2.00",
        "1.00",
    ]
    assert [text.get_text() for text in axes.get_legend().texts] == ["real", "synthetic"]
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars)
    assert all(right <= left + 1e-9 for (_, right), (left, _) in zip(edges, edges[1:]))
    save_figure(figure, tmp_path / "bars.png")
    assert cv2.imread(str(tmp_path / "bars.png")).shape == (360, 480, 3)


def test_unequal_series_are_refused():
    axes = new_figure(2, 2).subplots()
    for series in ({"a": (1,)}, {str(i): (1, 2) for i in range(len(OKABE_ITO) + 1)}):
        with pytest.raises(UserError, match="one value for each of 2 groups"):
            grouped_bars(axes, ("g", "h"), series)


@pytest.mark.parametrize("text", ["=cmd", "+1", "-1", "@sum", "\tx", "\rx"])
def test_a_formula_becomes_text_and_other_texts_stay(text):
    assert spreadsheet_text(text) == f"'{text}"
    assert spreadsheet_text(f"a{text}") == f"a{text}" and spreadsheet_text("") == ""
