"""What scripts that work on a finished main run share: start, dry run, command, time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Optional, get_args

import tensorflow as tf

from experiments.engine.cli import Launch, Script
from experiments.engine.resuming import saved_run
from experiments.engine.source_run import open_source
from experiments.engine.starting import record_start
from experiments.systems.structure_gan.context import Context
from experiments.train_brats import JOB
from utils.config import flatten, to_yaml
from utils.errors import UserError
from utils.runs.files import read_json
from utils.runs.run_directory import RunDirectory
from utils.training.checkpoints import saved_step

# As a shell comment, behind a command that does not tell all.
CHANGED = "  # settings were changed after the start, see earlier in config.json"


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
        others = f"another main run than {source.run.path}, or that one has been changed"
        refuse_other_source(launch, fingerprint(source), others, "--run")
        check(source)
        return source
    except BaseException as error:
        begun = (run.path / "main" / "config.json").exists()
        if new and run.writes and (isinstance(error, UserError) or not begun):
            for file in (run.config, run.environment):
                file.unlink(missing_ok=True)
        raise


def refuse_other_source(launch: Launch, found: str, others: str, option: str) -> None:
    """Raises UserError if a run continues on something else than what it began with.

    Args:
        launch: of the run.
        found: fingerprint of what the command line names now.
        others: in words, what this would be.
        option: that names it.
    """
    if not launch.resume:
        return
    saved = saved_run(launch.out, "--resume needs --out with")["fingerprint"]
    if saved not in (None, found):
        raise UserError(
            f"{launch.out} began with {others}; name its own with {option} or start a new --out"
        )


def fingerprint(source: Context) -> str:
    """Returns a hash of what a main run was made with and how far; its folder may move."""
    steps = {stage: saved_step(source.run.checkpoints(stage)) for stage in JOB.trainings}
    files = (source.run.config, source.run.splits, source.run.synthetic / "manifest.json")
    config, split, manifest = map(read_json, files)
    text = json.dumps([config["config"], split, manifest, steps], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def command(script: Script, launch: Launch, **options: Any) -> str:
    """Returns the command that repeats a run; `options` replace those of its last start."""
    options = {**launch.options, **options}
    config = dataclasses.asdict(launch.config)
    named = launch.source is not None
    text = spell(script, launch.preset, config, options, named, launch.data is not None)
    text = f"{text} --skip-bad" if launch.skip_bad and not named else text
    return f"{text}{CHANGED}" if launch.changed else text


def spell(
    script: Script,
    preset: str,
    config: Mapping[str, Any],
    options: Mapping[str, Any],
    named: bool = True,
    real: bool = False,
) -> str:
    """Returns a command line with everything that differs from a preset.

    Args:
        script: whose command it is.
        preset: of the configuration.
        config: nested mapping, as in config.json.
        options: values of the script's own options; those left out have their default.
        named: the main run is named, as RUN; else the command makes one.
        real: the command names a data folder, as DIR.
    """
    words = ["python", script.path, "--preset", preset, *(["--run", "RUN"] if named else [])]
    for option in script.options:
        value = options.get(option.field, option.default)
        if value != option.default:
            is_path = Path in (option.type, *get_args(option.type))
            words += [f"--{option.name}", "PATH" if is_path else str(value)]
    usual = flatten(dataclasses.asdict(script.presets[preset]))
    for name, value in flatten(config).items():
        if json.dumps(value) != json.dumps(usual.get(name)):
            text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            words.append(f"--{name}={text}")
    return shlex.join([*words, *(["--data", "DIR"] if real else [])])


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
