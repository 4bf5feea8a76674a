"""The start of a run: its folder is locked, and what it was started with is written down."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Container, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Optional

import tensorflow as tf

from experiments.engine.command import Launch
from utils.runs.environment import environment_record
from utils.runs.files import read_json, write_json
from utils.runs.locking import locked
from utils.runs.run_directory import RunDirectory


@contextmanager
def starting(path: Path, writes: bool) -> Iterator[RunDirectory]:
    """Yields a run directory, which belongs to this process until the block ends if it writes.

    Nothing is left of it if its start is not recorded in the end; but files that decide about the
    run's cases stay if they were there before.

    Raises UserError for a folder that another process writes to, or that cannot be written.
    """
    run = RunDirectory(path, writes=writes)
    try:
        with locked(run.path) if writes else nullcontext():
            kept = [file for file in (run.splits, run.skipped_cases) if file.exists()]
            try:
                yield run
            finally:
                if writes and not run.config.exists():
                    _remove_start(run, kept)
    finally:
        if writes and not run.config.exists():
            with suppress(OSError):  # it holds somebody else's files
                run.path.rmdir()


def _remove_start(run: RunDirectory, kept: Container[Path]) -> None:
    for file in (run.splits, run.skipped_cases):
        if file not in kept:
            file.unlink(missing_ok=True)
    with suppress(OSError):
        run.samples.rmdir()


def recorded(launch: Launch) -> bool:
    """Returns whether config.json holds what a command line asks for."""
    file = launch.out / "config.json"
    if not file.exists():
        return False
    return not launch.changes or _settings(launch).items() <= read_json(file).items()


def _settings(launch: Launch) -> dict[str, Any]:
    """What `--allow-config-change` may change, as JSON gives it back."""
    config = json.loads(json.dumps(dataclasses.asdict(launch.config)))
    return {"preset": launch.preset, "precision": launch.precision, "config": config}


def record_start(
    launch: Launch,
    run: RunDirectory,
    strategy: tf.distribute.Strategy,
    fingerprint: Optional[str] = None,
) -> None:
    """Writes a new run's config.json, and environment.json of the latest start.

    Of a resumed run's config.json only the folders of data and main run, the script's own options
    and what was not known before can change, and settings by `--allow-config-change`: then the
    former ones are kept in its list `earlier`. A script calls this when the data has been found:
    until then a mistake must not occupy `--out`.
    """
    if not run.writes:
        return
    saved = read_json(run.config) if run.config.exists() else {}
    settings = _settings(launch)
    start = saved or settings
    if saved and not recorded(launch):
        former = {name: saved[name] for name in settings}
        start = {**saved, **settings, "earlier": [*saved.get("earlier", []), former]}
    known = {
        "run": launch.source and str(launch.source),
        "fingerprint": fingerprint,
        "skip_bad": launch.skip_bad,
        "options": {name: _plain(value) for name, value in launch.options.items()},
    }
    data = str(launch.data) if launch.data else None
    start = {**start, "data": data, **{key: value for key, value in known.items() if value}}
    if start != saved:
        write_json(run.config, start)
    devices = {
        "devices": [device.device_type for device in tf.config.list_logical_devices()],
        "replicas": strategy.num_replicas_in_sync,
        "precision": launch.precision,
    }
    write_json(run.environment, {**environment_record(), **devices})


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
