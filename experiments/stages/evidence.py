"""What scripts that work on a finished main run share: start, dry run, command, time."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Callable, Optional

import tensorflow as tf

from experiments.launch import Launch, Script, record_start
from experiments.source_run import open_source
from experiments.stages.context import Context
from utils.config import to_yaml
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
    source = open_source(launch, strategy)
    check(source)
    record_start(launch, run, strategy)
    if run.writes:
        source.split.save(run.splits)
    return source


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
