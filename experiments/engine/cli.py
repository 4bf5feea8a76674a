"""What every training script shares: command line, run directory, exit codes.

Exit codes: 0 done, 1 failed, 2 bad usage or bad data, 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import secrets
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import tensorflow as tf

from experiments.engine.command import Launch
from experiments.engine.resuming import check_changes, saved_run
from experiments.engine.starting import recorded, starting
from utils.config import Parser, add_config, check_yaml, flatten, from_dict, from_namespace
from utils.errors import DiskFullError, TrainingError, UserError
from utils.runs.cluster import naming_lost_workers
from utils.runs.environment import REPOSITORY
from utils.runs.files import naming_full_disk
from utils.runs.names import printable
from utils.runs.run_directory import RunDirectory
from utils.training.distribute import cpu_note, is_chief, make_strategy
from utils.training.signals import INTERRUPTED, Interrupted

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class Option:
    """A word of one script's command line beyond those that all scripts share.

    Attributes:
        name: without dashes in front, such as "rows".
        type: of its value, such as `str` or `Optional[Path]`; a `bool` is a switch without value.
        default: its value when it is left out.
        help: one line, with the unit if there is one.
    """

    name: str
    type: Any
    default: Any
    help: str

    @property
    def field(self) -> str:
        """The name under which the parser keeps the value."""
        return self.name.replace("-", "_")


@dataclass(frozen=True)
class Script:
    """What distinguishes one script's command line from another's.

    Attributes:
        path: of the script, from the repository on.
        description: its first line of `--help`.
        presets: configurations by name.
        stages: names of its stages, in order.
        reads_run: whether it works on a finished main run, which `--run` names.
        options: further words; on resume they may differ from those of the start.
    """

    path: str
    description: str
    presets: Mapping[str, Any]
    stages: Sequence[str]
    reads_run: bool = False
    options: tuple[Option, ...] = ()


def default_cache() -> Path:
    """Returns the folder for phantom and prepared slices, outside the repository."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "synthetic-labelled-mri"


def parse(argv: Sequence[str], script: Script) -> Launch:
    """Returns the launch that a command line describes; mistakes end with exit code 2.

    A preset's values give way to those of `--config` files, these to options, wherever they stand.
    With `--resume` the run's own config.json is the starting point. What options would change of
    it is refused without `--allow-config-change`, and its data always, of which only the folder may
    have moved. Without `--preset` a script that reads a main run takes that run's preset.
    """
    argv = _config_files_first(argv)
    first = _first_look(argv, script)
    preset, config, saved = _beginning(first, script)
    parser = _base_parser(script)
    add_config(parser, config)
    parser.set_defaults(
        precision=saved.get("precision", PRECISIONS[0]), skip_bad=bool(saved.get("skip_bad"))
    )
    options = parser.parse_args(argv)
    for name, value in vars(first).items():
        if options[name] != value:
            word = name.replace("_", "-")
            raise UserError(f"a --config file sets {word}; give --{word} on the command line")
    chosen = from_namespace(type(config), options)
    changes = check_changes(options, saved, chosen, script.reads_run) if saved else ()
    _refuse_lost_noise(chosen, options.precision)
    if options.out is None and os.environ.get("TF_CONFIG"):
        raise UserError("--out is missing; give a folder that all workers of TF_CONFIG see")
    options.out = options.out or _new_run(preset, script)
    command = _command(parser, options, script)
    if saved.get("data") and options.data is None:
        options.data = Path(saved["data"])
    if script.reads_run and saved.get("run") and options.run is None:
        options.run = Path(saved["run"])
    if options.data is not None and not options.data.is_dir():
        wanted = "the new place of the run's data" if saved else "the root of the BRATS tree"
        raise UserError(f"--data {options.data} is not a folder; give {wanted}")
    launch = _launch(options, preset, chosen, command, script)
    return dataclasses.replace(
        launch, changes=changes, changed=bool(changes or saved.get("earlier"))
    )


def _beginning(first: argparse.Namespace, script: Script) -> tuple[str, Any, dict]:
    """Returns preset and configuration that options change, and what a resumed run has saved."""
    preset, saved = first.preset or ("thesis" if first.data else "demo"), {}
    config = script.presets.get(preset, next(iter(script.presets.values())))
    if first.resume:
        saved = saved_run(first.out, "--resume needs --out with")
        if first.preset in (None, saved["preset"]) or not first.allow_config_change:
            preset, config = saved["preset"], from_dict(type(config), saved["config"])
    elif first.allow_config_change:
        raise UserError("--allow-config-change goes with --resume; add that or leave this out")
    elif script.reads_run and first.run is not None:
        preset = first.preset or saved_run(first.run, "--run needs")["preset"]
        config = script.presets.get(preset, config)
    return preset, config, saved


def _new_run(preset: str, script: Script) -> Path:
    """Returns a folder's name that no run of the same second has, on whatever host."""
    started = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    return Path("runs") / f"{Path(script.path).stem}-{preset}-{started}"


def _config_files_first(argv: Sequence[str]) -> list[str]:
    """Moves `--config FILE` to the front: the parser lets the last word win."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", action="append", default=[])
    found, rest = parser.parse_known_args(argv)
    for file in found.config:
        check_yaml(Path(file))
    return [*(f"--config={file}" for file in found.config), *rest]


def _first_look(argv: Sequence[str], script: Script) -> argparse.Namespace:
    """Reads the few options that decide which configuration the others change."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    for name in ("--resume", "--allow-config-change"):
        parser.add_argument(name, action="store_true")
    if script.reads_run:
        parser.add_argument("--run", type=Path)
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


def _command(parser: Parser, options: Any, script: Script) -> str:
    """Returns the command that continues a run on the same devices, with the same cache."""
    words = [sys.executable, str(REPOSITORY / script.path), "--out", str(options.out), "--resume"]
    moved = ("data",) if options.resume else ()  # a new run's config.json holds the folder
    own = tuple(option.field for option in script.options)
    for name in ("stages", "devices", "precision", "cache", *own, *moved):
        if options[name] != parser.get_default(name):
            value = [] if options[name] is True else [str(options[name])]
            words += [f"--{name.replace('_', '-')}", *value]
    return shlex.join(words)


def _base_parser(script: Script) -> Parser:
    program = f"python {script.path}"
    parser = Parser(
        prog=program,
        usage=f"{program} [options]",
        description=script.description,
        allow_abbrev=False,
    )
    add = parser.add_argument
    if script.reads_run:
        add("--run", type=Optional[Path], help="finished main run; default: made in OUT/main")
    for option in script.options:
        value = {"type": option.type, "default": option.default}
        switch = {"action": "store_true"}
        add(f"--{option.name}", help=option.help, **(switch if option.type is bool else value))
    add("--data", type=Optional[Path], help="BRATS folder (default: phantom), also one that moved")
    add("--preset", choices=list(script.presets), help="default: demo, or thesis with --data")
    add("--out", type=Optional[Path], help="run directory; default: runs/<script>-<preset>-<time>")
    add(
        "--stages", type=str, default=",".join(script.stages), help="comma-separated, in this order"
    )
    add("--resume", action="store_true", help="continue the run in --out")
    add(
        "--allow-config-change",
        action="store_true",
        help="let --resume go on with other settings; config.json keeps the earlier ones",
    )
    add("--devices", type=Optional[int], help="devices to train on; CPUs are split into logical")
    add("--precision", choices=list(PRECISIONS), default="float32", help="arithmetic of networks")
    add("--cache", type=Path, default=default_cache(), help="prepared slices and phantom")
    add("--skip-bad", action="store_true", help="train without the cases that --data has damaged")
    add("--dry-run", action="store_true", help="print configuration and plan, run nothing")
    add("--debug", action="store_true", help="show tracebacks")
    return parser


def _launch(options: Any, preset: str, config: Any, command: str, script: Script) -> Launch:
    if options.devices is not None and options.devices < 1:
        raise UserError(f"--devices is {options.devices}; give 1 or more")
    if not options.dry_run:
        _refuse_occupied(options.out, options.resume)
    return Launch(
        preset=preset,
        config=config,
        data=options.data.resolve() if options.data else None,
        source=options.run.resolve() if script.reads_run and options.run else None,
        out=options.out,
        cache=options.cache,
        stages=_chosen_stages(options.stages, script.stages),
        resume=options.resume,
        devices=options.devices,
        precision=options.precision,
        skip_bad=options.skip_bad,
        dry_run=options.dry_run,
        debug=options.debug,
        command=command,
        options={option.field: options[option.field] for option in script.options},
    )


def _refuse_occupied(out: Path, resume: bool) -> None:
    if (out / "config.json").exists() and not resume:
        raise UserError(f"--out {out} already holds a run; add --resume or choose another folder")


def _chosen_stages(words: str, known: Sequence[str]) -> list[str]:
    names = [word.strip() for word in words.split(",") if word.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise UserError(f"--stages is {words!r}; choose from {', '.join(known)}")
    return [name for name in known if name in names]


MISTAKES = (UserError, DiskFullError, TrainingError, tf.errors.OpError, OSError, MemoryError)
Execute = Callable[[Launch, RunDirectory, tf.distribute.Strategy], None]


def main(parse_launch: Callable[[], Launch], execute: Execute) -> int:
    """Runs a training's or table's work and returns its exit code."""
    launch = None

    def work() -> None:
        nonlocal launch
        launch = parse_launch()
        with naming_lost_workers():
            start(launch)

    def start(launch: Launch) -> None:
        strategy = make_strategy(launch.devices)
        tf.keras.mixed_precision.set_global_policy(launch.precision)
        chief = is_chief(strategy)
        writes = chief and not launch.dry_run
        with naming_full_disk(launch.out), starting(launch.out, writes) as run:
            if run.writes:
                _refuse_occupied(launch.out, launch.resume)  # also by a run that ended just now
            notes = [f"changed: {change}" for change in launch.changes if chief]
            for note in filter(None, [*notes, cpu_note() if writes else None]):
                print(note)
            execute(launch, run, strategy)

    def after_interrupt() -> str:
        if launch and recorded(launch):
            return f"what is finished is saved; continue with: {launch.command}"
        return "this start has saved nothing yet; give the same command again"

    return exit_code(work, after_interrupt)


def exit_code(work: Callable[[], None], after_interrupt: Callable[[], str]) -> int:
    """Runs a script's work; mistakes of the user become one sentence, `--debug` shows tracebacks.

    `after_interrupt` says after Ctrl-C or on a full disk what is left and how to go on.
    """
    # SIGTERM outside of training behaves like Ctrl-C, also where that is ignored.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Systems are compiled one by one on purpose; TensorFlow takes that for accidental retracing.
    tf.get_logger().setLevel("ERROR")
    try:
        work()
        return 0
    except (KeyboardInterrupt, Interrupted) as stop:
        where = f" ({stop})" if str(stop) else ""
        print(f"\ninterrupted{where}, {after_interrupt()}", file=sys.stderr)
        return INTERRUPTED
    except MISTAKES as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        if isinstance(error, MemoryError):
            error = f"there is not enough memory ({error}); take smaller batches"
        rest = f"; {after_interrupt()}" if isinstance(error, DiskFullError) else ""
        print(printable(f"error: {error}{rest}", kept="\n"), file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
