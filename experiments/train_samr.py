"""Train SAMR: from lesion label and atlas to T1, T2, T1c and Flair at once.

    python experiments/train_samr.py                      # built-in phantom, demo preset
    python experiments/train_samr.py --data BraTS2021     # your data, the paper's settings
    python experiments/train_samr.py --samr.atlas false   # an ablation
    python experiments/train_samr.py --out RUN --resume

Stages: atlas -> segmenter -> gan -> dataset -> evaluate -> report.
Source: Guo, Wang, Zhou, Jiang, Patel, "Lesion mask-based simultaneous synthesis of anatomic and
molecular MR images using a GAN", MICCAI 2020 (models/samr maps it to this code).
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.systems.samr.stages import TRAIN_SAMR

if __name__ == "__main__":
    sys.exit(main(TRAIN_SAMR))
