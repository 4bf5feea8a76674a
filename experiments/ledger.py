"""Write the tables of docs/results.md: what the papers print beside what finished runs measured.

    python experiments/ledger.py RUN [RUN ...]       # run directories of table scripts
    python experiments/ledger.py                     # only adds rows for new experiments

A row is replaced by the last run given that holds one of its numbers; the others stay as they are.
The rows are kept in a CSV file beside the page. Only the part of the page between the two marks is
rewritten.
"""

from __future__ import annotations

import _start

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Optional

import pandas as pd

from data.brats.phantom_kinds import EASY
from experiments.engine.experiment import Experiment
from experiments.engine.recording import CHANGED, spell
from experiments.engine.table import Row, printed_value
from experiments.tables.ablation.table import TABLE1
from experiments.tables.downstream.boxes import TABLE8_DETECTION
from experiments.tables.downstream.vessels import TABLE6_VESSELS
from experiments.tables.downstream.xray import TABLE7_XRAY
from experiments.tables.early.schemes import TABLE1_EARLY
from experiments.tables.lesion_validity import TABLE4
from experiments.tables.mixing.table import TABLE2_EARLY, TABLE5
from experiments.tables.mm_gan.table import TABLE1_MM_GAN, TABLE2_MM_GAN
from experiments.tables.quality.table import TABLE2_QUALITY, TABLE3_QUALITY
from experiments.tables.samr.table2 import TABLE2_SAMR
from experiments.tables.tc_mgan.segmentation import TABLE2_TC_MGAN
from experiments.tables.tc_mgan.translation import TABLE1_TC_MGAN
from utils.config import flatten
from utils.errors import UserError
from utils.reporting.tables import MISSING, bullets, markdown_table, page, write_table
from utils.runs.environment import REPOSITORY
from utils.runs.exits import exit_code
from utils.runs.files import read_json
from utils.runs.names import plain_name

PAGE = REPOSITORY / "docs" / "results.md"
COLUMNS = (
    *("experiment", "paper", "command", "data", "seeds", "time"),
    *("paper value", "our value", "commit"),
)
NOT_RUN = "not run"
SMALL = 1e-3  # numbers below are written with an exponent
BEGIN = "<!-- Written by `python experiments/ledger.py RUN ...` from here on: do not edit. -->"
END = "<!-- Written by the command up to here. -->"


EXPERIMENTS = (
    *(
        TABLE1,
        TABLE2_QUALITY,
        TABLE3_QUALITY,
        TABLE4,
        TABLE5,
        TABLE6_VESSELS,
        TABLE7_XRAY,
        TABLE8_DETECTION,
    ),
    *(TABLE1_TC_MGAN, TABLE2_TC_MGAN, TABLE2_SAMR, TABLE1_MM_GAN, TABLE2_MM_GAN),
    *(TABLE1_EARLY, TABLE2_EARLY),
)
LedgerRow = tuple[Experiment, Row]
ROWS: tuple[LedgerRow, ...] = tuple(
    (experiment, row) for experiment in EXPERIMENTS for row in experiment.table.rows if row.place
)


@dataclass(frozen=True)
class FinishedRun:
    """What a run directory says about itself.

    Attributes:
        metrics: metrics.json.
        start: config.json.
        environment: environment.json.
        main_data: the trained run's data folder, None for the phantom, "" if unknown.
        phantom: kind of its phantom, "" if unknown.
    """

    metrics: Mapping[str, float]
    start: Mapping[str, Any]
    environment: Mapping[str, Any]
    main_data: Optional[str]
    phantom: str

    def data(self, experiment: Experiment) -> Optional[str]:
        """Returns the data folder behind a script, like `main_data`, also without trained run."""
        return self.main_data if experiment.reads_run else self.start["data"]


def read_run(path: Path) -> FinishedRun:
    """Returns a run's small files; UserError if one is missing or unreadable."""
    try:
        names = ("metrics", "config", "environment")
        metrics, start, environment = (read_json(path / f"{name}.json") for name in names)
        data, phantom = _main_data(path, start), _phantom(path, start)
        return FinishedRun(metrics, start, environment, data, phantom)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not the run directory of a finished table script ({error!r}); give folders "
            "with metrics.json, config.json and environment.json"
        ) from error


def _main_start(path: Path, start: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
    """The config.json of the trained run behind a run, which may have been deleted since."""
    main = Path(start["run"]) if start.get("run") else path / "main"
    return read_json(main / "config.json") if (main / "config.json").exists() else None


def _main_data(path: Path, start: Mapping[str, Any]) -> Optional[str]:
    if start["data"] is not None:
        return start["data"]
    main = _main_start(path, start)
    return main["data"] if main else ""


def _phantom(path: Path, start: Mapping[str, Any]) -> str:
    config = (_main_start(path, start) or start).get("config", {})
    return config.get("training", config).get("phantom", "")


def ledger_line(line: LedgerRow, run: FinishedRun) -> Optional[dict[str, str]]:
    """Returns a row as texts by column, or None if the run measured none of its numbers."""
    experiment, row = line
    prefix = f"{experiment.prefix}/{row.key}/"
    found = [
        (name, _value(prefix + key, run.metrics)) for name, key in experiment.table.ledger.items()
    ]
    if all(value is None for _, value in found):
        return None
    kind = f" ({run.phantom})" if run.phantom not in ("", EASY.name) else ""
    names = {None: f"phantom{kind}", "": "unknown (the trained run is gone)"}
    git, data = run.environment["git"], run.data(experiment)
    return {
        **empty_line(line),
        "command": _command(line, run),
        "data": names.get(data) or f"real ({plain_name(Path(data).name)})",
        "seeds": _seeds(prefix, run),
        "time": _time(run.metrics.get(f"{experiment.prefix}/seconds")),
        "our value": _join(found),
        "commit": f"{git['commit'][:8]}{'+' * bool(git['modified'])}" if git["commit"] else MISSING,
    }


def _command(line: LedgerRow, run: FinishedRun) -> str:
    """The command that gives a row's numbers as its run did."""
    experiment, row = line
    options = {**run.start.get("options", {}), **row.options}
    repeats = run.metrics.get(f"{experiment.prefix}/{row.key}/seeds")
    if repeats is not None and any(option.name == "seeds" for option in experiment.options):
        options["seeds"] = int(repeats)
    preset, config = run.start["preset"], run.start["config"]
    named, real = bool(run.start.get("run")), bool(run.data(experiment))
    changed = CHANGED if run.start.get("earlier") else ""
    return spell(experiment, preset, config, options, named, real) + changed


def empty_line(line: LedgerRow) -> dict[str, str]:
    """Returns the texts of a row that no run has filled."""
    experiment, row = line
    cells = experiment.table.ledger.items()
    paper = _join((name, printed_value(row, key)) for name, key in cells)
    filled = {"experiment": experiment.prefix, "paper": row.place, "our value": NOT_RUN}
    return {**dict.fromkeys(COLUMNS, MISSING), **filled, "paper value": paper or row.remark}


def _value(key: str, metrics: Mapping[str, float]) -> Optional[float]:
    return next((metrics[name] for name in metrics if fnmatchcase(name, key)), None)


def _join(pairs: Any) -> str:
    return ", ".join(f"{name} {_number(value)}" for name, value in pairs if value is not None)


def _number(value: float) -> str:
    if value and not SMALL <= abs(value) < 1e4:
        return f"{value:.2e}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def _seeds(prefix: str, run: FinishedRun) -> str:
    """How many repeats a row rests on, and the first seed where the script has one of its own."""
    repeats = run.metrics.get(f"{prefix}seeds", 1)
    settings = flatten(run.start["config"])
    first = settings.get("seed", settings.get("training.seed"))
    return f"{repeats:.0f}" if first is None else f"{repeats:.0f} (from {first})"


def _time(seconds: Optional[float]) -> str:
    return MISSING if seconds is None else f"{max(seconds / 60, 0.1):.1f} min (whole table)"


def read_rows(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Returns the ledger's rows by experiment and the paper's row; none if there is no file.

    Raises UserError if the file has other columns.
    """
    if not path.exists():
        return {}
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(frame.columns) != COLUMNS:
        raise UserError(
            f"{path} must be the ledger's table, with the columns {', '.join(COLUMNS)}; give "
            "another --out, or delete the file and write it anew from all runs"
        )
    return {(row["experiment"], row["paper"]): row for row in frame.to_dict("records")}


def merge(old: Mapping[tuple[str, str], dict[str, str]], runs: Sequence[FinishedRun]) -> list[dict]:
    """Returns the ledger's lines: from the last of the runs that fills a row, else as before."""
    lines = []
    for experiment, row in ROWS:
        line = old.get((experiment.prefix, row.place)) or empty_line((experiment, row))
        for run in runs:
            line = ledger_line((experiment, row), run) or line
        lines.append(line)
    return lines


def tables(lines: Sequence[Mapping[str, str]]) -> str:
    """Returns the ledger for people: per experiment a table, and how it was made, as Markdown."""
    parts = []
    for experiment in EXPERIMENTS:
        own = [line for line in lines if line["experiment"] == experiment.prefix]
        parts += [f"### {experiment.table.title}", experiment.table.paper_note]
        columns = {"row": "paper", "paper": "paper value", "here": "our value"}
        rows = [{title: line[key] for title, key in columns.items()} for line in own]
        parts += [markdown_table(pd.DataFrame(rows)), bullets(_origins(own))]
    return page(filter(None, parts))


def _origins(lines: Sequence[Mapping[str, str]]) -> list[str]:
    """Returns a sentence for every run behind some rows of one table."""
    runs: dict[tuple[str, ...], list[str]] = {}
    for line in (line for line in lines if line["our value"] != NOT_RUN):
        run = tuple(line[name] for name in ("data", "seeds", "time", "commit"))
        runs.setdefault(run, []).append(line["command"])
    if not runs:
        return ["Not run at this size."]
    return [
        f"Data: {data}; seeds: {seeds}; {time}; commit {commit}. Command of its first row, the "
        f"others likewise: `{commands[0]}`"
        for (data, seeds, time, commit), commands in runs.items()
    ]


def update(path: Path, folders: Sequence[Path]) -> list[dict]:
    """Brings the numbers of run directories to a page and its CSV file; returns the rows.

    Raises UserError if a folder holds no number of any table, or if the page lacks the marks.
    """
    runs = [read_run(folder) for folder in folders]
    for folder, run in zip(folders, runs):
        if not any(ledger_line(row, run) for row in ROWS):
            raise UserError(f"{folder} holds no number of a table; give runs of table scripts")
    text = path.read_text(encoding="utf-8") if path.exists() else f"{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"{path} must hold the lines {BEGIN!r} and {END!r}; give another --out")
    lines = merge(read_rows(path.with_suffix(".csv")), runs)
    frame = pd.DataFrame(lines, columns=COLUMNS)
    write_table(path, frame, f"{before}{BEGIN}\n\n{tables(lines)}\n{END}{after}")
    return lines


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python experiments/ledger.py", description=__doc__.split("\n")[0]
    )
    parser.add_argument("runs", nargs="*", type=Path, help="run directories of table scripts")
    parser.add_argument("--out", type=Path, default=PAGE, help="default: docs/results.md")
    options = parser.parse_args(argv)

    def work() -> None:
        lines = update(options.out, options.runs)
        missing = sum(line["our value"] == NOT_RUN for line in lines)
        print(f"{options.out}: {len(lines)} rows, {missing} not run")

    return exit_code(work, lambda: "the ledger is as it was; give the same command again")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
