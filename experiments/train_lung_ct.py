"""Train the main system on slices of lung CT and build a set of such slices with it.

    python experiments/train_lung_ct.py                       # built-in phantom, demo preset
    python experiments/train_lung_ct.py --data LUNGS     # your data, the thesis' settings
    python experiments/train_lung_ct.py --preset tiny --out RUN
    python experiments/train_lung_ct.py --out RUN --resume

Stages: structure -> synthesis -> dataset -> evaluate -> report.
Source: Yili Qu, master thesis (models/structure_gan maps its equations to this code).
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.systems.structure_gan.images.stages import TRAIN_LUNG_CT

if __name__ == "__main__":
    sys.exit(main(TRAIN_LUNG_CT))
