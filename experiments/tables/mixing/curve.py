"""The learning curve: mixtures of few patients, from whom all networks learn.

Thesis Table 5 in the mode that a user with little data is in: structure maps, segmenters,
translator and generator, and the segmenter that is judged, see the same few patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pandas as pd
import tensorflow as tf

from data.splits import Cohort
from experiments.configs.brats import BratsConfig
from experiments.configs.learning_curve import PRESETS, LearningCurveConfig, numbers
from experiments.engine.experiment import Experiment, Option, Task
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.sources import Variants
from experiments.engine.table import Metric, Row, Table
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.tables.mixing.chart import draw_curve
from experiments.tables.mixing.claims import FEW_PATIENTS_CLAIMS, claims_text
from experiments.tables.mixing.rows import FEW_PATIENTS_ROWS, Mixture, choose_rows
from experiments.tables.mixing.scores import SCORES_NOTE, read_results, write_scores
from experiments.tables.mixing.training import settings_of, train_rows
from utils.errors import UserError
from utils.metrics.contrasts import Contrast, examine
from utils.reporting.tables import markdown_table
from utils.runs.files import write_text
from utils.seeding import derive_seed
from utils.training.trainer import check_batch_size

PRIMARY = "volume_dice_wt"
MODE = (
    "Mode: **the GAN sees the same patients**. For each number of patients and each generator seed "
    "the whole system, its lesion labels included, was trained on the patients from whom the "
    "segmenter's real slices are; the held-out patients are the same for all. Differences are "
    "averaged over the numbers of patients; a repeat is a generator seed, averaged over segmenters."
)
GAINS = (
    "Differences of the whole tumour's Dice at each number of patients: 95 % interval (low, high), "
    "p of no difference, which is not adjusted for the number of lines, and the true difference "
    "that so many held-out patients find in four of five studies (detectable)."
)
OPTION = Option(
    "systems",
    Optional[Path],
    None,
    "folder with a run of train_brats.py per number of patients and generator seed; made where "
    "missing (default: OUT/systems)",
)


def system_configs(config: LearningCurveConfig) -> Mapping[str, BratsConfig]:
    """Returns the configuration of each system by its folder's name, most patients first."""
    return {
        folder(number, seed): replace(
            config.generator,
            seed=config.seed + seed,
            cohort=Cohort(number, config.seed),
        )
        for number in reversed(numbers(config.patients))
        for seed in range(config.generators)
    }


def folder(number: int, seed: int) -> str:
    """Returns the name of the folder of one system, and of the segmenters beside it."""
    return f"patients_{number:03d}_seed_{seed}"


def train(run: Run) -> None:
    """Trains the chosen rows for every system, as far as they have no result yet."""
    rows = choose_rows(run.request.options["rows"], FEW_PATIENTS_ROWS)
    bench = None
    for name in system_configs(run.config):
        print(f"{name}: {len(rows)} rows, {run.config.repeats} repeats", flush=True)
        bench = train_rows(_part(run, name), rows, run.config.repeats, bench)


def _part(run: Run, name: str) -> Run:
    """Returns the run of one system's rows, in a folder of its own."""
    request = replace(run.request, out=run.path / name)
    part = Run(run.experiment, request, run.strategy, run.writes)
    return part.works_on({"main": run.sources[name]})


def results(run: Run) -> pd.DataFrame:
    """Returns finished results, see `read_results`, with the columns number and seed."""
    config, frames = run.config, []
    for number in numbers(config.patients):
        for seed in range(config.generators):
            rows = run.path / folder(number, seed) / "rows"
            patient_of = run.prepared.dataset.patient_of
            found = read_results(rows, FEW_PATIENTS_ROWS, settings_of(config), patient_of)
            frames.append(found.assign(number=number, seed=seed, slices=1))
    return pd.concat(frames, ignore_index=True)


def complete(found: pd.DataFrame) -> pd.DataFrame:
    """Returns the results of those systems whose rows are all finished.

    Rows that were trained on other systems than the rows they are compared with would differ by
    the number of patients, too.
    """
    trained = found.drop_duplicates(["number", "seed", "no", "repeat"])
    counts = trained.groupby(["number", "seed"])["no"].transform("size")
    whole = trained[counts == counts.max()][["number", "seed"]].drop_duplicates()
    return found.merge(whole, on=["number", "seed"])


METRICS = (
    Metric(
        PRIMARY,
        "Dice of the whole tumour's volume, mean over held-out patients (the endpoint)",
        1,
        spread=f"{PRIMARY}_std",
    ),
    Metric("volume_dice_tc", "likewise of the tumour core", 1, spread="volume_dice_tc_std"),
    Metric("volume_dice_et", "likewise of the enhancing tumour", 1, spread="volume_dice_et_std"),
    Metric(
        "lesionwise_dice_wt",
        "Dice of the single lesions of the whole tumour, as BraTS scores it since 2023",
        1,
        spread="lesionwise_dice_wt_std",
    ),
    Metric("dice", "label-index Dice of slices, as in the thesis", 1, spread="dice_std"),
)
TABLE = Table(
    "learning_curve",
    "Learning curve: segmenters and GAN on the same few patients",
    rows=tuple(Row(row.name, f"{row.no}: {row.describe()}") for row in FEW_PATIENTS_ROWS),
    metrics=METRICS,
    paper_note="Numbers of rows are those of the thesis' Table 5; cm is copy-paste in the manner "
    "of CarveMix. All amounts are multiples of the real slices of the few patients; every row "
    "presents equally many slices. The first table is the mean over the numbers of patients; ± is "
    f"the standard deviation over generator seeds and repeats. {SCORES_NOTE}",
)


def measured_table(config: LearningCurveConfig) -> Table:
    """Returns the table with a part for each number of patients."""
    return replace(TABLE, parts=[f"{number} patients" for number in numbers(config.patients)])


def figures(found: pd.DataFrame) -> dict[str, float]:
    """Returns means over patients and repeats, with spreads over repeats, by their keys."""
    keys, values = [metric.key for metric in METRICS], {}
    names = {row.no: row.name for row in FEW_PATIENTS_ROWS}
    of_repeats = found.groupby(["no", "number", "seed", "repeat"])[keys].mean()
    for (no, number), part in of_repeats.groupby(["no", "number"]):
        place = f"{TABLE.key}/{names[no]}/{number} patients/"
        for key in keys:
            values[f"{place}{key}"] = part[key].mean()
            values[f"{place}{key}_std"] = part[key].std()
    for no, part in of_repeats.groupby(["no", "number"]).mean().groupby("no"):
        values.update({f"{TABLE.key}/{names[no]}/{key}": part[key].mean() for key in keys})
    return {key: float(value) for key, value in values.items() if pd.notna(value)}


def gains(found: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Returns each mixture's difference to the real slices alone, for each number of patients.

    The p-values are not adjusted for being many.
    """
    lines = []
    for number, part in found.groupby("number"):
        part = part.assign(repeat=part["seed"] * (part["repeat"].max() + 1) + part["repeat"])
        for row in FEW_PATIENTS_ROWS[1:]:
            contrast = Contrast(row.describe(), [(row.no, "1")], 1)
            chance = derive_seed(seed, "gain", int(number), row.no)
            finding = examine(contrast, part, resamples, chance, PRIMARY)
            if finding.interval:
                line = {"patients": number, "row": f"{row.no}: {row.describe()}"}
                line.update(zip(("difference", "low", "high"), finding.interval))
                lines.append({**line, "p": finding.p_value, "detectable": finding.detectable})
    return pd.DataFrame(lines)


def write(run: Run) -> None:
    """Writes learning_curve.csv, .md and .png, scores.csv, claims.md, gains.csv and metrics.

    Raises UserError if no row has a result.
    """
    config, everything = run.config, results(run)
    if everything.empty:
        raise UserError(
            f"No row of the learning curve is finished in {run.path}; run the script again with "
            f"--out {run.path} --resume --stages rows,table"
        )
    found = complete(everything)
    write_scores(run, found)
    run.update_metrics(figures(found), f"{TABLE.key}/")
    by_generator = found.groupby(["no", "seed", "patient"], as_index=False).mean(numeric_only=True)
    claims = claims_text(
        by_generator.assign(repeat=by_generator["seed"]),
        config.resamples,
        config.seed,
        FEW_PATIENTS_CLAIMS,
        PRIMARY,
        "the whole tumour's Dice of volumes of real held-out patients",
        MODE,
        len(found.drop_duplicates(["number", "seed", "repeat"])),
    )
    difference = gains(found, config.resamples, config.seed)
    sections = ["## The thesis' claims", claims]
    if len(difference):
        write_text(run.path / "gains.csv", difference.to_csv(index=False))
        sections += ["## Differences to the real slices alone", GAINS, markdown_table(difference)]
    done = [row.no for row in FEW_PATIENTS_ROWS if (found["no"] == row.no).any()]
    rows = "all" if len(done) == len(FEW_PATIENTS_ROWS) else ",".join(done)
    measured_table(config).write(run, _conditions(run, found), sections, rows=rows)
    write_text(run.path / "claims.md", f"# The claims of Table 5, few patients\n\n{claims}")
    draw_curve(found, PRIMARY, run.path / "learning_curve.png", run.data_note)


def _conditions(run: Run, found: pd.DataFrame) -> list[str]:
    config = run.config
    places = found[["number", "seed"]].drop_duplicates().itertuples(index=False)
    done = [folder(*place) for place in places]
    left_out = [name for name in system_configs(config) if name not in done]
    notes = [
        f"{config.generators} generator seed(s), each with patients of its own choice, and "
        f"{config.repeats} segmenter(s) on each mixture; {_length(config)} of "
        f"{config.schedule.batch_size} slices. Segmenter: U-Net of width "
        f"{config.segmentation.width}, {config.inputs}."
    ]
    if left_out:
        notes.append(f"Left out, because rows of them are unfinished: {', '.join(left_out)}.")
    return notes


def _length(config: LearningCurveConfig) -> str:
    schedule = config.schedule
    return f"{schedule.steps} updates" if schedule.steps else f"{schedule.epochs} real epochs"


def check(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError for unknown rows, settings that the curve makes, or unequal batches."""
    config, generator = request.config, request.config.generator
    choose_rows(request.options["rows"], FEW_PATIENTS_ROWS)
    check_batch_size("--schedule.batch_size", config.schedule.batch_size, strategy)
    if (generator.seed, generator.cohort) != (0, Cohort()):
        raise UserError(
            "--generator.seed and --generator.cohort are set for each system; give --patients and "
            "--seed instead"
        )


def outline(request: Request) -> str:
    """Returns the systems and rows of a dry run."""
    config, schedule = request.config, request.config.schedule
    rows: Sequence[Mixture] = choose_rows(request.options["rows"], FEW_PATIENTS_ROWS)
    first = f"systems: {', '.join(system_configs(config))}; {config.repeats} repeats of each row"
    each = f"each row: {_length(config)} of batch {schedule.batch_size}"
    return "\n".join([first, each, "", *(f"  {row.no:>3}  {row.describe()}" for row in rows)])


LEARNING_CURVE = Experiment(
    "experiments/learning_curve.py",
    "Learning curve: Table 5 with few patients, from whom the GAN learns too.",
    PRESETS,
    stages=(Task("rows", train, alone=False), Task("table", write)),
    sources=Variants(TRAIN_BRATS, OPTION, system_configs, shared=lambda split: split.test),
    check=check,
    outline=outline,
    options=(
        OPTION,
        Option("rows", str, "all", "all, or some of 1,3,13,15,21,24,25,cm (cm: copy-paste)"),
    ),
    table=TABLE,
)
