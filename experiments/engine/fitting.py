"""Bringing one system to the end of its schedule: pipeline, checks, pictures, trainer."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, Optional

import numpy as np
import tensorflow as tf

from data.contract import DataSet, check_batch
from data.pipeline import distributed, training_batches
from experiments.engine.run_context import RunContext
from models.system import GANSystem
from utils.config import flatten
from utils.metrics.collapse import collapse_figures
from utils.runs.files import write_json
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed
from utils.training.faults import Hints
from utils.training.trainer import Samples, Schedule, Trainer

PICTURE_EXAMPLES = 6

Synthesize = Callable[[dict], dict]
Draw = Callable[[Synthesize, dict], dict[str, np.ndarray]]


def train_stage(
    context: RunContext, stage: str, system: GANSystem, draw: Draw, **pipeline: Any
) -> None:
    """Trains a stage's system on the stage's subjects, from wherever its checkpoint stands.

    Args:
        context: the run.
        stage: its name in configuration and run directory.
        system: with its initial weights.
        draw: sample pictures by name from `system.synthesize` and fixed examples.
        pipeline: arguments of `data.pipeline.training_batches`, at least `maps`.
    """
    config = context.config
    settings = context.run.checkpoints(stage) / "config.json"
    if context.run.writes and not settings.exists():
        write_json(settings, dataclasses.asdict(config))
    arguments = {
        "prepared": context.prepared,
        "subject_ids": context.subjects(stage),
        "seed": derive_seed(config.seed, stage, "data"),
        **pipeline,
    }
    schedule = dataclasses.replace(
        getattr(config.schedule, stage), steps=context.total_steps(stage)
    )
    rate = _learning_rate(stage, flatten(dataclasses.asdict(config)))
    hints = Hints(rate, f"--schedule.{stage}.batch_size", context.prepared.size)
    fit(system, stage, schedule, context, context.run, draw, arguments, hints)


def _learning_rate(stage: str, settings: Mapping[str, Any]) -> str:
    """Returns the option of a stage's rate; that of pretraining is in another stage's group."""
    found = [name for name in settings if f".{name}".endswith(f".{stage}.learning_rate")]
    return f"--{min(found, key=len)}"


def fit(
    system: GANSystem,
    stage: str,
    schedule: Schedule,
    context: RunContext,
    run: RunDirectory,
    draw: Draw,
    arguments: Mapping[str, Any],
    hints: Hints,
) -> None:
    """Trains a system for `schedule.steps` updates and writes to `run`, resuming what is there.

    Args:
        system: with its initial weights.
        stage: its name in `run`.
        schedule: with the number of updates.
        context: the run whose data is used, which may be another than `run`.
        run: where checkpoints, pictures and logs go.
        draw: as in `train_stage`.
        arguments: all of `training_batches` but batch size and first step.
        hints: options that the sentences about faults name.
    """
    synthesize = tf.function(system.synthesize, autograph=False)
    data = arguments["prepared"].dataset
    required = None if arguments["maps"] else (*data.keys, "seed", "source")

    @functools.cache
    def examples() -> dict[str, tf.Tensor]:
        return next(iter(training_batches(batch_size=PICTURE_EXAMPLES, **arguments)))

    def samples() -> Samples:
        outputs = synthesize(examples())
        pair = system.compared(outputs, examples())
        figures = {} if pair is None else collapse_figures(*pair)
        return Samples(draw(lambda _: outputs, examples()), figures)

    def batches(step: int) -> Iterable[dict[str, tf.Tensor]]:
        dataset = distributed(context.strategy, schedule.batch_size, first_step=step, **arguments)
        check_first_batch(dataset, data, context.strategy, required)
        return dataset

    with context.strategy.scope():
        Trainer(
            system,
            stage,
            run,
            schedule,
            schedule.steps,
            context.strategy,
            context.describe_source,
            samples=samples,
            hints=hints,
        ).fit(batches)


def check_first_batch(
    batches: Iterable[dict[str, tf.Tensor]],
    dataset: DataSet,
    strategy: tf.distribute.Strategy,
    required: Optional[Sequence[str]] = None,
) -> None:
    """Raises UserError if any replica's part of the first batch breaks `data.contract`.

    Distributed batches start anew for every iterator: the batch is also the first to train on.
    """
    batch = next(iter(batches))
    parts = {name: strategy.experimental_local_results(value) for name, value in batch.items()}
    for values in zip(*parts.values()):
        check_batch(dict(zip(parts, values)), dataset, required)
