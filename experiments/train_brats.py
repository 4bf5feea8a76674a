"""Train the main system and build a labelled, registered, synthetic MRI set with it.

    python experiments/train_brats.py                      # built-in phantom, demo preset
    python experiments/train_brats.py --data BRATS2015     # your data, the thesis' settings
    python experiments/train_brats.py --preset tiny --out RUN
    python experiments/train_brats.py --out RUN --resume

Stages: structure -> segmentation -> registration -> synthesis -> dataset -> evaluate -> report.
Source: Yili Qu, master thesis (models/structure_gan maps its equations to this code).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ours before any other `utils`

from utils.environment import prepare_tensorflow, require_supported_versions

require_supported_versions()
prepare_tensorflow()

import tensorflow as tf

from experiments.configs.brats import PRESETS
from experiments.launch import Launch, Script, main, parse, record_start
from experiments.stages.context import Context, check_sizes, open_context
from experiments.stages.dataset import build_dataset
from experiments.stages.evaluation import evaluate
from experiments.stages.plan import print_plan
from experiments.stages.report import write_report
from experiments.stages.training import (
    train_registration,
    train_segmentation,
    train_structure,
    train_synthesis,
)
from utils.errors import UserError
from utils.run_directory import RunDirectory

STAGES = {
    "structure": train_structure,
    "segmentation": train_segmentation,
    "registration": train_registration,
    "synthesis": train_synthesis,
    "dataset": build_dataset,
    "evaluate": evaluate,
    "report": write_report,
}
COLLECTIVE = ("structure", "segmentation", "registration", "synthesis")  # need every worker
# What a stage reads from the run directory.
NEEDS = {
    "synthesis": ("structure", "segmentation", "registration"),
    "dataset": ("structure", "segmentation", "registration", "synthesis"),
    "evaluate": ("segmentation", "dataset"),
    "report": ("dataset", "evaluate"),
}


def check_stages(stages: Sequence[str], finished: Callable[[str], bool]) -> None:
    """Raises UserError if a chosen stage needs one that is neither chosen nor finished."""
    for stage in stages:
        needed = [name for name in NEEDS.get(stage, ()) if name not in stages]
        missing = [name for name in needed if not finished(name)]
        if missing:
            raise UserError(
                f"--stages has {stage}, which needs {', '.join(missing)}, neither chosen nor "
                "finished in --out; add to --stages or continue another run with --resume"
            )


def execute(launch: Launch, run: RunDirectory, strategy: tf.distribute.Strategy) -> None:
    """Runs the chosen stages in order, or prints the plan."""
    if launch.dry_run:
        check_sizes(launch.config, strategy)
        print_plan(launch.config, launch.stages)
        return
    if not launch.resume:  # told before the slices of all volumes are cut
        check_stages(launch.stages, lambda stage: False)
    context: Context = open_context(launch.config, run, strategy, launch.data, launch.cache)
    check_stages(launch.stages, context.finished)
    record_start(launch, run, strategy)
    alone = replace(context, strategy=tf.distribute.get_strategy())
    for stage in launch.stages:
        if stage in COLLECTIVE:
            STAGES[stage](context)
        elif run.writes:
            STAGES[stage](alone)  # building networks under `strategy` would wait for the others
    if run.writes and "report" in launch.stages:
        print(f"report: {run.report}")


SCRIPT = Script("experiments/train_brats.py", __doc__.split("\n")[0], PRESETS, stages=tuple(STAGES))

if __name__ == "__main__":
    sys.exit(main(lambda: parse(sys.argv[1:], SCRIPT), execute))
