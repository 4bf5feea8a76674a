"""Panels of bars: heights, scale and lines."""

from __future__ import annotations

import numpy as np
import pytest

from utils.reporting.charts import bar_panels

GROUPS = ("g", "h")


@pytest.mark.parametrize(
    ("heights", "line", "scale"),
    [
        ((1.0, 99.0), np.nan, "linear"),
        ((1.0, 101.0), np.nan, "log"),
        ((1.0, 2.0), 250.0, "log"),  # the line counts
        ((0.001, 0.9), np.nan, "linear"),  # shares
        ((0.0, 500.0), np.nan, "linear"),  # only one bar has a height
        ((-5.0, np.nan), np.nan, "linear"),
    ],
)
def test_only_distances_over_a_large_span_are_logarithmic(heights, line, scale):
    (axes,) = bar_panels({"p": {"ours": heights}}, GROUPS, {"p": line}).axes
    assert axes.get_yscale() == scale
    low, high = axes.get_ylim()
    assert low < np.nanmin(heights) + 1e-9 and high > np.nanmax([*heights, line])


def test_panels_have_their_bars_lines_and_one_legend():
    panels = {"first": {"a": (0.5, 0.25), "b": (np.nan, 1.0)}, "second": {"a": (3.0, 4.0)}}
    figure = bar_panels(panels, GROUPS, {"first": 0.75}, columns=2, note="Data: made up")
    first, second = figure.axes
    assert [axes.get_title() for axes in (first, second)] == ["first", "second"]
    assert [tick.get_text() for tick in second.get_xticklabels()] == list(GROUPS)
    np.testing.assert_array_equal(
        [bar.get_height() for bar in first.patches], [0.5, 0.25, np.nan, 1]
    )
    (line,) = first.lines
    assert line.get_linestyle() == "--" and set(line.get_ydata()) == {0.75} and not second.lines
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"a", "b", "real slices"}
    assert len(figure.legends) == 1 and not any(axes.get_legend() for axes in figure.axes)
    assert figure._suptitle.get_text() == "Data: made up"  # Matplotlib 3.7 has no getter
