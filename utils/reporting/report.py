"""The report of a run: one HTML file that holds its pictures, needs no network and no script."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd

from utils.errors import UserError
from utils.reporting.charts import new_figure
from utils.runs.files import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOG_SPAN = 30  # largest / smallest value from which an axis is logarithmic
COLOUR_MAP = "tab20"  # ten strong colours, each followed by a pale one
LINE_STYLES = ("-", "--", ":", "-.")

_STYLE = """
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; background: #fff; color: #1a1a1a;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1, h2, h3 { line-height: 1.25; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
nav { padding: 0.5rem 1rem; background: #f4f4f4; }
figure { margin: 1rem 0 1.5rem; overflow-x: auto; }
figcaption { color: #444; font-size: 0.9rem; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid #ddd; text-align: left; }
thead th { border-bottom: 2px solid #888; }
pre { padding: 0.75rem; overflow-x: auto; background: #f4f4f4; font-size: 0.8rem; }
summary { cursor: pointer; }
@media print { nav { display: none; } figure, tr { break-inside: avoid; } }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<nav><strong>Contents</strong><ol>
{contents}
</ol></nav>
{sections}
</body>
</html>
"""


class Report:
    """Collects the parts of a report and writes them as one HTML file.

    Every text is escaped, so nothing from outside becomes markup. What is added goes to the end of
    the section added last.

    Args:
        title: heading of the report.
    """

    def __init__(self, title: str):
        self._title = title
        self._sections: list[tuple[str, list[str]]] = []

    def add_section(self, title: str, text: str = "") -> None:
        """Starts a section; blank lines divide its text into paragraphs."""
        paragraphs = [part.strip() for part in text.split("\n\n")]
        blocks = [f"<p>{escape(part)}</p>" for part in paragraphs if part]
        self._sections.append((title, blocks))

    def add_picture(self, title: str, caption: str, picture: np.ndarray) -> None:
        """Adds a picture uint8 [H,W,3] or [H,W] under a title; UserError for another array."""
        grey = picture.ndim == 2
        if picture.dtype != np.uint8 or not (grey or picture.shape[2:] == (3,)):
            raise UserError(
                f"The picture {title!r} must be uint8 [H,W,3] or [H,W], found {picture.dtype} "
                f"{picture.shape}; convert it with utils.reporting.pictures."
            )
        stored = picture if grey else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        png = cv2.imencode(".png", stored)[1].tobytes()
        self._add(f"<h3>{escape(title)}</h3>")
        self._add_figure(_image(png, title), caption)

    def add_figure(self, figure: Figure, caption: str = "") -> None:
        """Adds a matplotlib figure; equal figures give equal bytes."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
        self._add_figure(_image(buffer.getvalue(), caption or "figure"), caption)

    def add_table(self, table: pd.DataFrame, caption: str = "") -> None:
        """Adds a table: floats with 4 digits, NaN as a dash, the index unless it only counts."""
        markup = table.to_html(
            border=0,
            index=not isinstance(table.index, pd.RangeIndex),
            justify="left",
            float_format=_number,
            na_rep="–",
            escape=True,
        )
        self._add_figure(markup, caption)

    def add_key_values(self, values: Mapping[str, Any], caption: str = "") -> None:
        """Adds a table of two columns: names and values as text."""
        rows = [
            f"<tr><th>{escape(str(name))}</th><td>{escape(_text(value))}</td></tr>"
            for name, value in values.items()
        ]
        self._add_figure("<table>\n" + "\n".join(rows) + "\n</table>", caption)

    def add_preformatted(self, title: str, text: str) -> None:
        """Adds a text with its line breaks and spaces, folded under its title."""
        summary = f"<summary>{escape(title)}</summary>"
        self._add(f"<details>{summary}<pre>{escape(text)}</pre></details>")

    def write(self, path: Path) -> None:
        """Writes the report to one file, which appears whole or not at all."""
        contents, sections = [], []
        for number, (title, blocks) in enumerate(self._sections, start=1):
            contents.append(f'<li><a href="#section-{number}">{escape(title)}</a></li>')
            heading = f'<h2 id="section-{number}">{escape(title)}</h2>'
            sections.append("\n".join(["<section>", heading, *blocks, "</section>"]))
        page = _PAGE.format(
            title=escape(self._title),
            style=_STYLE,
            contents="\n".join(contents),
            sections="\n".join(sections),
        )
        write_text(path, page)

    def _add(self, block: str) -> None:
        if not self._sections:
            raise UserError(
                f"The report {self._title!r} has no section yet; call add_section first."
            )
        self._sections[-1][1].append(block)

    def _add_figure(self, content: str, caption: str) -> None:
        note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        self._add(f"<figure>{content}{note}</figure>")


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def _text(value: Any) -> str:
    return _number(value) if isinstance(value, float) else str(value)


def _image(png: bytes, text: str) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{data}">'


def loss_curves(history: Sequence[Mapping[str, Any]], stage: str) -> Figure:
    """Draws the losses of a stage above and their terms below, over the training step.

    Totals are the columns `loss/<group>`; the terms of a group are the columns `<group>/<term>`,
    each group with its own line style. An axis whose positive values span a factor of 30 is
    logarithmic and shows no zeros, unless a value is negative.

    Args:
        history: rows of metrics.jsonl with at least `stage` and `step`; other stages are skipped.
        stage: the stage to draw; without any row the axes say so.
    """
    rows = sorted((row for row in history if row["stage"] == stage), key=lambda row: row["step"])
    names = sorted({name for row in rows for name in row})
    groups = [name[len("loss/") :] for name in names if name.startswith("loss/")]
    figure = new_figure(9, 6.5)
    upper, lower = figure.subplots(2, sharex=True)
    _draw_lines(upper, rows, [[f"loss/{group}" for group in groups]])
    _draw_lines(lower, rows, [[n for n in names if n.startswith(f"{g}/")] for g in groups])
    upper.set_title(f"{stage}: losses")
    lower.set_title("their terms")
    lower.set_xlabel("step")
    return figure


def _draw_lines(axis: Axes, rows: Sequence[Mapping], groups: Sequence[Sequence[str]]) -> None:
    from matplotlib import colormaps  # late, as in `charts`

    colours = colormaps[COLOUR_MAP].colors
    drawn = []
    marker = "o" if len(rows) < 10 else ""
    for style, names in zip(cycle(LINE_STYLES), groups):
        axis.set_prop_cycle(color=(*colours[::2], *colours[1::2]))
        for name in names:
            steps, values = zip(*((row["step"], row[name]) for row in rows if name in row))
            axis.plot(steps, values, style, marker=marker, markersize=3, label=name)
            drawn += values
    positive = [value for value in drawn if value > 0]
    if positive and min(drawn) >= 0 and max(positive) > LOG_SPAN * min(positive):
        axis.set_yscale("log", nonpositive="mask")
    axis.grid(alpha=0.3)
    if drawn:
        axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize="small")
    else:
        axis.text(0.5, 0.5, "no values", ha="center", transform=axis.transAxes)
