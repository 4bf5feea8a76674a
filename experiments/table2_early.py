"""The early paper's Table 2: segmenters trained on real, synthetic and augmented slices.

    python experiments/table2_early.py --run RUN --rows 1,2,8,33,17   # RUN: of train_early.py
    python experiments/table2_early.py --run RUN --rows all --seeds 2
    python experiments/table2_early.py --preset demo                  # makes that run first

Its rows are those of the thesis' Table 5 (`experiments/table5_mixing.py`) under other numbers.
Results: table2_early.csv, .md, .png, claims.md, rows/*.json in the run directory.
Source: the paper before the thesis, Table 2.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.mixing.table import TABLE2_EARLY

if __name__ == "__main__":
    sys.exit(main(TABLE2_EARLY))
