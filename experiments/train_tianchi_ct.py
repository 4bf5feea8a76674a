"""Train the main system on Tianchi's lung CT and build a set of slices with boxes of lesions.

    python experiments/train_tianchi_ct.py                       # built-in phantom, demo preset
    python experiments/train_tianchi_ct.py --data TIANCHI   # your data, the thesis' settings
    python experiments/train_tianchi_ct.py --preset tiny --out RUN
    python experiments/train_tianchi_ct.py --out RUN --resume

Stages: structure -> detection -> synthesis -> dataset -> evaluate -> report.
Source: Yili Qu, master thesis (models/structure_gan maps its equations to this code).
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.systems.structure_gan.images.stages import TRAIN_TIANCHI_CT

if __name__ == "__main__":
    sys.exit(main(TRAIN_TIANCHI_CT))
