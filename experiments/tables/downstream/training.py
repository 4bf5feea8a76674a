"""What Tables 6, 7 and 8 share: trainings with and without synthetic images, and their scores."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf

from data.pipeline import number_of_slices
from data.slice_sets import Slices, real_slices, stored_slices
from data.synthetic_sets.records import Record, write_records
from experiments.engine.experiment import Experiment, Task, Training
from experiments.engine.fitting import Draw
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.sources import Finished
from experiments.engine.table import Row, Table
from experiments.tables.patients import read_patients, write_patients
from models.system import GANSystem
from utils.metrics.contrasts import (
    NOT_RUN,
    NOT_SUPPORTED,
    SUPPORTED,
    UNDECIDED,
    Contrast,
    examine,
)
from utils.reporting.tables import markdown_table
from utils.seeding import derive_seed
from utils.training.trainer import check_batch_size

REAL, MIXED = "real", "real_synthetic"
MADE = "synthetic images"
VERDICTS = (UNDECIDED, SUPPORTED, NOT_SUPPORTED, NOT_RUN)  # by their numbers in metrics.json
ANALYSIS = ("resamples",)  # on which no row's result depends


class Scores(NamedTuple):
    """How well one network does.

    Attributes:
        figures: of all images together, by `[<part>/]<metric>`.
        patients: columns patient, slices (number of images) and `score`, a line per patient.
    """

    figures: Mapping[str, float]
    patients: pd.DataFrame


class Downstream(NamedTuple):
    """A task that real and synthetic images are learnt for.

    Attributes:
        table: its rows are `REAL` and `MIXED`.
        build: function from (the table's run, number of updates) to a network with initial weights.
        score: function from (run, network, images with labels) to its scores.
        score_name: the metric that the patients' scores are of.
        labelled: function from (run, synthetic images) to those with labels as the network learns
            them.
        label: function from (slices, row number) to the label as `serialize_record` takes it.
        keys: batch keys that the network reads.
        draw: its pictures.
        data: function from the run to one with the images that the network learns from.
    """

    table: Table
    build: Callable[[Run, int], GANSystem]
    score: Callable[[Run, GANSystem, Slices], Scores]
    score_name: str
    labelled: Callable[[Run, Slices], Slices]
    label: Callable[[Slices, int], np.ndarray]
    keys: tuple[str, ...]
    draw: Draw
    data: Callable[[Run], Run] = lambda run: run


def rows(place: str, real: Mapping[str, float], mixed: Mapping[str, float]) -> tuple[Row, ...]:
    """Returns the two rows of a table; `real` and `mixed` are the thesis' numbers."""
    return (
        Row(REAL, "real", real, f"{place}, real"),
        Row(MIXED, "real + synthetic", mixed, f"{place}, real + synthetic"),
    )


def write(run: Run, downstream: Downstream) -> None:
    """Writes the table and its metrics; trains what has no kept result."""
    table, config = downstream.table, run.config
    settings = {key: v for key, v in asdict(config).items() if key not in ANALYSIS}
    run = downstream.data(run)

    def measure(row: str) -> dict[str, float]:
        found, frames = [], []
        for repeat in range(config.repeats):
            scores = _trained(run, downstream, row, repeat)
            found.append(scores.figures)
            frames.append(scores.patients.assign(repeat=repeat))
        write_patients(run, row, pd.concat(frames))
        figures = pd.DataFrame(found)
        spread = {f"{key}_std": v for key, v in figures.std(ddof=0).items()}
        return {**figures.mean().to_dict(), **spread, "seeds": config.repeats}

    table.measure(run, measure, settings)
    finding = difference(run, downstream)
    found = {name: float(finding[name].iloc[0]) for name in ("difference", "low", "high")}
    found["verdict"] = VERDICTS.index(finding["verdict"].iloc[0])
    place = f"{table.key}/finding/"
    run.update_metrics({f"{place}{key}": v for key, v in found.items() if np.isfinite(v)}, place)
    notes = (
        f"{config.repeats} trainings of each row, of as many updates; ± is their standard "
        "deviation.",
        f"{added(run)} synthetic images, none chosen, mixed with the real ones at random.",
    )
    table.write(run, notes, ["## Difference to the real images alone", markdown_table(finding)])


def difference(run: Run, downstream: Downstream) -> pd.DataFrame:
    """Returns what synthetic images add to the patients' scores, with its 95 % BCa interval."""
    parts = [read_patients(run, row, "score") for row in (REAL, MIXED)]
    contrast = Contrast(downstream.score_name, [(MIXED, REAL)], 1)
    seed = derive_seed(run.config.seed, "difference")
    finding = examine(contrast, pd.concat(parts), run.config.resamples, seed, "score")
    line = dict(zip(("difference", "low", "high"), finding.interval))
    more = {"p": finding.p_value, "detectable": finding.detectable, "verdict": finding.verdict}
    return pd.DataFrame([{"score": downstream.score_name, **line, **more}])


def claim(table: Table, figures: Mapping[str, float], metric: str, words: str) -> list[str]:
    """Returns a sentence on the thesis' claim that synthetic images raise a metric.

    The verdict is that of the difference by patient, see `utils.metrics.contrasts`.
    """
    if not table.measured(figures, REAL, MIXED):
        return []
    real, mixed = (table.value(figures, row, metric) for row in (REAL, MIXED))
    names = ("difference", "low", "high", "verdict")
    by, low, high, verdict = (table.value(figures, "finding", name) for name in names)
    text = f"The thesis claims that synthetic images raise the {words}. Here it is {mixed:.3f} with"
    text += f" them and {real:.3f} without."
    if np.isfinite(by):
        text += f" By patient the difference is {by:+.3f} ({low:+.3f} to {high:+.3f}): the claim"
        text += f" is {VERDICTS[int(verdict)]}."
    return [text]


def added(run: Run) -> int:
    """Returns how many synthetic images are added: those asked for, or all that there are."""
    return min(run.config.synthetic, run.source.config.dataset.samples)


def _trained(run: Run, downstream: Downstream, row: str, repeat: int) -> Scores:
    """Trains one network and returns its scores on the held-out images.

    Of the network that has seen real images only, figures of the synthetic set are added, as
    `synthetic/<metric>`: whether it finds there what the labels say.
    """
    config = run.config
    steps = config.schedule.total_steps(number_of_slices(run.prepared, run.split.train))
    learning = _with_synthetic(run, downstream) if row == MIXED else run
    seed = derive_seed(config.seed, "downstream", repeat)
    with run.strategy.scope():
        tf.keras.utils.set_random_seed(seed)
        system = downstream.build(run, steps)
    training = Training(
        f"{row}_{repeat}",
        build=lambda run: system,
        batches=functools.partial(_batches, seed=seed),
        draw=downstream.draw,
        keys=downstream.keys,
        learning_rate="--network.learning_rate",
        batch_size="--schedule.batch_size",
        schedule=lambda run, name: replace(config.schedule, steps=steps),
    )
    training.perform(learning, system)
    scores = downstream.score(run, system, real_slices(run.prepared, run.split.test))
    if row == MIXED:
        return scores
    fake = downstream.labelled(run, stored_slices(run.source.synthetic, added(run)))
    figures = downstream.score(run, system, fake).figures
    agreement = {f"synthetic/{key}": v for key, v in figures.items() if "/" not in key}
    return scores._replace(figures={**scores.figures, **agreement})


def _batches(run: Run, training: Training, seed: int) -> Any:
    augmentation = run.config.augmentation
    return run.pipeline(training, maps=None, augmentation=augmentation, seed=seed)


def _with_synthetic(run: Run, downstream: Downstream) -> Run:
    """Returns the run with synthetic images beside the real ones that it learns from."""
    count, path = added(run), run.path / "made" / f"{added(run):06d}.tfrecord"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_records(path, _records(run, downstream, count))
    return run.changed(
        prepared=run.prepared.with_subject(MADE, path, count),
        split=replace(run.split, train=(*run.split.train, MADE)),
    )


def _records(run: Run, downstream: Downstream, count: int) -> Iterator[Record]:
    subject = len(run.prepared.subject_ids)
    slices = downstream.labelled(run, stored_slices(run.source.synthetic, count))
    for number, image in enumerate(slices.images):
        yield np.clip(image, 0, 1), downstream.label(slices, number), (subject, number)


def _check(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError for batches that the replicas cannot share."""
    check_batch_size("--schedule.batch_size", request.config.schedule.batch_size, strategy)


def _check_network(run: Run) -> None:
    """Raises UserError for images, or a motion of their labels, that the table cannot take."""
    run.config.augmentation.check(run.prepared.dataset)
    run.config.network.check_image_size(run.prepared.size)


def downstream_experiment(
    script: str,
    summary: str,
    presets: Mapping[str, Any],
    source: Experiment,
    downstream: Downstream,
) -> Experiment:
    """Returns the script of a table that works on a finished run of `source`."""
    return Experiment(
        script,
        summary,
        presets,
        stages=(Task("table", functools.partial(write, downstream=downstream), alone=False),),
        sources=Finished(source, _check_network),
        check=_check,
        shown=("synthetic", "repeats"),
        table=downstream.table,
    )
