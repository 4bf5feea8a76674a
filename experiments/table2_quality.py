"""Thesis Table 2 on chest X-rays and lung CT: image quality beside seven other GANs.

    python experiments/table2_quality.py --run RUN           # RUN: a finished run
    python experiments/table2_quality.py                     # makes one on phantom X-rays
    python experiments/table2_quality.py --run RUN --inception-weights FILE    # with FID
    python experiments/table2_quality.py --run RUN --models dcgan,pggan --budget time

RUN is of train_chest_xray.py or train_lung_ct.py.
Stages: baselines (train them) -> sets (render as many images with each) -> table.
Source: Yili Qu, master thesis, Table 2; its rivals' numbers are quoted from the paper of SkrGAN.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.quality.table import TABLE2_QUALITY

if __name__ == "__main__":
    sys.exit(main(TABLE2_QUALITY))
