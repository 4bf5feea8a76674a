"""Train the system of the early paper and build a labelled, registered MRI set with it.

    python experiments/train_early.py                              # phantom, demo preset
    python experiments/train_early.py --segmentation.scheme 1seg   # other lesion nets
    python experiments/train_early.py --data BraTS2020
    python experiments/train_early.py --out RUN --resume

Stages: structure -> segmentation -> synthesis -> dataset -> evaluate -> report.
Source: Qu et al., the paper before the thesis (models/early_gan maps its equations to this code).
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.systems.structure_gan.early import TRAIN_EARLY

if __name__ == "__main__":
    sys.exit(main(TRAIN_EARLY))
