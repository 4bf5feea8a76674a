"""Trains and scores the rows of Table 5, one after the other, each from the same weights."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from data.pipeline import RecordFile, distributed, subject_files
from data.synthetic_sets.mixing import Phase, Sources, kept, mixed_batches, subset_ranks
from experiments.configs.table5 import Table5Config
from experiments.engine.fitting import check_first_batch
from experiments.systems.structure_gan.context import Context
from experiments.tables.mixing.rows import Row
from experiments.tables.mixing.scores import load_test_set, result_path, score
from models.structure_gan.segmentation import Segmentation
from utils.runs.files import write_json
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed
from utils.training.checkpoints import Checkpoints, newest_checkpoint
from utils.training.distribute import wait_for_all_workers
from utils.training.faults import Hints
from utils.training.trainer import CompiledSteps, Trainer

BATCH_KEYS = ("images", "label", "source")


class Bench:
    """One segmenter on which row after row is trained; it is compiled once.

    Args:
        config: of the table.
        context: the main run, whose patients and synthetic slices are used.
        run: the table's own run directory.
        synthetic: files of the synthetic slices.
    """

    def __init__(
        self,
        config: Table5Config,
        context: Context,
        run: RunDirectory,
        synthetic: Sequence[RecordFile],
    ):
        self.config, self.context, self.run = config, context, run
        self.real = subject_files(context.prepared, context.split.train)
        self.synthetic = synthetic
        self.steps = config.schedule.total_steps(kept(self.real))
        self.test = load_test_set(context)
        self.system = self._build(0)
        options = ("--segmentation.learning_rate", "--schedule.batch_size")
        self._hints = Hints(*options, context.prepared.size)
        self._compiled = CompiledSteps(self.system, context.strategy)
        self._find = tf.function(self.system.synthesize, autograph=False, reduce_retracing=True)

    def sources(self, repeat: int) -> Sources:
        """Returns what a repeat's sets are mixed from; each repeat has its own part of the real."""
        seed = derive_seed(self.config.seed, "subset", repeat)
        counts = [len(file.keep) for file in self.real]
        return Sources(self.real, self.synthetic, subset_ranks(counts, self.config.subset, seed))

    def finish(self, row: Row, repeat: int) -> None:
        """Brings a row to its result, from its checkpoint if there is one."""
        started, stage = time.monotonic(), f"{row.name}_seed_{repeat}"
        phases = row.phases(self.sources(repeat), self.steps * self.config.schedule.batch_size)
        self._reset(repeat)
        self._trainer(stage).fit(lambda step: self._batches(phases, repeat, step))
        if not self.run.writes:
            return
        result = {
            "no": row.no,
            "repeat": repeat,
            "training_slices": [kept(phase.files) for phase in phases],
            "presented_slices": [phase.examples for phase in phases],
            "seconds": round(time.monotonic() - started, 1),  # of the last start
            **score(self.find, self.test),
        }
        write_json(result_path(self.run.path / "rows", row, repeat), result)
        shutil.rmtree(self.run.checkpoints(stage), ignore_errors=True)

    def find(self, images: np.ndarray) -> np.ndarray:
        """Returns the labels [N,H,W,K] that the segmenter's K networks find in images [N,H,W,4]."""
        size = self.config.evaluation_batch_size
        starts = range(0, len(images), size)
        return np.concatenate(
            [self._find({"images": tf.constant(images[i : i + size])})["labels"] for i in starts]
        )

    def _build(self, repeat: int) -> Segmentation:
        with self.context.strategy.scope():
            tf.keras.utils.set_random_seed(derive_seed(self.config.seed, "weights", repeat))
            return Segmentation(self.config.segmentation, self.config.inputs)

    def _reset(self, repeat: int) -> None:
        """Puts weights and optimiser of a repeat's start into the segmenter.

        They travel through a checkpoint, so this start is as exact as any that is continued.
        """
        folder = self.initial(repeat)
        if newest_checkpoint(folder) is None:
            Checkpoints(self._build(repeat), folder, writes=self.run.writes).save(0)
        wait_for_all_workers(self.context.strategy)
        Checkpoints(self.system, folder, writes=self.run.writes).restore()

    def initial(self, repeat: int) -> Path:
        """Returns the checkpoint folder of a repeat's initial state."""
        return self.run.checkpoints(f"initial_seed_{repeat}")

    def _trainer(self, stage: str) -> Trainer:
        with self.context.strategy.scope():
            return Trainer(
                self.system,
                stage,
                self.run,
                self.config.schedule,
                self.steps,
                self.context.strategy,
                self._describe_source,
                compiled=self._compiled,
                hints=self._hints,
            )

    def _batches(self, phases: Sequence[Phase], repeat: int, step: int) -> Iterable:
        dataset = distributed(
            self.context.strategy,
            self.config.schedule.batch_size,
            make=mixed_batches,
            phases=phases,
            dataset=self.context.prepared.dataset,
            size=self.context.prepared.size,
            seed=derive_seed(self.config.seed, "order", repeat),
            enhancement_seed=derive_seed(self.config.seed, "enhancement"),
            first_step=step,
        )
        description = self.context.prepared.dataset
        check_first_batch(dataset, description, self.context.strategy, BATCH_KEYS)
        return dataset

    def _describe_source(self, source: np.ndarray) -> str:
        synthetic = len(self.context.prepared.subject_ids)
        real = [pair for pair in source if pair[0] < synthetic]
        drawn = [f"synthetic sample {number}" for subject, number in source if subject == synthetic]
        return "; ".join([*filter(None, [self.context.describe_source(real)]), *drawn])


def train_rows(bench: Bench, rows: Sequence[Row], seeds: int) -> None:
    """Finishes every row in every repeat; those that have their result are left alone."""
    folder = bench.run.path / "rows"
    for repeat in range(seeds):
        for number, row in enumerate(rows, start=1):
            if result_path(folder, row, repeat).exists():
                shutil.rmtree(bench.run.checkpoints(f"{row.name}_seed_{repeat}"), True)
                continue
            print(
                f"row {row.no} ({number} of {len(rows)}, repeat {repeat + 1} of {seeds}): "
                f"{row.describe()}",
                flush=True,
            )
            bench.finish(row, repeat)
        if bench.run.writes:
            shutil.rmtree(bench.initial(repeat), ignore_errors=True)
