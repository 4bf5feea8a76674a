"""Charts for people, in colours that colour-blind readers can tell apart, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from utils.errors import UserError
from utils.runs.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito 2008, black and yellow last: yellow is faint on white paper.
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
HATCHES = ("", "//", "..", "xx", "\\\\", "oo", "--", "++")  # also without any colour
DOTS_PER_INCH = 120
LOG_SPAN = 100  # largest / smallest bar from which a panel is logarithmic


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of a size in inches, which needs no display."""
    # matplotlib takes a third of a second to import: `--help` must not wait for it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH, format="png")


def grouped_bars(axes: Axes, groups: Sequence[str], series: Mapping[str, Sequence[float]]) -> None:
    """Draws one bar per group and series, with its value above it and a legend for the series.

    Args:
        axes: where to draw; labels and limits are the caller's.
        groups: names along the x-axis.
        series: for each name of the legend one value per group; NaN leaves a gap.

    Raises:
        UserError: a series without exactly one value per group, or more series than colours.
    """
    if len(series) > len(OKABE_ITO) or any(len(row) != len(groups) for row in series.values()):
        raise UserError(
            f"grouped_bars needs one value for each of {len(groups)} groups in at most "
            f"{len(OKABE_ITO)} series, found {[len(row) for row in series.values()]} values; "
            "pass equally long series."
        )
    width = 0.8 / len(series)
    for i, (name, row) in enumerate(series.items()):
        places = np.arange(len(groups)) + (i - (len(series) - 1) / 2) * width
        bars = axes.bar(
            places, row, width, label=name, color=OKABE_ITO[i], hatch=HATCHES[i], edgecolor="white"
        )
        labels = ["" if np.isnan(value) else f"{value:#.3g}" for value in row]
        axes.bar_label(bars, labels, padding=2, fontsize=8)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_xlim(-0.5, len(groups) - 0.5)  # also where the first or last group has no bar
    axes.margins(y=0.15)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def bar_panels(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    groups: Sequence[str],
    lines: Mapping[str, float] = MappingProxyType({}),
    columns: int = 1,
    note: str = "",
) -> Figure:
    """Draws panels of grouped bars with one legend.

    A panel of distances whose bars span a factor of more than `LOG_SPAN` is logarithmic; panels
    of fractions, with bars up to 1, stay linear.

    Args:
        panels: series by panel title, see `grouped_bars`.
        groups: names along every x-axis.
        lines: height of a dashed line in a panel, by its title, such as that of real slices.
        columns: panels side by side.
        note: above all panels, such as what the data is.
    """
    rows = -(-len(panels) // columns)
    figure = new_figure(max(10, 4.3 * columns), 3.5 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    legend = {}
    for axes, (title, series) in zip(grid.flat, panels.items()):
        grouped_bars(axes, groups, series)
        if len(series) > 1 and columns > 1:  # values of bars side by side would overlap
            for text in axes.texts:
                text.set_rotation(90)
            axes.margins(y=0.3)
        heights = [value for row in series.values() for value in row] + [lines.get(title, np.nan)]
        _log_scale(axes, heights)
        if np.isfinite(lines.get(title, np.nan)):
            axes.axhline(lines[title], color="black", linestyle="--", label="real slices")
        axes.set_title(title, fontsize=10)
        handles, labels = axes.get_legend_handles_labels()
        legend.update(zip(labels, handles))
        axes.get_legend().remove()
    figure.legend(
        legend.values(), legend.keys(), loc="outside lower center", ncols=3, frameon=False
    )
    figure.suptitle(note, fontsize=11)
    return figure


def _log_scale(axes: Axes, heights: Sequence[float]) -> None:
    positive = [value for value in heights if value > 0]
    span = max(positive, default=1) / min(positive, default=1)
    if span > LOG_SPAN and max(positive) > 1:
        axes.set_yscale("log")
        axes.set_ylim(min(positive) / 3, max(positive) * span**0.5)  # room for the numbers
