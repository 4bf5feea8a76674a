"""The early paper's Table 1: which scheme of lesion nets guides the images best?

    python experiments/table1_early.py --run RUN          # RUN: of train_early.py
    python experiments/table1_early.py --preset demo      # makes that run first

Source: the paper before the thesis, Table 1 (models/early_gan maps its equations to this code).
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.early.schemes import TABLE1_EARLY

if __name__ == "__main__":
    sys.exit(main(TABLE1_EARLY))
