"""What one training needs: its batches, checked, its sample pictures, its trainer."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Callable, Optional

import numpy as np
import tensorflow as tf

from data.contract import DataSet, check_batch
from data.pipeline import distributed
from models.system import GANSystem
from utils.metrics.collapse import collapse_figures
from utils.runs.files import write_json
from utils.training.faults import Hints
from utils.training.trainer import CompiledSteps, Samples, Trainer

if TYPE_CHECKING:
    from experiments.engine.experiment import Training
    from experiments.engine.run import Run

PICTURE_EXAMPLES, PICTURE_VOLUMES = 6, 2

Synthesize = Callable[[dict], dict]
Pictures = dict[str, np.ndarray]  # uint8 [H,W,3] by name
Draw = Callable[[Synthesize, dict, DataSet], Pictures]
Batches = Callable[[int], Iterable[dict[str, tf.Tensor]]]


def fit(
    run: Run, training: Training, system: GANSystem, compiled: Optional[CompiledSteps] = None
) -> tuple[Trainer, Batches]:
    """Returns the trainer of a stage's system, and its batches from a step on.

    Args:
        run: the run.
        training: the stage.
        system: with its initial weights, built under the run's strategy.
        compiled: the system's inner loop, if there is one.
    """
    name, schedule = training.name, run.schedule(training)
    settings = run.checkpoints(name) / "config.json"
    if run.writes and name not in run.borrowed and not settings.exists():
        write_json(settings, dataclasses.asdict(run.config))
    make = training.batches(run, training)
    synthesize = tf.function(system.synthesize, autograph=False)

    @functools.cache
    def examples() -> dict[str, tf.Tensor]:
        count = PICTURE_VOLUMES if run.prepared.dataset.rank == 3 else PICTURE_EXAMPLES
        return next(iter(make(batch_size=count)))

    def samples() -> Samples:
        outputs = synthesize(examples())
        pair = system.collapse_pair(outputs, examples())
        figures = {} if pair is None else collapse_figures(*pair)
        pictures = training.draw(lambda _: outputs, examples(), run.prepared.dataset)
        return Samples(pictures, figures)

    def batches(step: int) -> Iterable[dict[str, tf.Tensor]]:
        dataset = distributed(run.strategy, schedule.batch_size, make, first_step=step)
        check_first_batch(dataset, run.prepared.dataset, run.strategy, training.keys)
        return dataset

    with run.strategy.scope():
        trainer = Trainer(
            system,
            name,
            run,
            schedule,
            schedule.steps,
            run.strategy,
            run.describe,
            samples=samples if training.draw else None,
            compiled=compiled,
            hints=Hints(*training.options(run.config), run.prepared.size),
        )
    return trainer, batches


def check_first_batch(
    batches: Iterable[dict[str, tf.Tensor]],
    dataset: DataSet,
    strategy: tf.distribute.Strategy,
    required: Optional[Sequence[str]] = None,
) -> None:
    """Raises UserError if any replica's part of the first batch breaks the contract.

    A distributed data set starts anew for every iterator: the batch is also the first to train on.
    """
    batch = next(iter(batches))
    parts = {name: strategy.experimental_local_results(value) for name, value in batch.items()}
    for values in zip(*parts.values()):
        check_batch(dict(zip(parts, values)), dataset, required)
