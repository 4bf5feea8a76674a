"""One run: its directory, what was asked of it, its devices, its data, its trained systems."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Callable, Optional, Union

import numpy as np
import tensorflow as tf

from data.contract import DataSet
from data.opening import Problems, Source, open_slices
from data.pipeline import number_of_slices, training_batches
from data.shards import PreparedSlices
from data.splits import Cohort, Split, split_subjects, with_few_patients
from experiments.engine.experiment import Experiment, Training
from experiments.engine.request import Request
from experiments.engine.resuming import run_config
from models.system import GANSystem
from utils.errors import UserError
from utils.runs.files import read_json
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed
from utils.training.checkpoints import checkpoint_index, load_networks, saved_step, weights_hash
from utils.training.trainer import Schedule


class Run(RunDirectory):
    """One run of an experiment, in progress or finished.

    Args:
        experiment: what it runs.
        request: what was asked of it.
        strategy: the distribution strategy.
        writes: False for processes that only compute or read.

    Attributes:
        config: the resolved configuration.
        prepared: cached slices of all subjects.
        split: the parts of the data, such as training and test.
        data_note: what the data is, for reports and manifests.
        skipped: problems of the cases that the run leaves out, by case id.
        sources: the finished runs that it works on, by name.
        borrowed: checkpoint folders of stages that lie in another run, by stage.
    """

    prepared: PreparedSlices
    split: Split
    data_note: str
    skipped: Problems
    _building: Optional[Training] = None  # the stage whose system is being built

    def __init__(
        self,
        experiment: Experiment,
        request: Request,
        strategy: tf.distribute.Strategy,
        writes: bool = True,
    ):
        super().__init__(request.out, writes)
        self.experiment = experiment
        self.request = request
        self.strategy = strategy
        self.config = request.config
        self.sources: Mapping[str, Run] = {}
        self.borrowed: Mapping[str, Path] = {}

    def open_data(self) -> Run:
        """Finds or makes the data, divides its patients, prepares its slices; returns the run.

        Raises UserError for bad data, and on resume for other cases than those of splits.json.
        """
        found = open_slices(self, self.data_source(), self.experiment.split, self._divided)
        self.prepared, self.split, self.data_note, self.skipped = found
        return self

    def _divided(self, ids: Sequence[str]) -> Split:
        config, experiment = self.config, self.experiment
        if experiment.divide:
            return experiment.divide(ids, config)
        patient_of = self.dataset.patient_of
        split = split_subjects(
            ids, config.test_fraction, seed=self.data_seed, patient_of=patient_of
        )
        if not self._cohort.patients:
            return split
        seed = derive_seed(config.seed, "train patients")
        return with_few_patients(split, self._cohort.patients, seed=seed, patient_of=patient_of)

    @property
    def _cohort(self) -> Cohort:
        return getattr(self.config, "cohort", Cohort())  # not every training has the option

    @property
    def data_seed(self) -> int:
        """The random seed of phantom and split: `seed`, unless the configuration has another."""
        seed = self._cohort.seed
        return self.config.seed if seed is None else seed

    @property
    def dataset(self) -> DataSet:
        """The data set of a run that trains."""
        return self.experiment.dataset(self.config, self.request.data)

    def data_source(self) -> Source:
        """Returns where the cases of a run that trains come from."""
        config, request = self.config, self.request
        return Source(
            self.dataset,
            config.slicing,
            request.data,
            request.cache,
            config.phantom,
            config.phantom_subjects,
            self.data_seed,
        )

    def on_data_of(self, other: Run) -> Run:
        """Takes the data of another run, as it is opened there; returns the run."""
        self.prepared, self.split = other.prepared, other.split
        self.data_note, self.skipped = other.data_note, other.skipped
        return self

    def works_on(self, sources: Mapping[str, Run]) -> Run:
        """Takes finished runs as sources, and the first one's data; returns the run."""
        self.sources = sources
        return self.on_data_of(self.source)

    @property
    def source(self) -> Run:
        """The finished run that this one works on, the first of several."""
        return next(iter(self.sources.values()))

    def changed(self, **attributes: Any) -> Run:
        """Returns a copy that differs in some attributes."""
        other = copy.copy(self)
        vars(other).update(attributes)
        return other

    def alone(self) -> Run:
        """Returns a copy, with its sources, for work that one process does without the others."""
        strategy = tf.distribute.get_strategy()
        sources = {name: source.changed(strategy=strategy) for name, source in self.sources.items()}
        return self.changed(strategy=strategy, sources=sources)

    def checkpoints(self, stage: str) -> Path:
        """Returns the checkpoint folder of a stage."""
        return self.borrowed.get(stage) or super().checkpoints(stage)

    def subjects(self, training: Training) -> tuple[str, ...]:
        """Returns the subjects that a stage learns from."""
        chosen = training.subjects
        return getattr(self.split, chosen) if isinstance(chosen, str) else chosen(self)

    def schedule(self, training: Training) -> Schedule:
        """Returns a stage's schedule with its number of updates."""
        schedule = training.schedule(self, training.name)
        slices = number_of_slices(self.prepared, self.subjects(training))
        return replace(schedule, steps=schedule.total_steps(slices))

    def total_steps(self, stage: str) -> int:
        """Returns the number of updates of a stage."""
        return self.schedule(self.experiment.stage(stage)).steps

    def pipeline(self, training: Training, **arguments: Any) -> Callable[..., tf.data.Dataset]:
        """Returns `training_batches` on a stage's slices, with a seed of its own.

        `arguments` are further arguments of it; batch size, first step and shard are left open.
        """
        if "seed" not in arguments:
            arguments["seed"] = derive_seed(self.config.seed, training.name, "data")
        return functools.partial(
            training_batches,
            prepared=self.prepared,
            subject_ids=self.subjects(training),
            **arguments,
        )

    def build(self, stage: Union[str, Training]) -> GANSystem:
        """Returns a stage's system with its initial weights, a function of seed and stage.

        A guide that is built within another system's `build` does not change the other's weights:
        afterwards the random seed is the other system's again.
        """
        outer, self._building = self._building, self._training(stage)
        try:
            with self.strategy.scope():
                self._seed_weights()
                return self._building.build(self)
        finally:
            self._building = outer
            self._seed_weights()

    def _seed_weights(self) -> None:
        if self._building:
            name = self._building.name
            tf.keras.utils.set_random_seed(derive_seed(self.config.seed, name))

    def trained(self, stage: Union[str, Training]) -> GANSystem:
        """Returns a finished stage's system; UserError if it has not been trained to its end."""
        training = self._training(stage)
        folder = self.checkpoints(training.name)
        step, total = saved_step(folder), self.schedule(training).steps
        if 0 < step < total:
            raise UserError(
                f"The stage {training.name} stands at step {step} of {total}; finish it with "
                f"--resume --stages {training.part_of or training.name}."
            )
        system = self.build(training)
        load_networks(system, folder)
        return system

    def trained_to_the_end(self, training: Training) -> bool:
        """Returns whether a stage's checkpoint stands at its last step."""
        return saved_step(self.checkpoints(training.name)) >= self.schedule(training).steps

    def finished(self, stage: str) -> bool:
        """Returns whether the run directory holds the complete result of a stage.

        Raises UserError if a checkpoint's files are missing or unreadable.
        """
        return all(part.finished(self) for part in self.experiment.chosen([stage]))

    def unfinished(self, stages: Optional[Iterable[str]] = None) -> list[str]:
        """Returns the names among `stages`, by default all, of those that are not finished."""
        return [name for name in stages or self.experiment.names if not self.finished(name)]

    def describe(self, source: np.ndarray) -> str:
        """Names the cases behind rows (subject index, slice): "patient slice 70; ...".

        Synthetic samples have the index behind the last subject's.
        """
        names = self.prepared.subject_ids
        return "; ".join(
            f"{names[subject]} slice {i}" if subject < len(names) else f"synthetic sample {i}"
            for subject, i in source
        )

    def fingerprint(self) -> str:
        """Returns a hash of configuration, split, synthetic set and checkpoints; no path enters."""
        manifest = self.synthetic / "manifest.json"
        content = [asdict(self.config), asdict(self.split)]
        content += [read_json(manifest)] if manifest.exists() else []
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        for training in self.experiment.trainings:
            folder = self.checkpoints(training.name)
            if saved_step(folder):
                digest.update(checkpoint_index(folder))
        return digest.hexdigest()[:16]

    def weights_hash(self, stage: str) -> str:
        """Returns a hash of a stage's checkpoint, see `utils.training.checkpoints.weights_hash`."""
        return weights_hash(self.checkpoints(stage))

    def _training(self, stage: Union[str, Training]) -> Training:
        return self.experiment.stage(stage) if isinstance(stage, str) else stage

    @classmethod
    def open_finished(
        cls,
        experiment: Experiment,
        path: Path,
        strategy: tf.distribute.Strategy,
        cache: Path,
        data: Optional[Path] = None,
        stages: Optional[Iterable[str]] = None,
    ) -> Run:
        """Returns a finished run, to which nothing is written.

        Args:
            experiment: what it ran.
            path: its folder.
            strategy: the distribution strategy.
            cache: folder of phantom and prepared slices.
            data: where its data has moved to; None = where it was.
            stages: names of the stages that it must have finished, by default all.

        Raises UserError if the folder holds no such run, or the run has not finished these stages.
        """
        config, saved = run_config(path, experiment.config_type, experiment.script)
        data = data or (Path(saved["data"]) if saved["data"] else None)
        if data is not None and not data.is_dir():
            raise UserError(
                f"The run {path} was made with {data}, which is gone; name it with --data"
            )
        request = Request(path, config, saved["preset"], data, cache=cache)
        run = cls(experiment, request, strategy, writes=False)
        experiment.check(request, strategy)
        missing = run.open_data().unfinished(stages)
        if missing:
            raise UserError(
                f"The run {path} has not finished {', '.join(missing)}; continue it with python "
                f"{experiment.script} --out {path} --resume"
            )
        return run


class Untrained(Run):
    """A run in which initial weights stand for trained ones: a step takes as long with either."""

    def trained(self, stage: Union[str, Training]) -> GANSystem:
        """Returns a stage's system with its initial weights, always the same."""
        built = vars(self).setdefault("_built", {})
        training = self._training(stage)
        if training.name not in built:
            built[training.name] = self.build(training)
        return built[training.name]
