"""Thesis Table 5 (5.6.1): segmenters trained on real, synthetic and augmented slices.

The early paper's Table 2 is the same under other numbers, on a run of `train_early.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import tensorflow as tf

from data.pipeline import number_of_slices
from experiments.configs.early_tables import TABLE2 as EARLY_PRESETS
from experiments.configs.table5 import PRESETS, MixingConfig
from experiments.engine.experiment import Experiment, Option, Task
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.sources import Finished
from experiments.engine.table import Metric, Row, Table
from experiments.systems.structure_gan.early import TRAIN_EARLY
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.tables.mixing.chart import draw_table
from experiments.tables.mixing.claims import claims_text
from experiments.tables.mixing.rows import EARLY, ROWS, THESIS, Mixture, Paper, choose_rows
from experiments.tables.mixing.scores import SCORES, SCORES_NOTE, read_results, write_scores
from experiments.tables.mixing.training import segmenter_words, settings_of, train_rows
from utils.errors import UserError
from utils.runs.files import write_text
from utils.training.trainer import check_batch_size

VOLUME_DICE = {
    "volume_dice_wt": "whole tumour",
    "volume_dice_tc": "tumour core",
    "volume_dice_et": "enhancing tumour",
}


def _row(mixture: Mixture, name: str) -> Row:
    paper = {"dice": mixture.thesis_dice, "mse": mixture.thesis_mse}
    title = f"{mixture.no}: {mixture.describe()}"
    control = mixture.thesis_dice is None
    return Row(
        mixture.name,
        title,
        {} if control else paper,
        f"control {title}" if control else f"{name}, {title}",
        {"rows": mixture.no},
        "control, not in the thesis" if control else "-",
    )


METRICS = (
    Metric(
        "dice",
        "the original code's Dice of label numbers a and b, (2 sum ab + e) / (sum a^2 +"
        " sum b^2 + e), which weighs classes by their number and serves the comparison with "
        "the thesis",
        1,
        spread="dice_std",
    ),
    Metric("mse", "likewise mean (a - b)^2", -1, spread="mse_std"),
    Metric(
        "dice_wt",
        "Dice of the whole tumour; leaves out slices without lesion, real or found, and weighs "
        "patients by all of their slices",
        1,
        spread="dice_wt_std",
    ),
    *(
        Metric(
            key,
            f"3-D Dice of the {words} in each patient's slices; leaves out patients without "
            "one, real or found",
            1,
            spread=f"{key}_std",
        )
        for key, words in VOLUME_DICE.items()
    ),
    Metric("seeds", "number of repeats", whole=True),
)


NOTE = (
    "Metrics are means over the segmenter's networks, and over slices or, where "
    "they begin with volume, over patients; ± is the standard deviation over repeats, which "
    "differ in initial weights, order and chosen part of the real data. The printed numbers "
    "are of BRATS 2015; differences are ours - printed. Amounts are multiples of the real "
    "training set; every row presents equally many slices. Rows c10 and c20 are controls that "
    f"the paper lacks. {SCORES_NOTE}"
)


def table_of(paper: Paper) -> Table:
    """Returns a paper's table."""
    return Table(
        paper.key,
        paper.title,
        rows=[_row(row, paper.name) for row in paper.rows],
        metrics=METRICS,
        paper_note=NOTE if paper is THESIS else f"As in the thesis' Table 5. {NOTE}",
        ledger={"MSE": "mse", "Dice": "dice"},
    )


def train(run: Run, paper: Paper) -> None:
    """Trains the chosen rows that have no result yet."""
    options = run.request.options
    train_rows(run, choose_rows(options["rows"], paper.rows), options["seeds"])


def write(run: Run, paper: Paper) -> None:
    """Writes table, chart, scores.csv, claims.md and metrics of all rows with a result.

    Raises UserError if no row has one.
    """
    config = run.config
    patient_of = run.prepared.dataset.patient_of
    results = read_results(run.path / "rows", paper.rows, settings_of(config), patient_of)
    if results.empty:
        raise UserError(
            f"No row of {paper.name} is finished in {run.path}; run the script again with --out "
            f"{run.path} --resume --stages rows,table"
        )
    summary = summarise(results, paper.rows)
    run.update_metrics(flat_metrics(summary, paper), f"{paper.key}/row_")
    write_scores(run, results)
    in_thesis = results.assign(no=results["no"].map(paper.in_thesis))
    claims = claims_text(in_thesis, config.resamples, config.seed, numbers=paper.numbers)
    done = [row.no for row in paper.rows if (results["no"] == row.no).any()]
    options = {
        "rows": "all" if len(done) == len(paper.rows) else ",".join(done),
        "seeds": results["repeat"].nunique(),
    }
    sections = ("## The thesis' claims", claims)
    table_of(paper).write(run, [_conditions(run, results)], sections, **options)
    write_text(run.path / "claims.md", f"# The claims of {paper.name}\n\n{claims}")
    draw_table(summary, paper, run.path / f"{paper.key}.png", run.data_note)


def summarise(results: pd.DataFrame, rows: Sequence[Mixture] = ROWS) -> pd.DataFrame:
    """Returns one line per row with a result: amounts, seeds, scores with spread, the thesis'.

    A score is the mean over repeats of the mean over slices, or over patients for those of volumes;
    its spread is the standard deviation over repeats (N - 1), NaN for a single one.
    """
    lines = []
    for row in (row for row in rows if (results["no"] == row.no).any()):
        repeats = results[results["no"] == row.no].groupby("repeat")
        line = {
            name: getattr(row, name) for name in ("no", "real", "synthetic", "augmented", "mode")
        }
        line["seeds"] = len(repeats)
        for key in (*SCORES, *VOLUME_DICE):
            mean = _mean_over_slices if key in SCORES else _mean_over_patients
            values = [mean(patients, key) for _, patients in repeats]
            line[key] = np.nanmean(values) if np.isfinite(values).any() else np.nan
            line[f"{key}_std"] = np.std(values, ddof=1) if len(values) > 1 else np.nan
        thesis = {"thesis_dice": row.thesis_dice, "thesis_mse": row.thesis_mse}
        lines.append({**line, **thesis})
    frame = pd.DataFrame(lines)
    return frame.astype({"thesis_dice": float, "thesis_mse": float})


def _mean_over_slices(patients: pd.DataFrame, key: str) -> float:
    scored = patients.dropna(subset=[key])
    return np.average(scored[key], weights=scored["slices"]) if len(scored) else np.nan


def _mean_over_patients(patients: pd.DataFrame, key: str) -> float:
    return patients[key].mean()


def flat_metrics(summary: pd.DataFrame, paper: Paper = THESIS) -> Mapping[str, float]:
    """Returns keys such as table5/row_07/dice, with the spreads that exist."""
    names = {row.no: row.name for row in paper.rows}
    keys = ["seeds", *(f"{key}{end}" for key in (*SCORES, *VOLUME_DICE) for end in ("", "_std"))]
    values = {
        f"{paper.key}/{names[line['no']]}/{key}": line[key]
        for line in summary.to_dict("records")
        for key in keys
    }
    return {key: float(value) for key, value in values.items() if np.isfinite(value)}


def _conditions(run: Run, results: pd.DataFrame) -> str:
    prepared, split, config = run.prepared, run.split, run.config
    size = number_of_slices(prepared, split.train)
    presented = config.schedule.total_steps(size) * config.schedule.batch_size
    return (
        f"Trained on {size} slices (1 in the amounts), tested on "
        f"{number_of_slices(prepared, split.test)} real slices of the held-out patients. Every row "
        f"presents {presented} slices, as many as {presented / size:.3g} epochs of the real ones "
        "(100 in the thesis; with few epochs no row is trained to its end). Segmenter: "
        f"{segmenter_words(config)}; parts of the real data by "
        f"{config.subset}; up to {results['repeat'].nunique()} repeat(s)."
    )


def check(request: Request, strategy: tf.distribute.Strategy, paper: Paper) -> None:
    """Raises UserError for unknown rows, no repeats, or batches that replicas cannot share."""
    choose_rows(request.options["rows"], paper.rows)
    if request.options["seeds"] < 1:
        raise UserError(f"--seeds is {request.options['seeds']}; give 1 or more")
    batch_size = request.config.schedule.batch_size
    check_batch_size("--schedule.batch_size", batch_size, strategy)


def outline(request: Request, paper: Paper) -> str:
    """Returns the rows of a dry run."""
    schedule = request.config.schedule
    length = f"{schedule.steps} steps" if schedule.steps else f"{schedule.epochs} real epochs"
    first = (
        f"each row: {length} of batch {schedule.batch_size}; repeats: {request.options['seeds']}"
    )
    rows = choose_rows(request.options["rows"], paper.rows)
    return "\n".join([first, "", *(f"  {row.no:>3}  {row.describe()}" for row in rows)])


def mixing_experiment(
    script: str, paper: Paper, presets: Mapping[str, MixingConfig], main: Experiment
) -> Experiment:
    """Returns the experiment of a paper's table on a finished run of `main`."""
    examples = ",".join(paper.numbers[no] for no in ("1", "3", "7"))
    words = f"all, or numbers such as {examples},c10 (c10, c20: real alone)"
    return Experiment(
        script,
        f"{paper.title.partition(':')[0]}: train segmenters on mixtures of real, synthetic and "
        "augmented slices, test on real ones.",
        presets,
        stages=(
            Task("rows", partial(train, paper=paper), alone=False),
            Task("table", partial(write, paper=paper)),
        ),
        sources=Finished(main),
        check=partial(check, paper=paper),
        outline=partial(outline, paper=paper),
        options=(
            Option("rows", str, "all", words),
            Option("seeds", int, 1, "repeats of every row, with other weights, order and part"),
        ),
        table=table_of(paper),
    )


TABLE5 = mixing_experiment("experiments/table5_mixing.py", THESIS, PRESETS, TRAIN_BRATS)
TABLE2_EARLY = mixing_experiment("experiments/table2_early.py", EARLY, EARLY_PRESETS, TRAIN_EARLY)
