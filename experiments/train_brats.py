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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ours before any other `utils`

from utils.runs.environment import prepare_tensorflow, require_supported_versions

require_supported_versions()
prepare_tensorflow()

from experiments.configs.brats import PRESETS
from experiments.engine.cli import Script, main, parse
from experiments.engine.job import TrainingJob
from experiments.engine.plan import print_brats_plan
from experiments.systems.structure_gan.context import check_sizes, open_context
from experiments.systems.structure_gan.dataset import build_dataset
from experiments.systems.structure_gan.evaluation import evaluate
from experiments.systems.structure_gan.report import write_report
from experiments.systems.structure_gan.training import (
    train_registration,
    train_segmentation,
    train_structure,
    train_synthesis,
)

JOB = TrainingJob(
    stages={
        "structure": train_structure,
        "segmentation": train_segmentation,
        "registration": train_registration,
        "synthesis": train_synthesis,
        "dataset": build_dataset,
        "evaluate": evaluate,
        "report": write_report,
    },
    trainings=("structure", "segmentation", "registration", "synthesis"),
    needs={
        "synthesis": ("structure", "segmentation", "registration"),
        "dataset": ("structure", "segmentation", "registration", "synthesis"),
        "evaluate": ("segmentation", "dataset"),
        "report": ("dataset", "evaluate"),
    },
    check=check_sizes,
    plan=print_brats_plan,
    open_context=open_context,
)
SCRIPT = Script(
    "experiments/train_brats.py", __doc__.split("\n")[0], PRESETS, stages=tuple(JOB.stages)
)

if __name__ == "__main__":
    sys.exit(main(lambda: parse(sys.argv[1:], SCRIPT), JOB.execute))
