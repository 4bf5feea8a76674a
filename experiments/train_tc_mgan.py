"""Train TC-MGAN: from T2 to Flair, T1c and T1, tumour kept.

    python experiments/train_tc_mgan.py                      # built-in phantom, demo preset
    python experiments/train_tc_mgan.py --data BraTS2018     # your data, the paper's settings
    python experiments/train_tc_mgan.py --gan.variant mgan
    python experiments/train_tc_mgan.py --out RUN --resume

Stages: segmenter -> gan -> evaluate -> report; experiments/translate.py uses the result.
Source: Xin, Hu, Zheng, Liao, "Multi-modality generative adversarial networks with tumor consistency
loss for brain MR image synthesis" (models/tc_mgan maps it to this code).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ours before any other `utils`

from utils.runs.environment import prepare_tensorflow, require_supported_versions

require_supported_versions()
prepare_tensorflow()

from experiments.configs.tc_mgan import PRESETS
from experiments.engine.cli import Script, main, parse
from experiments.engine.job import TrainingJob
from experiments.systems.tc_mgan.context import (
    check_batches,
    left_out,
    open_translation,
    print_translation_plan,
)
from experiments.systems.tc_mgan.evaluation import evaluate_translation
from experiments.systems.tc_mgan.report import write_translation_report
from experiments.systems.tc_mgan.training import train_gan, train_segmenter

JOB = TrainingJob(
    stages={
        "segmenter": train_segmenter,
        "gan": train_gan,
        "evaluate": evaluate_translation,
        "report": write_translation_report,
    },
    trainings=("segmenter", "gan"),
    needs={"gan": ("segmenter",), "evaluate": ("gan",), "report": ("gan", "evaluate")},
    check=check_batches,
    plan=print_translation_plan,
    open_context=open_translation,
    left_out=left_out,
)
SCRIPT = Script(
    "experiments/train_tc_mgan.py", __doc__.split("\n")[0], PRESETS, stages=tuple(JOB.stages)
)

if __name__ == "__main__":
    sys.exit(main(lambda: parse(sys.argv[1:], SCRIPT), JOB.execute))
