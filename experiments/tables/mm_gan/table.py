"""MM-GAN's Tables 1 and 2 and Figure 10: do new patients help a segmenter of volumes?

New patients are drawn with a finished run's generators. Each row's segmenter learns from its
mixture of real and new ones, with as many updates as the others, and is scored on the held-out
patients' volumes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from data.pipeline import RecordFile, subject_files
from data.slice_sets import real_slices
from data.synthetic_sets.mixing import Phase, Sources, mixed_batches, subset_ranks
from data.synthetic_sets.records import record_files
from experiments.configs import mm_gan_tables as configs
from experiments.engine.experiment import Experiment, Task, Training
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.sources import Finished
from experiments.engine.table import Table
from experiments.systems.mm_gan.dataset import draw_set
from experiments.systems.mm_gan.pictures import draw_regions
from experiments.systems.mm_gan.stages import TRAIN_MM_GAN, TRAIN_MM_GAN_LIVER
from experiments.tables.mixing.rows import Mixture
from experiments.tables.mm_gan import rows as tables
from experiments.tables.patients import differences, patients_file, read_patients, write_patients
from models.mm_gan_3d.regions import Regions
from utils.errors import UserError
from utils.inference import compiled, infer
from utils.metrics.volumes import mask_scores
from utils.reporting.charts import bar_panels, save_figure
from utils.seeding import derive_seed

ANALYSIS = ("rows", "segmenters", "resamples")  # on which no row's result depends
FIGURES = ("dice", "hd95", "missed")


def write(run: Run, table: Table, chart: bool) -> None:
    """Writes table, patients' scores, metrics and chart; trains what has no kept result."""
    config, regions = run.config, tuple(run.prepared.dataset.regions)
    rows = tables.chosen(config.rows, config.segmenters)
    sources = _sources(run, [mixture for _, mixture in rows.values()])
    settings = {key: v for key, v in asdict(config).items() if key not in ANALYSIS}

    def measure(row: str) -> dict[str, float]:
        scores = score_row(run, row, *rows[row], sources)
        write_patients(run, row, scores)
        by_region = scores.groupby("region")
        means, spread = by_region[list(FIGURES)].mean(), by_region["dice"].std(ddof=0)
        found = {f"{name}/{key}": means.loc[name, key] for name in regions for key in FIGURES}
        found.update({f"{name}/dice_std": spread[name] for name in regions})
        return {**found, **means.mean().to_dict()}

    table.measure(run, measure, settings, rows)
    for region in regions:
        found = _differences(run, table, region).to_dict("records")
        keys = {row.title: f"{table.key}/{row.key}/{region}/" for row in table.rows}
        names = ("difference", "low", "high", "p")
        run.update_metrics(
            {keys[line["row"]] + name: line[name] for line in found for name in names}
        )
    drawn = sum(len(file.keep) for file in sources.synthetic)
    notes = (
        "One training of each row, on one device. Differences are of Dice, patient by patient, "
        "with a 95 % BCa interval.",
        f"{drawn} new patients were drawn, none chosen.",
    )
    table.write(run, notes)
    if chart:
        bars = bar_panels(*table.bars(run.read_metrics()), note=run.data_note)
        save_figure(bars, run.path / f"{table.key}.png")


def _differences(run: Run, table: Table, region: str) -> pd.DataFrame:
    """Returns what each row's Dice of a region adds to that of the real patients alone."""
    rows = [row.key for row in table.rows if patients_file(run, row.key).exists()]
    results = pd.concat([read_patients(run, row, "dice") for row in rows])
    config, references = run.config, {row: tables.reference(row) for row in rows}
    results = results[results["region"] == region]
    return differences(results, table, references, config.resamples, config.seed)


def _sources(run: Run, mixtures: Sequence[Mixture]) -> Sources:
    """Returns the files of real and of new patients; draws as many as the mixtures need."""
    prepared, train, config = run.prepared, run.split.train, run.config
    wanted = round(max(mixture.synthetic for mixture in mixtures) * len(train))
    made: list[RecordFile] = []
    if wanted:
        folder = run.path / "made"
        draw_set(run.source, folder, replace(run.source.config.dataset, samples=wanted))
        made = record_files(folder, wanted, len(prepared.subject_ids))
    seed = derive_seed(config.seed, "subset")
    return Sources(
        subject_files(prepared, train), made, subset_ranks([1] * len(train), "patients", seed)
    )


def score_row(
    run: Run, key: str, segmenter: str, mixture: Mixture, sources: Sources
) -> pd.DataFrame:
    """Trains a row's segmenter; returns its scores, a line per held-out patient and region."""
    config, dataset = run.config, run.prepared.dataset
    steps = config.schedule.total_steps(len(run.split.train))
    seed = derive_seed(config.seed, "segmenter")  # all rows start alike
    channels = range(len(dataset.channels))
    with run.strategy.scope():
        tf.keras.utils.set_random_seed(seed)
        regions = list(dataset.regions.values())
        system = Regions(getattr(config, segmenter), channels, regions, steps)
    phases = mixture.phases(sources, steps * config.schedule.batch_size)
    Training(
        key,
        build=lambda run: system,
        batches=functools.partial(_batches, phases=phases),
        draw=draw_regions,
        keys=("images", "label", "seed", "source"),
        learning_rate=f"--{segmenter}.learning_rate",
        batch_size="--schedule.batch_size",
        schedule=lambda run, name: replace(config.schedule, steps=steps),
    ).perform(run, system)
    return _scores(run, system)


def _batches(run: Run, training: Training, phases: Sequence[Phase]) -> Any:
    seed = derive_seed(run.config.seed, "order")
    size = run.prepared.size
    return functools.partial(mixed_batches, phases, run.prepared.dataset, size, seed, seed)


def _scores(run: Run, system: Regions) -> pd.DataFrame:
    find, lines = compiled(system.synthesize), []
    dataset, spacing = run.prepared.dataset, run.source.config.slicing.spacing
    for patient in run.split.test:
        real = real_slices(run.prepared, [patient])
        found = infer(find, {"images": real.images}, 1)["regions"][0]
        number = run.prepared.subject_ids.index(patient)
        for k, (region, classes) in enumerate(dataset.regions.items()):
            scores = mask_scores(found[..., k] > 0, np.isin(real.label[0], classes), spacing)
            lines.append({"patient": number, "region": region, **scores})
    return pd.DataFrame(lines)


FEWEST = 6  # patients of whom a tenth is rounded to one


def _check_run(run: Run) -> None:
    """Raises UserError for a run that lacks a modality, or patients of whom to take a tenth."""
    config, channels = run.source.config, run.prepared.dataset.channels
    patients, rows = len(run.split.train), run.config.rows.split(",")
    if patients < FEWEST and {"10R", "FT"} & {row.strip() for row in rows}:
        raise UserError(
            f"The run {run.source.path} has {patients} training patients, of whom a tenth is none; "
            f"name a run with {FEWEST} or more, or leave 10R and FT out of --rows"
        )
    if config.made != channels:
        raise UserError(
            f"The run {run.source.path} makes {', '.join(config.made)}, but the segmenters see "
            f"{', '.join(channels)}; name a run that was made without --modalities"
        )


def _check(request: Request, strategy: tf.distribute.Strategy, table: Table) -> None:
    """Raises UserError for unknown rows or segmenters, or those that the table does not have."""
    known = [row.key for row in table.rows]
    for key in tables.chosen(request.config.rows, request.config.segmenters):
        if key not in known:
            raise UserError(
                f"--rows and --segmenters ask for {key}, but {table.title} has {', '.join(known)}"
            )


def volume_table(
    script: str,
    summary: str,
    presets: Mapping[str, Any],
    source: Experiment,
    table: Table,
    chart: bool = False,
) -> Experiment:
    """Returns the script of a table, or a figure, that works on a finished run of `source`."""
    return Experiment(
        f"experiments/{script}",
        summary,
        presets,
        stages=(Task("table", functools.partial(write, table=table, chart=chart)),),
        sources=Finished(source, _check_run),
        check=functools.partial(_check, table=table),
        outline=lambda request: f"rows: {request.config.rows} of {request.config.segmenters}",
        shown=("rows", "segmenters"),
        table=table,
    )


TABLE1_MM_GAN = volume_table(
    "table1_mm_gan.py",
    "MM-GAN Table 1: brain tumours in volumes, learned from real and from new patients.",
    configs.TABLE1,
    TRAIN_MM_GAN,
    tables.TABLE1,
)
TABLE2_MM_GAN = volume_table(
    "table2_mm_gan.py",
    "MM-GAN Table 2: liver lesions in volumes, learned from real and from new patients.",
    configs.TABLE2,
    TRAIN_MM_GAN_LIVER,
    tables.TABLE2,
)
FIGURE10_MM_GAN = volume_table(
    "figure10_mm_gan.py",
    "MM-GAN Fig. 10: segmenters that learn from new patients, then from a tenth of the real ones.",
    configs.FIGURE10,
    TRAIN_MM_GAN,
    tables.FIGURE10,
    chart=True,
)
