"""Train the main system on photographs of the retina and build a set of them with it.

    python experiments/train_retina.py                       # built-in phantom, demo preset
    python experiments/train_retina.py --data RETINA     # your data, the thesis' settings
    python experiments/train_retina.py --preset tiny --out RUN
    python experiments/train_retina.py --out RUN --resume

Stages: structure -> synthesis -> dataset -> evaluate -> report.
Source: Yili Qu, master thesis (models/structure_gan maps its equations to this code).
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.systems.structure_gan.images.stages import TRAIN_RETINA

if __name__ == "__main__":
    sys.exit(main(TRAIN_RETINA))
