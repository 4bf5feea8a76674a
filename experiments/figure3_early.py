"""The early paper's Figure 3: real slices rebuilt, translated, and translated back.

    python experiments/figure3_early.py --run RUN          # RUN: of train_early.py
    python experiments/figure3_early.py --preset demo      # makes that run first

Source: the paper before the thesis, Fig. 3.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.early.figures import FIGURE3_EARLY

if __name__ == "__main__":
    sys.exit(main(FIGURE3_EARLY))
