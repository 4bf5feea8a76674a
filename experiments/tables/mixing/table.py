"""Table 5 of a run: CSV, Markdown with the thesis beside it, chart, claims and flat metrics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from data.pipeline import number_of_slices
from experiments.configs.table5 import Table5Config
from experiments.engine.cli import Launch, Script
from experiments.engine.evidence import command
from experiments.systems.structure_gan.context import Context
from experiments.tables.mixing.chart import draw_table5
from experiments.tables.mixing.claims import claims_text
from experiments.tables.mixing.rows import ROWS
from experiments.tables.mixing.scores import SCORES, read_results
from utils.errors import UserError
from utils.reporting.tables import markdown_table, write_table
from utils.runs.files import write_text
from utils.runs.run_directory import RunDirectory

CSV_COLUMNS = (
    *("no", "real", "synthetic", "enhanced", "mode", "seeds"),
    *("dice", "dice_std", "mse", "mse_std", "thesis_dice", "thesis_mse"),
)
METRIC_NOTE = """\
Dice and MSE are those of the original code: of label numbers a and b, (2 sum ab + e) / (sum a^2 +
sum b^2 + e) and mean (a - b)^2. They weigh classes by their number and serve the comparison with
the thesis. WT is the Dice of the whole tumour. All are means over slices and over the segmenter's
networks. "±" is the standard deviation over repeats, which differ in initial weights, order and
chosen part of the real data. Amounts are multiples of the real training set; every row presents
equally many slices. WT leaves out slices without lesion, real or found, and weighs patients by all
of their slices. Rows c10 and c20 are controls that the thesis lacks."""


def write_results(run: RunDirectory, script: Script, launch: Launch, context: Context) -> None:
    """Writes table5.csv, .md and .png, claims.md and metrics of all rows with a result.

    Raises UserError if no row has one.
    """
    config, results = launch.config, read_results(run.path / "rows", ROWS)
    if results.empty:
        raise UserError(f"No row of {run.path} is finished; run it with --stages rows,table")
    table = summarise(results)
    claims = claims_text(results, config.resamples, config.seed)
    text = "\n".join(
        [
            "# Table 5: real, synthetic and enhanced training data",
            "",
            _conditions(config, context, results),
            "",
            markdown_table(printed(table)),
            METRIC_NOTE,
            "",
            "## The thesis' claims",
            "",
            claims,
            f"Command: `{_command(script, launch, results)}`",
            "",
        ]
    )
    write_table(run.path / "table5.csv", table[list(CSV_COLUMNS)].round(6), text)
    write_text(run.path / "claims.md", f"# The claims of Table 5\n\n{claims}")
    draw_table5(table, run.path / "table5.png", context.data_note)
    run.update_metrics(flat_metrics(table))


def _command(script: Script, launch: Launch, results: pd.DataFrame) -> str:
    """Returns the command that gives these rows, however many starts it took."""
    rows = [row.no for row in ROWS if (results["no"] == row.no).any()]
    chosen = "all" if len(rows) == len(ROWS) else ",".join(rows)
    return command(script, launch, rows=chosen, seeds=results["repeat"].nunique())


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Returns one line per row with a result: `CSV_COLUMNS`, and dice_wt with dice_wt_std.

    A score is the mean over repeats of the mean over slices; its spread is the standard deviation
    over repeats (N - 1), NaN for a single one.
    """
    lines = []
    for row in (row for row in ROWS if (results["no"] == row.no).any()):
        repeats = results[results["no"] == row.no].groupby("repeat")
        line = {
            name: getattr(row, name) for name in ("no", "real", "synthetic", "enhanced", "mode")
        }
        line["seeds"] = len(repeats)
        for key in SCORES:
            values = [_mean_over_slices(patients, key) for _, patients in repeats]
            line[key] = np.nanmean(values) if np.isfinite(values).any() else np.nan
            line[f"{key}_std"] = np.std(values, ddof=1) if len(values) > 1 else np.nan
        thesis = {"thesis_dice": row.thesis_dice, "thesis_mse": row.thesis_mse}
        lines.append({**line, **thesis})
    frame = pd.DataFrame(lines)
    return frame.astype({"thesis_dice": float, "thesis_mse": float})


def _mean_over_slices(patients: pd.DataFrame, key: str) -> float:
    scored = patients.dropna(subset=[key])
    return np.average(scored[key], weights=scored["slices"]) if len(scored) else np.nan


def printed(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the table for people: ours with spread, the thesis, and the difference."""

    def spread(key: str) -> list[str]:
        pairs = zip(table[key], table[f"{key}_std"])
        return [f"{m:.3f}" if np.isnan(s) else f"{m:.3f} ± {s:.3f}" for m, s in pairs]

    amounts = {
        name: [f"{amount:g}" for amount in table[name]]
        for name in ("real", "synthetic", "enhanced")
    }
    return pd.DataFrame(
        {
            "no": table["no"],
            **amounts,
            "mode": table["mode"],
            "seeds": table["seeds"],
            "Dice": spread("dice"),
            "thesis": table["thesis_dice"],
            "difference": table["dice"] - table["thesis_dice"],
            "MSE": spread("mse"),
            "thesis MSE": table["thesis_mse"],
            "difference of MSE": table["mse"] - table["thesis_mse"],
            "WT": spread("dice_wt"),
        }
    )


def flat_metrics(table: pd.DataFrame) -> Mapping[str, float]:
    """Returns keys such as table5/row_07/dice, with the spreads that exist."""
    names = {row.no: row.name for row in ROWS}
    keys = ["seeds", *(f"{key}{end}" for key in SCORES for end in ("", "_std"))]
    values = {
        f"table5/{names[line['no']]}/{key}": line[key]
        for line in table.to_dict("records")
        for key in keys
    }
    return {key: float(value) for key, value in values.items() if np.isfinite(value)}


def _conditions(config: Table5Config, context: Context, results: pd.DataFrame) -> str:
    prepared, split = context.prepared, context.split
    size = number_of_slices(prepared, split.train)
    presented = config.schedule.total_steps(size) * config.schedule.batch_size
    return (
        f"Data: {context.data_note}. Trained on {size} slices of {len(split.train)} patients (1 "
        "in the columns real, synthetic, enhanced), tested on "
        f"{number_of_slices(prepared, split.test)} real slices of {len(split.test)} held-out "
        f"patients. Every row presents {presented} slices, as many as {presented / size:.3g} "
        "passes over the real ones (100 in the thesis; few mean that no row is trained to its "
        f"end). Segmenter: U-Net of width "
        f"{config.segmentation.width}, {config.inputs}; parts of the real data by {config.subset}; "
        f"up to {results['repeat'].nunique()} repeat(s)."
    )
