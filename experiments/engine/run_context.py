"""What all training scripts share: the run, the data, the split, and each trained system."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import tensorflow as tf

from data.brats.dataset import BRATS
from data.contract import Case
from data.pipeline import number_of_slices
from data.shards import PreparedSlices, prepare_shards
from data.splits import Split
from experiments.engine.cases import Problems, cases_in_use, check_cases
from models.system import GANSystem
from utils.errors import UserError
from utils.runs.names import plain_name
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed
from utils.training.checkpoints import load_networks, saved_step

PHANTOM_NOTE = (
    "built-in phantom (a demonstration object made from MNI152 templates, not medical data)"
)


@dataclass(frozen=True)
class RunContext(abc.ABC):
    """One run in progress.

    Attributes:
        config: the resolved configuration, with at least `seed` and `schedule`.
        run: the run directory.
        strategy: the distribution strategy.
        prepared: cached slices of all subjects.
        split: training and held-out subjects.
        data_note: what the data is, for the report and the manifest.
        skipped: problems of the cases that the run leaves out, by case id.
    """

    config: Any
    run: RunDirectory
    strategy: tf.distribute.Strategy
    prepared: PreparedSlices
    split: Split
    data_note: str
    skipped: Problems

    @abc.abstractmethod
    def builders(self) -> Mapping[str, Callable[[], GANSystem]]:
        """Returns by training stage what builds its system."""

    @abc.abstractmethod
    def finished(self, stage: str) -> bool:
        """Returns whether the run directory holds the complete result of a stage.

        Raises UserError if a checkpoint's files are missing or unreadable.
        """

    def subjects(self, stage: str) -> tuple[str, ...]:
        """Returns the subjects that a training stage learns from."""
        return self.split.train

    def build(self, stage: str) -> GANSystem:
        """Returns a stage's system with its initial weights, a function of seed and stage."""
        with self.strategy.scope():
            tf.keras.utils.set_random_seed(derive_seed(self.config.seed, stage))
            return self.builders()[stage]()

    def trained(self, stage: str) -> GANSystem:
        """Returns a finished stage's system; UserError if it has not been trained to its end."""
        step, total = saved_step(self.run.checkpoints(stage)), self.total_steps(stage)
        if 0 < step < total:
            raise UserError(
                f"The stage {stage} stands at step {step} of {total}; finish it with --resume "
                f"--stages {stage}."
            )
        system = self.build(stage)
        load_networks(system, self.run.checkpoints(stage))
        return system

    def trained_to_the_end(self, stage: str) -> bool:
        """Returns whether a training stage's checkpoint stands at its last step."""
        return saved_step(self.run.checkpoints(stage)) >= self.total_steps(stage)

    def total_steps(self, stage: str) -> int:
        """Returns the number of updates of a training stage."""
        slices = number_of_slices(self.prepared, self.subjects(stage))
        return getattr(self.config.schedule, stage).total_steps(slices)

    def describe_source(self, source: np.ndarray) -> str:
        """Names the cases behind rows (subject index, slice): "patient slice 70; ..."."""
        names = self.prepared.subject_ids
        return "; ".join(f"{names[subject]} slice {index}" for subject, index in source)


def open_data(
    config: Any,
    run: RunDirectory,
    data: Optional[Path],
    cache: Path,
    kind: type[Split],
    divide: Callable[[list[str]], Split],
) -> dict[str, Any]:
    """Finds the data (or makes the phantom), splits its patients and prepares its slices.

    The split is written to splits.json once and read from there on resume. Bad splits are refused
    before volumes are checked and slices prepared, which may take an hour. Of the user's data every
    case takes part that the run's skipped_cases.json does not name.

    Args:
        config: with `seed`, `phantom_subjects` and `slicing`.
        run: the run directory.
        data: the user's folder, or None for the phantom.
        cache: folder of phantom and prepared slices.
        kind: class of the split.
        divide: makes a new split from subject ids.

    Returns:
        `prepared`, `split`, `data_note` and `skipped` of a `RunContext`.

    Raises UserError for bad data, and on resume for other cases than those of splits.json.
    """
    cases, skipped, note = _find(config, run, data, cache)
    ids = [case.id for case in cases]
    if run.splits.exists():
        split = kind.load(run.splits, BRATS.patient_of)
        split.check_subjects(ids, run.splits)
    else:
        split = divide(ids)
    if data:  # what is wrong with a phantom, preparing its slices tells as well
        check_cases(cases, config.slicing, data, cache)
    prepared = prepare_shards(BRATS, cases, config.slicing, cache)
    if run.writes and not run.splits.exists():
        split.save(run.splits)
    return {"prepared": prepared, "split": split, "data_note": note, "skipped": skipped}


def _find(
    config: Any, run: RunDirectory, data: Optional[Path], cache: Path
) -> tuple[list[Case], Problems, str]:
    """Returns the cases that take part, the problems of skipped ones, and what the data is."""
    if data is None:
        tree = BRATS.phantom(cache, config.phantom_subjects, config.seed)
        return list(BRATS.find(tree)), {}, PHANTOM_NOTE
    cases, skipped = cases_in_use(run, data)
    total = len(cases) + len(skipped)
    note = f" ({len(skipped)} of {total} cases left out as bad)" if skipped else ""
    return cases, skipped, f"{plain_name(data.name)}{note}"
