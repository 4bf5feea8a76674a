"""Thesis Table 3 on BRATS, retina and Tianchi's CT: image quality beside seven other GANs.

    python experiments/table3_quality.py --run RUN           # RUN: a finished run
    python experiments/table3_quality.py                     # makes one on the phantom of BRATS
    python experiments/table3_quality.py --run RUN --inception-weights FILE    # with FID
    python experiments/table3_quality.py --run RUN --models dcgan,pggan --budget time

RUN is of train_brats.py, train_retina.py or train_tianchi_ct.py.
Stages: baselines (train them) -> sets (render as many images with each) -> table.
Source: Yili Qu, master thesis, Table 3 (models/baselines maps its footnotes to this code).
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.quality.table import TABLE3_QUALITY

if __name__ == "__main__":
    sys.exit(main(TABLE3_QUALITY))
