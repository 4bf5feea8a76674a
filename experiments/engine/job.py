"""A training script's stages: their order, what each needs, and how a run goes through them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Optional

import tensorflow as tf

from data.shards import naming_damaged_slices
from experiments.engine.cases import skip_bad_cases
from experiments.engine.command import Launch
from experiments.engine.resuming import saved_run, what_stays
from experiments.engine.run_context import RunContext
from experiments.engine.starting import record_start, starting
from utils.config import from_dict
from utils.errors import UserError
from utils.runs.run_directory import RunDirectory
from utils.training.checkpoints import Checkpoints, saved_step
from utils.training.distribute import is_chief, wait_for_all_workers

OpenContext = Callable[
    [Any, RunDirectory, tf.distribute.Strategy, Optional[Path], Path], RunContext
]


@dataclass(frozen=True)
class TrainingJob:
    """What distinguishes one training script from another.

    Attributes:
        stages: by name, in order, what runs a stage on the run's context.
        trainings: names of those that train; every worker takes part in them.
        needs: by stage, the stages whose results it reads.
        check: refuses sizes that do not fit, from (configuration, strategy), before data is read.
        plan: prints what a configuration and stages would do on so many devices.
        open_context: finds data and split, from (configuration, run, strategy, data, cache).
        left_out: the stages that have nothing to do under a configuration.
    """

    stages: Mapping[str, Callable[[Any], None]]
    trainings: Sequence[str]
    needs: Mapping[str, Sequence[str]]
    check: Callable[[Any, tf.distribute.Strategy], None]
    plan: Callable[[Any, Sequence[str], int], None]
    open_context: OpenContext
    left_out: Callable[[Any], Container[str]] = lambda config: ()

    def check_stages(self, stages: Sequence[str], finished: Callable[[str], bool]) -> None:
        """Raises UserError if a chosen stage needs one that is neither chosen nor finished."""
        for stage in stages:
            needed = [name for name in self.needs.get(stage, ()) if name not in stages]
            missing = [name for name in needed if not finished(name)]
            if missing:
                raise UserError(
                    f"--stages has {stage}, which needs {', '.join(missing)}, neither chosen nor "
                    "finished in --out; add to --stages or continue another run with --resume"
                )

    def execute(self, launch: Launch, run: RunDirectory, strategy: tf.distribute.Strategy) -> None:
        """Runs the chosen stages in order, or prints the plan."""
        self.check(launch.config, strategy)
        if launch.dry_run:
            self.plan(launch.config, launch.stages, strategy.num_replicas_in_sync)
            return
        if not launch.resume:  # told before the slices of all volumes are cut
            self.check_stages(launch.stages, self.left_out(launch.config).__contains__)
        if launch.skip_bad and launch.data is not None and not launch.resume:
            if run.writes:
                skip_bad_cases(launch.config.slicing, run, launch.data, launch.cache)
            wait_for_all_workers(strategy)
        context = self.open_context(launch.config, run, strategy, launch.data, launch.cache)
        self.check_stages(launch.stages, context.finished)
        if launch.changes:
            self.check_changes(launch, context)
        record_start(launch, run, strategy)
        # Building networks under `strategy` would wait for the other workers.
        alone = replace(context, strategy=tf.distribute.get_strategy())
        with naming_damaged_slices(context.prepared):
            for stage in launch.stages:
                if stage in self.trainings:
                    self.stages[stage](context)
                elif run.writes:
                    self.stages[stage](alone)
        if run.writes and "report" in launch.stages:
            print(f"report: {run.report}")

    def check_changes(self, launch: Launch, context: RunContext) -> None:
        """Says which stages are finished already when a run's settings change.

        Raises UserError for networks or optimisers that a checkpoint of the run does not fit: then
        nothing is recorded of the change.
        """
        finished = [stage for stage in self.stages if context.finished(stage)]
        for stage in context.builders():
            folder, needed = context.run.checkpoints(stage), self.needs.get(stage, ())
            # What a stage needs may train on now; then its own networks are built later.
            if saved_step(folder) and set(needed) <= set(finished):
                with context.strategy.scope():
                    Checkpoints(context.build(stage), folder, context.run.writes).restore()
        kept = [stage for stage in finished if stage != "report"]  # which is always written anew
        if context.run.writes and kept:
            print(what_stays(launch.changes, kept))

    def make(
        self, launch: Launch, path: Path, config: Any, strategy: tf.distribute.Strategy
    ) -> None:
        """Makes a run of all stages in `path` for another script, or continues the one there.

        Args:
            launch: of the other script; data, cache and devices are the same.
            path: of the run; what it was begun with holds, whatever `config` says.
            config: of a new run.
            strategy: the distribution strategy.
        """
        resume = (path / "config.json").exists()
        changes: tuple[str, ...] = ()
        if resume:
            saved = saved_run(path, "A run begun needs")
            config = from_dict(type(config), saved["config"])
            if saved["precision"] != launch.precision:
                changes = (f"precision: {saved['precision']} -> {launch.precision}",)
        part = replace(
            launch,
            config=config,
            out=path,
            stages=tuple(self.stages),
            resume=resume,
            options={},
            changes=changes,
        )
        with starting(path, is_chief(strategy)) as run:
            self.execute(part, run, strategy)
