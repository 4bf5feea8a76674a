"""Trains and scores the rows of Table 5, one after the other, each from the same weights."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from data.brats.slices import voxel_size
from data.pipeline import RecordFile, number_of_slices, subject_files
from data.slice_sets import Slices, real_slices
from data.synthetic_sets.mixing import Phase, Sources, mixed_batches, number_kept, subset_ranks
from data.synthetic_sets.pasting import pasted_files
from data.synthetic_sets.records import record_files
from experiments.configs.table5 import MixingConfig
from experiments.engine.experiment import Training
from experiments.engine.run import Run
from experiments.tables.mixing.rows import Mixture
from experiments.tables.mixing.scores import score
from experiments.tables.mixing.synthetic import draw_selected
from models.early_gan.config import LesionNetsConfig
from models.early_gan.lesions import LesionNets
from models.lesions import Segmentation
from utils.inference import compiled, infer
from utils.runs.results import kept, read_kept
from utils.seeding import derive_seed
from utils.training.checkpoints import Checkpoints, newest_checkpoint
from utils.training.distribute import wait_for_all_workers
from utils.training.trainer import CompiledSteps

LENGTHS = ("patients", "generators", "repeats")  # of a learning curve: more of them add results


def train_rows(
    run: Run, rows: Sequence[Mixture], seeds: int, like: Optional[Bench] = None
) -> Bench:
    """Finishes every row in every repeat; those that have their result are left alone.

    Args:
        run: of the table.
        rows: which mixtures are trained.
        seeds: number of repeats.
        like: the bench of another run with equal settings and held-out patients.

    Returns:
        The bench, for the next run.
    """
    bench = Bench.of(run, rows, like)
    for repeat in range(seeds):
        for number, row in enumerate(rows, start=1):
            if row_result(run, row, repeat) is None:
                print(
                    f"row {row.no} ({number} of {len(rows)}, repeat {repeat + 1} of {seeds}): "
                    f"{row.describe()}",
                    flush=True,
                )
                bench.finish(row, repeat)
            if run.writes:  # others would take it from the worker that still needs it
                shutil.rmtree(run.checkpoints(_stage(row, repeat)), ignore_errors=True)
        if run.writes:
            shutil.rmtree(_initial(run, repeat), ignore_errors=True)
    return bench


def pasted_slices(run: Run, rows: Sequence[Mixture]) -> list[RecordFile]:
    """Returns files with a pasted slice for each real one if a row needs them."""
    if not any(row.pasted for row in rows):
        return []
    slices = real_slices(run.prepared, run.split.train)
    subject, seed = len(run.prepared.subject_ids), derive_seed(run.config.seed, "pasted")
    folder = run.path / "pasted" / str(seed)
    if run.writes:
        pasted_files(slices, folder, subject, seed)
    wait_for_all_workers(run.strategy)
    return pasted_files(slices, folder, subject, seed)


def synthetic_files(run: Run, rows: Sequence[Mixture]) -> list[RecordFile]:
    """Returns files with as many synthetic slices as the largest row needs, drawn where missing."""
    size = number_of_slices(run.prepared, run.split.train)
    needed = max(round(row.synthetic * size) for row in rows)
    subject = len(run.prepared.subject_ids)
    if needed and run.writes:
        draw_selected(run.alone().source, run.synthetic, needed, run.config.max_draws)
        record_files(run.synthetic, needed, subject)
    wait_for_all_workers(run.strategy)
    return record_files(run.synthetic, needed, subject) if needed else []


def row_result(run: Run, row: Mixture, repeat: int) -> Optional[dict[str, Any]]:
    """Returns a finished row's result in one repeat, None if it is not finished.

    A row that was trained with other settings counts as not finished: it would not be comparable.
    """
    return read_kept(result_path(run, row, repeat), settings_of(run.config))


def result_path(run: Run, row: Mixture, repeat: int) -> Path:
    """Returns where a row's result in one repeat is kept."""
    return run.path / "rows" / f"{_stage(row, repeat)}.json"


def settings_of(config: MixingConfig) -> dict[str, Any]:
    """Returns the settings that a row's result depends on."""
    others = ("max_draws", "evaluation_batch_size", "resamples", *LENGTHS)
    return {key: value for key, value in asdict(config).items() if key not in others}


def _stage(row: Mixture, repeat: int) -> str:
    return f"{row.name}_seed_{repeat}"


def _initial(run: Run, repeat: int) -> Path:
    return run.checkpoints(f"initial_seed_{repeat}")


@dataclass(frozen=True)
class Bench:
    """One segmenter on which row after row is trained; it is compiled once.

    Attributes:
        run: of the table.
        real, synthetic, pasted: files of the slices.
        system: the segmenter.
        test: slices of the held-out patients.
        steps: its compiled inner loop.
        find: its compiled `synthesize`.
    """

    run: Run
    real: Sequence[RecordFile]
    synthetic: Sequence[RecordFile]
    pasted: Sequence[RecordFile]
    system: Segmentation
    test: Slices
    steps: CompiledSteps
    find: Any

    @classmethod
    def of(cls, run: Run, rows: Sequence[Mixture], like: Optional[Bench] = None) -> Bench:
        """Returns the bench of a table's run, with files of the slices that its rows need.

        `like` is the bench of another run, whose segmenter and held-out slices serve this one too.
        """
        real = subject_files(run.prepared, run.split.train)
        files = real, synthetic_files(run, rows), pasted_slices(run, rows)
        if like:
            return cls(run, *files, like.system, like.test, like.steps, like.find)
        system = _build(run, 0)
        steps = CompiledSteps(system, run.strategy)
        test = real_slices(run.prepared, run.split.test)
        return cls(run, *files, system, test, steps, compiled(system.synthesize))

    def sources(self, repeat: int) -> Sources:
        """Returns what a repeat's sets are mixed from; each has its own part of the real data."""
        config = self.run.config
        seed = derive_seed(config.seed, "subset", repeat)
        counts = [len(file.keep) for file in self.real]
        ranks = subset_ranks(counts, config.subset, seed)
        return Sources(self.real, self.synthetic, ranks, self.pasted)

    def finish(self, row: Mixture, repeat: int) -> None:
        """Brings a row to its result, from its checkpoint if there is one."""
        started, run = time.monotonic(), self.run
        training = Training(
            _stage(row, repeat),
            build=lambda run: self.system,
            batches=lambda run, training: self._batches(phases, repeat),
            keys=("images", "label", "source"),
            learning_rate="--segmentation.learning_rate",
            batch_size="--schedule.batch_size",
            schedule=lambda run, name: run.config.schedule,
        )
        schedule = run.schedule(training)
        phases = row.phases(self.sources(repeat), schedule.steps * schedule.batch_size)
        self._reset(repeat)
        training.perform(run, self.system, self.steps)

        patients = np.array(run.prepared.subject_ids)
        spacing = voxel_size(run.source.config.slicing)

        def result() -> dict[str, Any]:
            return {
                "no": row.no,
                "repeat": repeat,
                "training_slices": [number_kept(phase.files) for phase in phases],
                "presented_slices": [phase.examples for phase in phases],
                "seconds": round(time.monotonic() - started, 1),  # of the last start
                **score(self._found, self.test, patients, run.prepared.dataset, spacing),
            }

        if run.writes:
            kept(result_path(run, row, repeat), result, settings_of(run.config))

    def _found(self, images: np.ndarray) -> np.ndarray:
        """Returns the labels [N,H,W,K] that the segmenter's K networks find in images [N,H,W,4]."""
        return infer(self.find, {"images": images}, self.run.config.evaluation_batch_size)["labels"]

    def _reset(self, repeat: int) -> None:
        """Puts weights and optimiser of a repeat's start into the segmenter.

        They travel through a checkpoint, so this start is as exact as any that is continued.
        """
        run, folder = self.run, _initial(self.run, repeat)
        if newest_checkpoint(folder) is None:
            Checkpoints(_build(run, repeat), folder, writes=run.writes).save(0)
        wait_for_all_workers(run.strategy)
        Checkpoints(self.system, folder, writes=run.writes).restore()

    def _batches(self, phases: Sequence[Phase], repeat: int) -> Any:
        seed = self.run.config.seed
        return functools.partial(
            mixed_batches,
            phases=phases,
            dataset=self.run.prepared.dataset,
            size=self.run.prepared.size,
            seed=derive_seed(seed, "order", repeat),
            enhancement_seed=derive_seed(seed, "enhancement"),
        )


def _build(run: Run, repeat: int) -> Segmentation:
    with run.strategy.scope():
        tf.keras.utils.set_random_seed(derive_seed(run.config.seed, "weights", repeat))
        config = run.config
        if isinstance(config.segmentation, LesionNetsConfig):
            return LesionNets(config.segmentation)
        return Segmentation(config.segmentation, config.inputs)


def segmenter_words(config: MixingConfig) -> str:
    """Returns what segmenter is trained, in words."""
    if isinstance(config.segmentation, LesionNetsConfig):
        kind, form = config.segmentation.scheme, "encoder and decoder without skips"
    else:
        kind, form = config.inputs, "U-Net"
    return f"{form} of width {config.segmentation.width}, {kind}"
