"""Thesis Fig. 14: a sheet of random structure maps, as drawn and filtered, and how alike they are.

    python experiments/figure14_diversity.py --run RUN       # RUN: a finished run of train_brats.py

Writes figure14.png, figure14.md and the mean overlap of all pairs of maps to metrics.json.
Source: Yili Qu, master thesis, 5.7.1.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.figures import FIGURE14

if __name__ == "__main__":
    sys.exit(main(FIGURE14))
