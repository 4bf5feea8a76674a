"""Train the main system and build a labelled, registered, synthetic MRI set with it.

    python experiments/train_brats.py                      # built-in phantom, demo preset
    python experiments/train_brats.py --data BRATS2015     # your data, the thesis' settings
    python experiments/train_brats.py --preset tiny --out RUN
    python experiments/train_brats.py --out RUN --resume

Stages: structure -> segmentation -> registration -> synthesis -> dataset -> evaluate -> report.
Source: Yili Qu, master thesis (models/structure_gan maps its equations to this code).
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.systems.structure_gan.stages import TRAIN_BRATS

if __name__ == "__main__":
    sys.exit(main(TRAIN_BRATS))
