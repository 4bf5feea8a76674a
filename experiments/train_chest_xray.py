"""Train the main system on chest X-rays and build a set of X-rays of three classes with it.

    python experiments/train_chest_xray.py                       # built-in phantom, demo preset
    python experiments/train_chest_xray.py --data chest_xray     # your data, the thesis' settings
    python experiments/train_chest_xray.py --preset tiny --out RUN
    python experiments/train_chest_xray.py --out RUN --resume

Stages: structure -> classification -> synthesis -> dataset -> evaluate -> report.
Source: Yili Qu, master thesis (models/structure_gan maps its equations to this code).
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.systems.structure_gan.images.stages import TRAIN_CHEST_XRAY

if __name__ == "__main__":
    sys.exit(main(TRAIN_CHEST_XRAY))
