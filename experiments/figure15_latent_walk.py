"""Thesis Fig. 15: structure maps on a walk between random codes, by swapping and by mixing.

    python experiments/figure15_latent_walk.py --run RUN     # RUN: a finished run of train_brats.py

Writes figure15_swapping.png (the released script's coordinate swapping), figure15_straight.png
(interpolation) and figure15.md. Source: Yili Qu, master thesis, 5.7.2.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.figures import FIGURE15

if __name__ == "__main__":
    sys.exit(main(FIGURE15))
