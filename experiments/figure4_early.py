"""The early paper's Figure 4: random maps, their four images, the twelve translations.

    python experiments/figure4_early.py --run RUN          # RUN: of train_early.py
    python experiments/figure4_early.py --preset demo      # makes that run first

Source: the paper before the thesis, Fig. 4.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.early.figures import FIGURE4_EARLY

if __name__ == "__main__":
    sys.exit(main(FIGURE4_EARLY))
