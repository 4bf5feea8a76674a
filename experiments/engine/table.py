"""A paper's table as data, and how its numbers become a page, a CSV file and ledger rows.

Every number lives in metrics.json under `<table>/<row>/[<part>/]<metric>`; pages, charts and the
ledger are made from there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Callable, Optional

import numpy as np
import pandas as pd

from experiments.engine.recording import command
from experiments.engine.run import Run
from utils.errors import UserError
from utils.reporting.tables import bullets, markdown_table, page, write_table
from utils.runs.results import kept

ARROWS = {1: "higher is better", -1: "lower is better"}


@dataclass(frozen=True)
class Metric:
    """A column.

    Attributes:
        key: name of the metric in metrics.json.
        definition: one or more sentences.
        better: which direction is good: 1 up, -1 down, 0 neither.
        title: title of its panel in a chart, with unit or range.
        spread: key of the metric that is printed behind a ±.
        whole: its values are whole numbers, such as numbers of slices.
    """

    key: str
    definition: str = ""
    better: int = 0
    title: str = ""
    spread: str = ""
    whole: bool = False


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        key: name of the row in metrics.json.
        title: text of the first column.
        paper: what the paper prints, by `[<part>/]<metric>`; `*` stands for any characters.
        place: the paper's table and row in the ledger; "" leaves the row out of it.
        options: values of the script's own options that give this row.
        remark: text in the ledger if the paper prints no numbers.
    """

    key: str
    title: str
    paper: Mapping[str, float] = field(default_factory=dict)
    place: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    remark: str = "-"


@dataclass(frozen=True)
class Table:
    """A table of a paper.

    Attributes:
        key: prefix of its metrics in metrics.json, and name of its files.
        title: the page's heading.
        rows, metrics: in order.
        parts: names of the parts over which a row's metrics are means, such as modalities.
        paper_note: what data the paper's numbers come from, one or more sentences.
        ledger: the metrics in the ledger's cells, `[<part>/]<metric>`, by the words before them.
        claims: function from (this table, numbers of metrics.json) to sentences, one for each of
            the paper's claims.
    """

    key: str
    title: str
    rows: Sequence[Row]
    metrics: Sequence[Metric]
    parts: Sequence[str] = ()
    paper_note: str = ""
    ledger: Mapping[str, str] = field(default_factory=dict)
    claims: Callable[[Table, Mapping[str, float]], Sequence[str]] = lambda table, figures: ()

    def measure(
        self,
        run: Run,
        measure: Callable[[str], Mapping[str, float]],
        settings: Any,
        rows: Optional[Iterable[str]] = None,
        file: Callable[[str], str] = str,
    ) -> None:
        """Writes the metrics of some rows to metrics.json; measures rows without a kept result.

        A row's result is kept in rows/<name>.json as soon as it is measured, so that an interrupted
        table continues with the next row.

        Args:
            run: the table's run.
            measure: function from a row's key to its metrics by `[<part>/]<metric>`; NaN for one
                that is not defined.
            settings: everything that the metrics depend on, see `kept`.
            rows: keys of the rows; default: all.
            file: function from a row's key to its file's name; rows with one name have the same
                metrics.
        """

        def finite(row: str) -> dict[str, float]:
            figures = {key: float(value) for key, value in measure(row).items()}
            return {key: value for key, value in figures.items() if np.isfinite(value)}

        for row in [row.key for row in self.rows] if rows is None else rows:
            path = run.path / "rows" / f"{file(row)}.json"
            found = kept(path, functools.partial(finite, row), settings)
            place = f"{self.key}/{row}/"
            run.update_metrics({f"{place}{key}": v for key, v in found.items()}, place)

    def frame(self, figures: Mapping[str, float]) -> pd.DataFrame:
        """Returns a line per row and part that has a result, means (part "") first.

        Columns are row, title, part, and for each metric its value and spread, the paper's value
        and spread, and the difference ours - paper, as far as they exist. Raises UserError if no
        row has a result.
        """
        lines = []
        for row in self.rows:
            for part in ("", *self.parts):
                place = f"{part}/" if part else ""
                line: dict[str, Any] = {"row": row.key, "title": row.title, "part": part}
                for metric in self.metrics:
                    for key in filter(None, (metric.key, metric.spread)):
                        line[key] = figures.get(f"{self.key}/{row.key}/{place}{key}", np.nan)
                        paper = printed_value(row, f"{place}{key}")
                        line[f"paper_{key}"] = np.nan if paper is None else paper
                    difference = line[metric.key] - line[f"paper_{metric.key}"]
                    line[f"difference_{metric.key}"] = difference
                if any(np.isfinite(line[metric.key]) for metric in self.metrics):
                    lines.append(line)
        if not lines:
            raise UserError(
                f"{self.title}: no row has a result yet; run the stages before the table, too"
            )
        return pd.DataFrame(lines).dropna(axis="columns", how="all")

    def value(self, figures: Mapping[str, float], row: str, metric: str) -> float:
        """Returns a row's value of a metric; NaN if there is none."""
        return figures.get(f"{self.key}/{row}/{metric}", np.nan)

    def bars(
        self, figures: Mapping[str, float], groups: str = "parts"
    ) -> tuple[dict[str, dict[str, list[float]]], list[str]]:
        """Returns, for `bar_panels`, a panel per titled metric, and the names below its bars.

        Groups of bars are the `parts` (mean first), with a series per row, or the `rows`, with the
        series ours and paper.
        """
        titles = {row.key: row.title for row in self.rows}
        parts = {"mean" if not part else part: part for part in ("", *self.parts)}
        frame = self.frame(figures).set_index(["row", "part"])
        present = [key for key in titles if (key, "") in frame.index]
        panels = {}
        for metric in (m for m in self.metrics if m.title and m.key in frame):
            column, paper = frame[metric.key], frame.get(f"paper_{metric.key}")
            if groups == "parts":
                panels[metric.title] = {
                    titles[key]: [column.get((key, part), np.nan) for part in parts.values()]
                    for key in present
                }
            else:
                panels[metric.title] = {"this run": [column[key, ""] for key in present]}
                if paper is not None:
                    panels[metric.title]["paper"] = [paper[key, ""] for key in present]
        return panels, list(parts) if groups == "parts" else [titles[key] for key in present]

    def measured(self, figures: Mapping[str, float], *rows: str) -> bool:
        """Returns whether each of some rows has a result."""
        return all(
            any(np.isfinite(self.value(figures, row, metric.key)) for metric in self.metrics)
            for row in rows
        )

    def definitions(self) -> list[str]:
        """Returns a sentence per metric that has a definition."""
        return [
            f"`{m.key}`: {m.definition.rstrip('.')}{f'; {ARROWS[m.better]}' if m.better else ''}."
            for m in self.metrics
            if m.definition
        ]

    def printed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Returns a frame for people: spreads behind a ±, missing values as "-"."""
        columns: dict[str, Any] = {"": frame["title"]}
        if frame["part"].any():
            columns["part"] = frame["part"]
        for metric in self.metrics:
            for kind in ("", "paper", "difference"):
                prefix = f"{kind}_" if kind else ""
                values = frame.get(f"{prefix}{metric.key}")
                if values is None:
                    continue
                spreads = frame.get(f"{prefix}{metric.spread}", pd.Series(np.nan, frame.index))
                cells = [
                    f"{v:.3f} ± {s:.3f}" if np.isfinite(s) else v for v, s in zip(values, spreads)
                ]
                whole = metric.whole and np.isfinite(values).all()
                columns[f"{kind} {metric.key}".strip()] = values.astype(int) if whole else cells
        return pd.DataFrame(columns).dropna(axis="columns", how="all")

    def write(
        self,
        run: Run,
        notes: Iterable[str],
        sections: Iterable[str] = (),
        **options: Any,
    ) -> None:
        """Writes `<key>.csv` and `<key>.md` from metrics.json and prints the page.

        Args:
            run: the table's run.
            notes: further sentences on the origin of the numbers, besides data and command.
            sections: further headings and texts, in front of what the numbers say.
            options: options of the command that gives these rows; they replace those of the last
                start.
        """
        figures = run.read_metrics()
        frame, claims = self.frame(figures), self.claims(self, figures)
        means, parts = (frame[(frame["part"] == "") == whole] for whole in (True, False))
        sizes = ", ".join(
            f"{len(names)} {name}" for name, names in asdict(run.split).items() if names
        )
        where = (
            f"Data: {run.data_note}; patients: {sizes}.",
            f"Command: `{command(run, **options)}`.",
        )
        text = page(
            [
                f"# {self.title}",
                markdown_table(self.printed(means)),
                *([self.paper_note] if self.paper_note else []),
                *sections,
                *(["## What was found", bullets(claims)] if claims else []),
                "## How",
                bullets([*where, *notes]),
                "## Definitions",
                bullets(self.definitions()),
                *(["## Parts", markdown_table(self.printed(parts))] if len(parts) else []),
            ]
        )
        write_table(run.path / self.key, frame, text)
        print(f"\n{text}\n{run.path / self.key}.md")


def printed_value(row: Row, metric: str) -> Optional[float]:
    """Returns what the paper prints for a row's metric, None if nothing."""
    if metric in row.paper:
        return row.paper[metric]
    return next((v for pattern, v in row.paper.items() if fnmatchcase(metric, pattern)), None)
