"""How a run goes through its stages."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from data.opening import skip_bad_cases
from data.shards import naming_damaged_slices
from experiments.engine.experiment import Experiment
from experiments.engine.plan import print_plan
from experiments.engine.recording import record_start, starting, timed
from experiments.engine.request import Request
from experiments.engine.resuming import saved_run, what_stays
from experiments.engine.run import Run
from utils.config import from_dict
from utils.training.checkpoints import Checkpoints, saved_step
from utils.training.distribute import is_chief, wait_for_all_workers


def perform(run: Run) -> None:
    """Runs the chosen stages in order, or prints the plan."""
    experiment, request = run.experiment, run.request
    experiment.check(request, run.strategy)
    experiment.check_labels(request.stages, run.config, request.data)
    if request.dry_run:
        print_plan(experiment, request, run.strategy.num_replicas_in_sync)
        return
    if not request.resume:  # an error before slices are cut, or a trained run is made
        experiment.check_needs(request.stages, lambda stage: bool(stage.skip(run.config)))
    if experiment.sources:
        experiment.sources.open(run)
        experiment.check_needs(request.stages, lambda stage: stage.finished(run))
    else:
        _open(run)
    watch = timed(run, experiment.prefix) if experiment.prefix else nullcontext()
    with watch, naming_damaged_slices(run.prepared):
        for stage in experiment.chosen(request.stages):
            stage.perform(run)


def _open(run: Run) -> None:
    """Opens the data of a run that trains, and records its start."""
    experiment, request = run.experiment, run.request
    if request.skip_bad and request.data is not None and not request.resume:
        if run.writes:
            skip_bad_cases(run, run.data_source())
        wait_for_all_workers(run.strategy)
    run.open_data()
    experiment.check_needs(request.stages, lambda stage: stage.finished(run))
    if request.changes:
        _check_changes(run)
    record_start(run)


def _check_changes(run: Run) -> None:
    """Says which stages are finished already when a run's settings change.

    Raises UserError for networks or optimisers that a checkpoint of the run does not fit: then
    nothing is recorded of the change.
    """
    experiment = run.experiment
    finished = [name for name in experiment.names if run.finished(name)]
    for training in experiment.trainings:
        folder = run.checkpoints(training.name)
        # What a stage needs may train on now; then its own networks are built later.
        if saved_step(folder) and set(training.needs) <= set(finished):
            with run.strategy.scope():
                Checkpoints(run.build(training), folder, run.writes).restore()
    kept = [name for name in finished if not all(s.always for s in experiment.chosen([name]))]
    if run.writes and kept:
        print(what_stays(run.request.changes, kept))


def make(experiment: Experiment, request: Request, strategy: tf.distribute.Strategy) -> None:
    """Makes a run of all stages for another script, or continues the one in its folder.

    Args:
        experiment: what it runs.
        request: the other script's, with the folder and the configuration of a new run; a run that
            exists in the folder keeps its own configuration.
        strategy: the distribution strategy.
    """
    path, config, changes = Path(request.out), request.config, ()
    resume = (path / "config.json").exists()
    if resume:
        saved = saved_run(path, "A run begun needs")
        config = from_dict(type(config), saved["config"])
        if saved["precision"] != request.precision:
            changes = (f"precision: {saved['precision']} -> {request.precision}",)
    part = replace(
        request,
        config=config,
        stages=experiment.names,
        run=None,
        resume=resume,
        options={},
        changes=changes,
    )
    with starting(path, is_chief(strategy)) as directory:
        perform(Run(experiment, part, strategy, directory.writes))
