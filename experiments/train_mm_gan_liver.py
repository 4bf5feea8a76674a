"""Train MM-GAN on the liver: from a label volume to a CT volume, and compare with held-out ones.

    python experiments/train_mm_gan_liver.py                             # phantom, demo preset
    python experiments/train_mm_gan_liver.py --data DIR                  # LiTS, Decathlon, nnU-Net
    python experiments/train_mm_gan_liver.py --preset tiny --out RUN
    python experiments/train_mm_gan_liver.py --out RUN --resume

Stages: gan -> regions -> dataset -> evaluate -> report.
Source: Sun, Yuan & Sun, MM-GAN (models/mm_gan_3d maps its equations to this code).
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.systems.mm_gan.stages import TRAIN_MM_GAN_LIVER

if __name__ == "__main__":
    sys.exit(main(TRAIN_MM_GAN_LIVER))
