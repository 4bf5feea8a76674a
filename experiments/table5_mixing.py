"""Table 5: train segmenters on mixtures of real, synthetic and enhanced slices, test on real ones.

    python experiments/table5_mixing.py --run RUN --rows 1,3,7,13,25   # RUN: a finished main run
    python experiments/table5_mixing.py --run RUN --rows all --seeds 2
    python experiments/table5_mixing.py --preset demo                  # makes the main run first
    python experiments/table5_mixing.py --out OUT --resume --rows all  # more rows, or after a stop

Results: table5.csv, table5.md, table5.png, claims.md, rows/*.json in the run directory.
Source: Yili Qu, master thesis, 5.6.1, Table 5.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ours before any other `utils`

from utils.runs.environment import prepare_tensorflow, require_supported_versions

require_supported_versions()
prepare_tensorflow()

import tensorflow as tf

from data.pipeline import RecordFile, number_of_slices
from experiments.configs.table5 import PRESETS, Table5Config
from experiments.engine.cli import Launch, Option, Script, main, parse
from experiments.engine.evidence import Stopwatch, open_evidence
from experiments.systems.structure_gan.context import Context
from experiments.tables.mixing.rows import Row, choose_rows
from experiments.tables.mixing.synthetic import draw_selected, record_files
from experiments.tables.mixing.table import write_results
from experiments.tables.mixing.training import Bench, train_rows
from utils.config import to_yaml
from utils.errors import UserError
from utils.runs.run_directory import RunDirectory
from utils.training.distribute import wait_for_all_workers
from utils.training.trainer import check_batch_size

SCRIPT = Script(
    "experiments/table5_mixing.py",
    __doc__.split("\n")[0],
    PRESETS,
    stages=("rows", "table"),
    reads_run=True,
    options=(
        Option("rows", str, "all", "all, or numbers such as 1,3,7,c10 (c10, c20: real alone)"),
        Option("seeds", int, 1, "repeats of every row, with other weights, order and part"),
    ),
)


def execute(launch: Launch, run: RunDirectory, strategy: tf.distribute.Strategy) -> None:
    """Trains the rows that have no result yet and writes the table of all that have one."""
    config, rows, seeds = (
        launch.config,
        choose_rows(launch.options["rows"]),
        launch.options["seeds"],
    )
    if seeds < 1:
        raise UserError(f"--seeds is {seeds}; give 1 or more")
    check_batch_size("--schedule.batch_size", config.schedule.batch_size, strategy)
    if launch.dry_run:
        _print_plan(config, rows, seeds)
        return
    context = open_evidence(launch, run, strategy)
    if "rows" in launch.stages:
        with Stopwatch(run, "table5"):
            synthetic = _synthetic(config, context, run, rows)
            train_rows(Bench(config, context, run, synthetic), rows, seeds)
    if "table" in launch.stages and run.writes:
        write_results(run, SCRIPT, launch, context)
        print(f"table: {run.path / 'table5.md'}")


def _synthetic(
    config: Table5Config, context: Context, run: RunDirectory, rows: Sequence[Row]
) -> list[RecordFile]:
    """Returns files with as many synthetic slices as the largest row needs."""
    size = number_of_slices(context.prepared, context.split.train)
    needed = max(round(row.synthetic * size) for row in rows)
    if needed and run.writes:
        # Building networks under the strategy would wait for the other workers.
        alone = replace(context, strategy=tf.distribute.get_strategy())
        draw_selected(alone, run.synthetic, needed, config.max_draws)
        record_files(run.synthetic, needed, len(context.prepared.subject_ids))
    wait_for_all_workers(context.strategy)
    return record_files(run.synthetic, needed, len(context.prepared.subject_ids)) if needed else []


def _print_plan(config: Table5Config, rows: Sequence[Row], seeds: int) -> None:
    print(to_yaml(config))
    schedule = config.schedule
    length = f"{schedule.steps} steps" if schedule.steps else f"{schedule.epochs} real epochs"
    print(f"each row: {length} of batch {schedule.batch_size}; repeats: {seeds}\n")
    for row in rows:
        print(f"  {row.no:>3}  {row.describe()}")


if __name__ == "__main__":
    sys.exit(main(lambda: parse(sys.argv[1:], SCRIPT), execute))
