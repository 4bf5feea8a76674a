"""Table 5: train segmenters on mixtures of real, synthetic and augmented slices, test on real ones.

    python experiments/table5_mixing.py --run RUN --rows 1,3,7,13,25   # RUN: of train_brats.py
    python experiments/table5_mixing.py --run RUN --rows all --seeds 2
    python experiments/table5_mixing.py --preset demo                  # makes that run first
    python experiments/table5_mixing.py --out OUT --resume --rows all  # more rows, or after a stop

Results: table5.csv, table5.md, table5.png, claims.md, rows/*.json in the run directory.
Source: Yili Qu, master thesis, 5.6.1, Table 5.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.mixing.table import TABLE5

if __name__ == "__main__":
    sys.exit(main(TABLE5))
