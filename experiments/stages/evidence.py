"""What scripts that work on a finished main run share: start, dry run, command, time."""

from __future__ import annotations

import hashlib
import json
import time
from types import TracebackType
from typing import Callable, Optional

import tensorflow as tf

from experiments.launch import Launch, Script, record_start, saved_run
from experiments.source_run import open_source
from experiments.stages.context import Context
from experiments.train_brats import COLLECTIVE
from utils.checkpoints import saved_step
from utils.config import to_yaml
from utils.errors import UserError
from utils.files import read_json
from utils.run_directory import RunDirectory


def open_evidence(
    launch: Launch,
    run: RunDirectory,
    strategy: tf.distribute.Strategy,
    check: Callable[[Context], None] = lambda source: None,
) -> Optional[Context]:
    """Returns the main run, having recorded the start and its split; on `--dry-run` prints, None.

    Raises UserError if there is no finished main run, or `check` refuses it: then nothing is
    recorded.
    """
    if launch.dry_run:
        print(f"{to_yaml(launch.config)}\nstages: {' -> '.join(launch.stages)}")
        return None
    source = _main_run(launch, run, strategy, check)
    record_start(launch, run, strategy, fingerprint(source))
    if run.writes:
        source.split.save(run.splits)
    return source


def _main_run(
    launch: Launch,
    run: RunDirectory,
    strategy: tf.distribute.Strategy,
    check: Callable[[Context], None],
) -> Context:
    """Returns the main run that is named, or made while the start is already recorded.

    A start that comes to nothing is taken back; then the same command can be given again.
    """
    new = not run.config.exists()
    if new and launch.source is None:
        record_start(launch, run, strategy)
    try:
        source = open_source(launch, strategy)
        _refuse_other(launch, run, source)
        check(source)
        return source
    except BaseException as error:
        begun = (run.path / "main" / "config.json").exists()
        if new and run.writes and (isinstance(error, UserError) or not begun):
            for file in (run.config, run.environment):
                file.unlink(missing_ok=True)
        raise


def _refuse_other(launch: Launch, run: RunDirectory, source: Context) -> None:
    """Raises UserError if a run continues on another main run than the one it began with."""
    if not launch.resume:
        return
    saved = saved_run(run.path, "--resume needs --out with")["fingerprint"]
    if saved not in (None, fingerprint(source)):
        raise UserError(
            f"{run.path} began with another main run than {source.run.path}, or that one has been "
            "changed; name its own with --run or start a new --out"
        )


def fingerprint(source: Context) -> str:
    """Returns a hash of what a main run was made with and how far; its folder may move."""
    steps = {stage: saved_step(source.run.checkpoints(stage)) for stage in COLLECTIVE}
    files = (source.run.config, source.run.splits, source.run.synthetic / "manifest.json")
    config, split, manifest = map(read_json, files)
    text = json.dumps([config["config"], split, manifest, steps], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def command(script: Script, launch: Launch) -> str:
    """Returns the command that repeats a run, with RUN and DIR in place of folders."""
    words = [f"python {script.path} --preset {launch.preset} --run RUN"]
    for option in script.options:
        value = launch.options[option.field]
        if value != option.default:
            words.append(f"--{option.name} {value}")
    if launch.data:
        words.append("--data DIR")
    return " ".join(words)


class Stopwatch:
    """Adds the seconds that its block takes to `<experiment>/seconds` of metrics.json.

    A resumed run adds to what it has taken before, also if it was interrupted.
    """

    def __init__(self, run: RunDirectory, experiment: str):
        self.run = run
        self.key = f"{experiment}/seconds"

    def __enter__(self) -> Stopwatch:
        """Starts it."""
        self.started = time.monotonic()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Stops it and writes."""
        if self.run.writes:
            before = self.run.read_metrics().get(self.key, 0.0)
            self.run.update_metrics({self.key: before + time.monotonic() - self.started})
