"""Measure how fast the training stages of the main system, or of SAMR, run on this machine.

    python experiments/benchmark.py                                   # all stages, preset demo
    python experiments/benchmark.py --stage synthesis --quick
    python experiments/benchmark.py --stage registration,synthesis --width 64 --size 184x144
    python experiments/benchmark.py --stage segmenter,gan              # those of train_samr.py
    python experiments/benchmark.py --precision mixed_bfloat16 --json speed.json

With --quick a first result takes less than a minute; the reference implementation, which compiles
longest, is left out.

step_ms is the median time of an update on a batch in memory; the JSON file has the quartiles too.
data_wait is the fraction of time that a training waits for its next batch. Two other measurements
take turns with the step. plain_step_ms is the time of the reference implementation: the same update
as the original graph makes it, with a whole network call for every map, image and translation (of
SAMR's generator for every network that it updates) and with single operations for norms,
activations, up-sampling and joined skips.
conv_gflops is the rate of bare convolutions: tf.nn.conv2d called by itself for every shape of a
Conv2D in the step (the gradients of up-sampling rows are such, too), weighted with its number.
conv_fraction is the fraction of step_ms that the step's convolutions would take at that rate. Their
operations are counted in the step's graph, forward and backward: every Conv2D, Conv2DBackpropInput
and Conv2DBackpropFilter that runs counts
2 * batch * height * width * kernel height * kernel width * channels in * channels out, height and
width being those of its forward convolution's output. peak_mib is the most memory that the process
has had before the stage's reference: earlier stages count, so give one at a time to compare.
Weights are untrained.
"""

from __future__ import annotations

import _start

import platform
import re
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Optional

import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from experiments.benchmarking.measuring import measured
from experiments.benchmarking.stages import (
    MAIN,
    SYSTEMS,
    Config,
    System,
    open_untrained,
    with_batches,
)
from experiments.engine.cli import default_cache
from experiments.engine.resuming import PRECISIONS
from utils.config import Parser
from utils.errors import UserError
from utils.reporting.tables import markdown_table
from utils.runs.environment import environment_record
from utils.runs.exits import exit_code
from utils.runs.files import write_json
from utils.runs.outputs import check_output_file
from utils.training.distribute import make_strategy
from utils.training.trainer import check_batch_size

REPEATS, QUICK_REPEATS = 20, 3
LEAST = {"devices": 1, "batch_size": 1, "repeats": 1, "width": 2}
DATA_OPTIONS = {"label_scheme": "what label values mean", "layout": "YAML file of unknown names"}
# Columns of the table on screen, which leaves out what is the same in all rows.
COLUMNS = (
    "stage",
    "width",
    "size",
    "batch_size",
    "step_ms",
    "plain_step_ms",
    "speedup",
    "images_per_s",
    "data_wait",
    "conv_gflops",
    "conv_fraction",
    "peak_mib",
)


def parse(argv: Optional[Sequence[str]]) -> Any:
    """Returns the options; UserError for numbers that are too small."""
    parser = Parser(
        prog="python experiments/benchmark.py",
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--stage", type=str, default=",".join(MAIN.stages), help="stages, comma-separated")
    add(
        "--preset",
        choices=list(MAIN.experiment.presets),
        default="demo",
        help="sizes, where no option gives them",
    )
    add("--width", type=Optional[int], help="base width of every network, channels")
    add("--size", type=Optional[str], help="HEIGHTxWIDTH of slices and maps, pixels")
    add("--batch_size", type=Optional[int], help="slices per update over all devices")
    add("--precision", choices=list(PRECISIONS), default="float32", help="Keras precision policy")
    add("--devices", type=Optional[int], help="devices to train on; CPUs are split into logical")
    add("--data", type=Optional[Path], help="BRATS folder; default: a built-in phantom")
    for name, text in DATA_OPTIONS.items():
        add(f"--slicing.{name}", type=Optional[str], help=f"of --data, {text}")
    add("--cache", type=Path, default=default_cache(), help="prepared slices and phantom")
    add("--repeats", type=Optional[int], help=f"times that each is measured; default: {REPEATS}")
    quick = f"{QUICK_REPEATS} repeats without the reference: less than a minute a stage of the demo"
    add("--quick", action="store_true", help=quick)
    add(
        "--profile",
        action="store_true",
        help="also show the operations whose CPU kernels take longest",
    )
    add("--json", type=Optional[Path], help="file for the rows; default: none is written")
    add("--overwrite", action="store_true", help="replace the file that --json names")
    add("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    for name, least in LEAST.items():
        if options[name] is not None and options[name] < least:
            raise UserError(f"--{name} is {options[name]}; give {least} or more")
    options.repeats = options.repeats or (QUICK_REPEATS if options.quick else REPEATS)
    return options


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Measures the chosen stages, prints the table and writes the file."""
    options = parse(argv)
    system, stages = chosen_stages(options.stage)
    config = chosen_config(system, options)
    given = {name: options[f"slicing.{name}"] for name in DATA_OPTIONS}
    config = replace(config, slicing=replace(config.slicing, **given))
    if options.json:
        check_output_file("--json", options.json, options.overwrite)
    strategy = make_strategy(options.devices)
    for stage in stages:
        check_batch_size("--batch_size", getattr(config.schedule, stage).batch_size, strategy)
    tf.keras.mixed_precision.set_global_policy(options.precision)
    rows = []
    with TemporaryDirectory() as folder:
        cache, data = options.cache, options.data and options.data.resolve()
        context = open_untrained(system.experiment, config, strategy, data, cache, Path(folder))
        setting = {
            "precision": options.precision,
            "devices": strategy.num_replicas_in_sync,
            "repeats": options.repeats,
            **machine(),
        }
        for stage in tqdm(stages, desc="Measuring", unit="stage"):
            compare, profile = not options.quick, options.profile
            figures = measured(context, stage, options.repeats, compare, profile)
            rows.append({**what(system, config, stage), **figures, **setting})
    print(screen_table(rows), end="")
    if options.profile:
        print(f"\n{profile_table(rows)}", end="")
    if options.json:
        write_json(options.json, rows)
        print(f"rows: {options.json}")


def chosen_stages(words: str) -> tuple[System, list[str]]:
    """Returns the stages that `--stage` names, in the order of a training, and their system.

    Raises UserError for others, and for stages of several systems.
    """
    names = {word.strip() for word in words.split(",")}
    for system in SYSTEMS:
        if names <= set(system.stages):
            return system, [name for name in system.stages if name in names]
    known = ", or from ".join(", ".join(system.stages) for system in SYSTEMS)
    raise UserError(f"--stage is {words!r}; choose from {known}")


def chosen_config(system: System, options: Any) -> Config:
    """Returns the preset with the sizes of the command line; UserError for those that do not fit.

    Args:
        system: whose preset it is.
        options: `preset`, and `width`, `size` and `batch_size` or None.
    """
    config = system.experiment.presets[options.preset]
    if options.size is not None:
        match = re.fullmatch(r"(\d+)x(\d+)", options.size)
        if not match:
            raise UserError(
                f"--size is {options.size!r}; give height and width in pixels, such as 96x72"
            )
        config = system.resized(config, (int(match[1]), int(match[2])))
    if options.width is not None:
        config = system.widened(config, options.width)
    return config if options.batch_size is None else with_batches(config, options.batch_size)


def what(system: System, config: Config, stage: str) -> dict[str, Any]:
    """Returns what is measured, the first columns of a row."""
    height, width = system.size(config, stage)
    return {
        "stage": stage,
        "width": system.width(config, stage),
        "size": f"{height}x{width}",
        "batch_size": getattr(config.schedule, stage).batch_size,
    }


def machine() -> dict[str, Any]:
    """Returns on what it is measured: `processor`, `gpus` and `versions`, no host or user name."""
    record = environment_record()
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return {
        "processor": f"{_processor()}, {record['cpus']} CPUs",
        "gpus": [found.get("device_name", "unknown") for found in details],
        "versions": {"python": record["python"], "git": record["git"], **record["packages"]},
    }


def _processor() -> str:
    """Returns the processor's name; Python knows it only on some systems."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else platform.processor() or platform.machine()


def screen_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the rows' most important results below a line with what they have in common."""
    first = rows[0]
    common = f"{first['precision']}, {first['devices']} device(s), {first['repeats']} repeats"
    processor = ", ".join([first["processor"], *first["gpus"]])
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).dropna(axis="columns", how="all")
    return f"{common}; {processor}\n\n{markdown_table(frame, digits=2)}"


def profile_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the fractions of the operations that take more than 1 % of a stage's time."""
    shares = [
        {"stage": row["stage"], "operation": kind, "share": share}
        for row in rows
        for kind, share in row["operations"].items()
        if share > 0.01
    ]
    return markdown_table(pd.DataFrame(shares), digits=3)


def _after_interrupt() -> str:
    return "nothing is written; give the same command again"


if __name__ == "__main__":
    sys.exit(exit_code(main, _after_interrupt))
