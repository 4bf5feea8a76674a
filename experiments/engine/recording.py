"""What a run writes about itself: the lock and record of its start, its command, its time."""

from __future__ import annotations

import dataclasses
import json
import shlex
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, get_args

import tensorflow as tf

from experiments.engine.experiment import Experiment
from experiments.engine.request import Request
from utils.config import flatten
from utils.runs.environment import environment_record
from utils.runs.files import read_json, write_json
from utils.runs.locking import locked
from utils.runs.run_directory import RunDirectory

if TYPE_CHECKING:
    from experiments.engine.run import Run

# As a shell comment, behind a command that does not tell all.
CHANGED = "  # settings were changed after the start, see earlier in config.json"


@contextmanager
def starting(path: Path, writes: bool) -> Iterator[RunDirectory]:
    """Yields a run directory, which belongs to this process until the block ends if it writes.

    If the block ends before config.json has been written, everything that this call created is
    removed; a splits.json or skipped_cases.json that was there before is kept.

    Raises UserError for a folder that another process writes to, or that cannot be written.
    """
    run = RunDirectory(path, writes=writes)
    try:
        with locked(run.path) if writes else nullcontext():
            kept = [file for file in (run.splits, run.skipped_cases) if file.exists()]
            try:
                yield run
            finally:
                if writes and not run.config_file.exists():
                    _remove_start(run, kept)
    finally:
        if writes and not run.config_file.exists():
            with suppress(OSError):  # it holds somebody else's files
                run.path.rmdir()


def _remove_start(run: RunDirectory, kept: Container[Path]) -> None:
    for file in (run.splits, run.skipped_cases):
        if file not in kept:
            file.unlink(missing_ok=True)
    with suppress(OSError):
        run.samples.rmdir()


def recorded(request: Request) -> bool:
    """Returns whether config.json holds what a command line asks for."""
    file = request.out / "config.json"
    if not file.exists():
        return False
    return not request.changes or _settings(request).items() <= read_json(file).items()


def _settings(request: Request) -> dict[str, Any]:
    """What `--allow-config-change` may change, as JSON gives it back."""
    config = json.loads(json.dumps(dataclasses.asdict(request.config)))
    return {"preset": request.preset, "precision": request.precision, "config": config}


def record_start(run: Run, fingerprint: Optional[str] = None) -> None:
    """Writes a new run's config.json, and environment.json of the latest start.

    In a resumed run's config.json only the folders of data and source, the script's own options
    and fields that were not known before can change. With `--allow-config-change` settings can
    change, too; the former ones are kept in the list `earlier`. Call it after the data has been
    found: before that, a mistake must not occupy `--out`.
    """
    if not run.writes:
        return
    request = run.request
    saved = read_json(run.config_file) if run.config_file.exists() else {}
    settings = _settings(request)
    start = saved or settings
    if saved and not recorded(request):
        former = {name: saved[name] for name in settings}
        start = {**saved, **settings, "earlier": [*saved.get("earlier", []), former]}
    known = {
        "script": run.experiment.script,
        "run": request.run and str(request.run),
        "fingerprint": fingerprint,
        "skip_bad": request.skip_bad,
        "options": {name: _plain(value) for name, value in request.options.items()},
    }
    data = str(request.data) if request.data else None
    start = {**start, "data": data, **{key: value for key, value in known.items() if value}}
    if start != saved:
        write_json(run.config_file, start)
    devices = {
        "devices": [device.device_type for device in tf.config.list_logical_devices()],
        "gpus": [_name(device) for device in tf.config.list_physical_devices("GPU")],
        "replicas": run.strategy.num_replicas_in_sync,
        "precision": request.precision,
    }
    write_json(run.environment, {**environment_record(), **devices})


def _name(device: Any) -> str:
    return tf.config.experimental.get_device_details(device).get("device_name", device.name)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def command(run: Run, **options: Any) -> str:
    """Returns the command that repeats a run; `options` replace those of its last start."""
    request = run.request
    options = {**request.options, **options}
    config = dataclasses.asdict(request.config)
    named = request.run is not None
    text = spell(run.experiment, request.preset, config, options, named, request.data is not None)
    text = f"{text} --skip-bad" if request.skip_bad and not named else text
    return f"{text}{CHANGED}" if request.changed else text


def spell(
    experiment: Experiment,
    preset: str,
    config: Mapping[str, Any],
    options: Mapping[str, Any],
    named: bool = True,
    real: bool = False,
) -> str:
    """Returns a command line with everything that differs from a preset.

    Args:
        experiment: whose command it is.
        preset: of the configuration.
        config: nested mapping, as in config.json.
        options: values of the script's own options; those left out have their default.
        named: the finished run is named, as RUN; else the command makes one.
        real: the command names a data folder, as DIR.
    """
    words = ["python", experiment.script, "--preset", preset, *(["--run", "RUN"] if named else [])]
    for option in experiment.options:
        value = options.get(option.field, option.default)
        if value != option.default:
            is_path = Path in (option.type, *get_args(option.type))
            words += [f"--{option.name}", "PATH" if is_path else str(value)]
    usual = flatten(dataclasses.asdict(experiment.presets[preset]))
    for name, value in flatten(config).items():
        if json.dumps(value) != json.dumps(usual.get(name)):
            text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            words.append(f"--{name}={text}")
    return shlex.join([*words, *(["--data", "DIR"] if real else [])])


@contextmanager
def timed(run: RunDirectory, key: str) -> Iterator[None]:
    """Adds the seconds that its block takes to `<key>/seconds` of metrics.json.

    A resumed run adds to what it has taken before, also if it was interrupted.
    """
    started = time.monotonic()
    try:
        yield
    finally:
        if run.writes:
            name = f"{key}/seconds"
            before = run.read_metrics().get(name, 0.0)
            run.update_metrics({name: before + time.monotonic() - started})
