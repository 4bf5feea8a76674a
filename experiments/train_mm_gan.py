"""Train MM-GAN: from a label volume to a volume of each modality, and compare with held-out ones.

    python experiments/train_mm_gan.py                                   # phantom, demo preset
    python experiments/train_mm_gan.py --data DIR --slicing.spacing "[2,2,2]"
    python experiments/train_mm_gan.py --preset tiny --out RUN
    python experiments/train_mm_gan.py --out RUN --resume

Stages: gan and regions (of each of --modalities) -> dataset -> evaluate -> report.
Source: Sun, Yuan & Sun, MM-GAN (models/mm_gan_3d maps its equations to this code).
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.systems.mm_gan.stages import TRAIN_MM_GAN

if __name__ == "__main__":
    sys.exit(main(TRAIN_MM_GAN))
