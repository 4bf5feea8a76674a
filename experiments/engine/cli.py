"""The command line of every training, table and figure, and the exit codes of all scripts.

Exit codes: 0 done, 1 failed, 2 bad usage or bad data, 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import secrets
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Optional, Union

import tensorflow as tf

from experiments.engine.experiment import Experiment
from experiments.engine.performing import perform
from experiments.engine.recording import recorded, starting
from experiments.engine.request import Request
from experiments.engine.resuming import PRECISIONS, check_changes, saved_run
from experiments.engine.run import Run
from utils.config import (
    Parser,
    add_config,
    check_yaml,
    field_types,
    flatten,
    from_dict,
    from_namespace,
    with_values,
)
from utils.errors import UserError
from utils.runs.cluster import naming_lost_workers
from utils.runs.environment import REPOSITORY, default_cache
from utils.runs.exits import ending
from utils.runs.files import naming_full_disk
from utils.training.distribute import cpu_note, is_chief, make_strategy

RARE = {"debug", "allow_config_change"}  # left to --help-all


def main(
    script: Union[Experiment, Callable[[Sequence[str]], Experiment]],
    argv: Optional[Sequence[str]] = None,
) -> int:
    """Runs a script and returns its exit code.

    Args:
        script: what it runs, or a function to it from the arguments.
        argv: arguments, by default the process'.
    """
    request: Optional[Request] = None
    argv = sys.argv[1:] if argv is None else argv

    def after_interrupt() -> str:
        if request and recorded(request):
            return f"what is finished is saved; continue with: {request.command}"
        return "this start has saved nothing yet; give the same command again"

    with ending(after_interrupt) as end:
        experiment = script if isinstance(script, Experiment) else script(argv)
        request = parse(argv, experiment)
        with naming_lost_workers(), naming_full_disk(request.out):
            strategy = make_strategy(request.devices)
            tf.keras.mixed_precision.set_global_policy(request.precision)
            chief = is_chief(strategy)
            with starting(request.out, chief and not request.dry_run) as directory:
                run = Run(experiment, request, strategy, directory.writes)
                _greet(run, chief)
                perform(run)
                if run.writes and run.report.exists() and "report" in request.stages:
                    print(f"report: {run.report}")
    return end.code


def _greet(run: Run, chief: bool) -> None:
    """Prints changed settings and a device note; refuses a folder that a new run has just taken."""
    if run.writes:
        _refuse_occupied(run.path, run.request.resume)
    notes = [f"changed: {change}" for change in run.request.changes if chief]
    for note in filter(None, [*notes, cpu_note() if run.writes else None]):
        print(note)


def parse(argv: Sequence[str], experiment: Experiment) -> Request:
    """Returns the request that a command line describes; mistakes end with exit code 2.

    Precedence, whatever the order: command-line options, then `--config` files, then the variant,
    then the preset.
    With `--resume` the run's own config.json is the starting point. Options that change it are
    refused without `--allow-config-change`. Other data is always refused, but the data's folder may
    have moved. Without `--preset` a script that reads a finished run takes that run's preset.
    """
    _refuse_empty_paths(argv)
    argv = _config_files_first(argv)
    first = _first_look(argv)
    preset, config, saved = _beginning(first, experiment)
    config = with_values(config, experiment.variants.get(first.variant, {}))
    parser = _parser(experiment)
    own = {action.dest for action in parser._actions} - RARE
    add_config(parser, config)
    parser.show_only({*own, "config", *_single_fields(config), *experiment.shown})
    parser.set_defaults(
        precision=saved.get("precision", PRECISIONS[0]), skip_bad=bool(saved.get("skip_bad"))
    )
    options = parser.parse_args(argv)
    for name, value in vars(first).items():
        if options.get(name) != value and name in options:
            word = name.replace("_", "-")
            raise UserError(f"a --config file sets {word}; give --{word} on the command line")
    chosen = from_namespace(type(config), options)
    changes = check_changes(options, saved, chosen, experiment.reads_run) if saved else ()
    _refuse_lost_noise(chosen, options.precision)
    if options.out is None and os.environ.get("TF_CONFIG"):
        raise UserError("--out is missing; give a folder that all workers of TF_CONFIG see")
    options.out = options.out or _new_run(preset, experiment)
    command = _command(parser, options, experiment)
    if saved.get("data") and options.data is None:
        options.data = Path(saved["data"])
    run = options.get("run")
    if "run" in options and run is None and saved.get("run"):
        run = Path(saved["run"])
    if options.data is not None and not options.data.is_dir():
        wanted = "the new place of the run's data" if saved else "the folder of your data"
        raise UserError(f"--data {options.data} is not a folder; give {wanted}")
    if options.devices is not None and options.devices < 1:
        raise UserError(f"--devices is {options.devices}; give 1 or more")
    if not options.dry_run:
        _refuse_occupied(options.out, options.resume)
    same = ("out", "cache", "resume", "devices", "precision", "skip_bad", "dry_run", "debug")
    return Request(
        preset=preset,
        config=chosen,
        data=options.data.resolve() if options.data else None,
        run=run.resolve() if run else None,
        stages=_chosen_stages(options.stages, experiment.names),
        command=command,
        options={option.field: options[option.field] for option in experiment.options},
        changes=changes,
        changed=bool(changes or saved.get("earlier")),
        **{name: options[name] for name in same},
    )


def _beginning(first: argparse.Namespace, experiment: Experiment) -> tuple[str, Any, dict]:
    """Returns preset and configuration that options change, and what a resumed run has saved."""
    preset, saved = first.preset or ("thesis" if first.data else "demo"), {}
    if first.resume:
        saved = saved_run(first.out, "--resume needs --out with")
        if first.preset in (None, saved["preset"]) or not first.allow_config_change:
            return saved["preset"], from_dict(experiment.config_type, saved["config"]), saved
    elif first.allow_config_change:
        raise UserError("--allow-config-change goes with --resume; add that or leave this out")
    elif experiment.reads_run and first.run is not None:
        preset = first.preset or saved_run(first.run, "--run needs")["preset"]
    if preset not in experiment.presets:  # a mistyped one is refused by the parser
        preset = next(iter(experiment.presets))
    return preset, experiment.presets[preset], saved


def _new_run(preset: str, experiment: Experiment) -> Path:
    """Returns a folder's name that no run of the same second has, on whatever host."""
    started = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    return Path("runs") / f"{Path(experiment.script).stem}-{preset}-{started}"


def _config_files_first(argv: Sequence[str]) -> list[str]:
    """Moves `--config FILE` to the front, so that other options override the file.

    If a setting is given twice, the parser keeps the last value.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", action="append", default=[])
    found, rest = parser.parse_known_args(argv)
    for file in found.config:
        check_yaml(Path(file))
    return [*(f"--config={file}" for file in found.config), *rest]


def _refuse_empty_paths(argv: Sequence[str]) -> None:
    """Raises UserError for an empty path, for example from a shell variable that is not set."""
    for word, following in zip(argv, [*argv[1:], "-"]):
        name = word.rstrip("=")
        if name in ("--out", "--data", "--run", "--cache") and (word != name or not following):
            raise UserError(f"{name} is empty; give a folder or leave it out")


def _first_look(argv: Sequence[str]) -> argparse.Namespace:
    """Reads the few options that decide which configuration the others change."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset")
    parser.add_argument("--variant")
    for name in ("--data", "--out", "--run"):
        parser.add_argument(name, type=Path)
    for name in ("--resume", "--allow-config-change"):
        parser.add_argument(name, action="store_true")
    return parser.parse_known_args(argv)[0]


def _refuse_lost_noise(config: Any, precision: str) -> None:
    """Raises UserError for mean-filter kernels in 16 bits, which swallow their noise of 1e-6."""
    lost = [
        name
        for name, value in flatten(dataclasses.asdict(config)).items()
        if name.endswith("initializer") and str(value).startswith("mean_filter")
    ]
    if lost and precision != "float32":
        raise UserError(
            f"--precision {precision} rounds away the noise by which the filters of a mean_filter "
            f"differ at the start; add {' '.join(f'--{name} he_normal' for name in lost)} or leave "
            "out --precision"
        )


def _command(parser: Parser, options: Any, experiment: Experiment) -> str:
    """Returns the command that continues a run on the same devices, with the same cache."""
    script = str(REPOSITORY / experiment.script)
    words = [sys.executable, script, "--out", str(options.out), "--resume"]
    moved = ("data",) if options.resume else ()  # a new run's config.json holds the folder
    own = tuple(option.field for option in experiment.options)
    for name in ("stages", "devices", "precision", "cache", *own, *moved):
        if options[name] != parser.get_default(name):
            value = [] if options[name] is True else [str(options[name])]
            words += [f"--{name.replace('_', '-')}", *value]
    return shlex.join(words)


def _parser(experiment: Experiment) -> Parser:
    program, stages = f"python {experiment.script}", ",".join(experiment.names)
    parser = Parser(
        prog=program,
        usage=f"{program} [options]",
        description=experiment.summary,
        allow_abbrev=False,
    )
    add = parser.add_argument
    if experiment.reads_run:
        add(
            "--run",
            type=Optional[Path],
            help="finished run of the system; default: made in OUT/main",
        )
    for option in experiment.options:
        value = {"type": option.type, "default": option.default}
        switch = {"action": "store_true"}
        add(f"--{option.name}", help=option.help, **(switch if option.type is bool else value))
    add("--data", type=Optional[Path], help="data folder (default: phantom), also one that moved")
    add("--preset", choices=list(experiment.presets), help=_preset_help(experiment))
    if experiment.variants:
        add("--variant", choices=list(experiment.variants), help="settings of another source")
    add("--out", type=Optional[Path], help="run directory; default: runs/<script>-<preset>-<time>")
    add("--stages", type=str, default=stages, help="comma-separated, in this order")
    add("--resume", action="store_true", help="continue the run in --out")
    add(
        "--allow-config-change",
        action="store_true",
        help="let --resume go on with other settings; config.json keeps the earlier ones",
    )
    add("--devices", type=Optional[int], help="devices to train on; CPUs are split into logical")
    add("--precision", choices=list(PRECISIONS), default="float32", help="Keras precision policy")
    add("--cache", type=Path, default=default_cache(), help="prepared slices and phantom")
    add("--skip-bad", action="store_true", help="train without the cases that --data has damaged")
    add("--dry-run", action="store_true", help="print configuration and plan, run nothing")
    add("--debug", action="store_true", help="show tracebacks")
    return parser


def _single_fields(config: Any) -> set[str]:
    """Returns the names of the settings that are in no group."""
    groups = (name for name, kind in field_types(config).items() if dataclasses.is_dataclass(kind))
    return set(field_types(config)) - set(groups)


def _preset_help(experiment: Experiment) -> str:
    if {"demo", "thesis"} <= set(experiment.presets):
        return "default: demo, or thesis with --data"
    return f"default: {next(iter(experiment.presets))}"


def _refuse_occupied(out: Path, resume: bool) -> None:
    if (out / "config.json").exists() and not resume:
        raise UserError(f"--out {out} already holds a run; add --resume or choose another folder")


def _chosen_stages(words: str, known: Sequence[str]) -> tuple[str, ...]:
    names = [word.strip() for word in words.split(",") if word.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise UserError(f"--stages is {words!r}; choose from {', '.join(known)}")
    return tuple(name for name in known if name in names)
