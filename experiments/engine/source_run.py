"""The finished main run on which tables and figures work: found by `--run`, or made first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Optional

import tensorflow as tf

from experiments import train_brats
from experiments.configs.brats import PRESETS, BratsConfig
from experiments.engine.cli import Launch, saved_run
from experiments.systems.structure_gan.context import Context, open_context
from utils.config import from_dict
from utils.errors import UserError
from utils.runs.run_directory import RunDirectory


def open_source(launch: Launch, strategy: tf.distribute.Strategy) -> Context:
    """Returns the main run behind a table or figure; nothing is written to one that `--run` names.

    Without `--run` the main run of the same preset and data is made in OUT/main, or continued
    there. The run's data may have moved: `--data` tells where to.

    Raises UserError if the folder holds no main run, or one that has not been finished.
    """
    path = launch.source or launch.out / "main"
    if launch.source is None:
        train_brats.JOB.make(launch, path, PRESETS[launch.preset], strategy)
    return open_finished(path, launch.data, launch.cache, strategy)


def open_finished(
    path: Path,
    data: Optional[Path],
    cache: Path,
    strategy: tf.distribute.Strategy,
    stages: Iterable[str] = tuple(train_brats.JOB.stages),
) -> Context:
    """Returns a main run that has finished `stages`, to which nothing is written.

    Args:
        path: its folder.
        data: where its data has moved to; None = where it was.
        cache: folder of phantom and prepared slices.
        strategy: the distribution strategy.
        stages: names of the stages that it must have finished, by default all.

    Raises UserError if the folder holds no main run, or one that has not finished them.
    """
    saved = saved_run(path, "--run needs")
    data = data or (Path(saved["data"]) if saved["data"] else None)
    if data is not None and not data.is_dir():
        raise UserError(f"The run {path} was made with {data}, which is gone; name it with --data")
    config = from_dict(BratsConfig, saved["config"])
    context = open_context(config, RunDirectory(path, writes=False), strategy, data, cache)
    missing = [stage for stage in stages if not context.finished(stage)]
    if missing:
        raise UserError(
            f"The run {path} has not finished {', '.join(missing)}; continue it with "
            f"python {train_brats.SCRIPT.path} --out {path} --resume"
        )
    return context
