"""Thesis Table 3 on BRATS: image quality of the main system, SkrGAN* and GAN#.

    python experiments/table3_quality.py --run RUN           # RUN: a finished run of train_brats.py
    python experiments/table3_quality.py                     # makes one on the built-in phantom
    python experiments/table3_quality.py --run RUN --inception-weights FILE    # with FID

Stages: baselines (train both) -> sets (render as many slices with each) -> table.
Source: Yili Qu, master thesis, Table 3 (models/baselines maps its footnotes to this code).
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.quality import TABLE3

if __name__ == "__main__":
    sys.exit(main(TABLE3))
