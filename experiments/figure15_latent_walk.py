"""Thesis Fig. 15: structure maps along a walk between random latent codes.

The steps of the walk are coordinate swapping and linear interpolation.

    python experiments/figure15_latent_walk.py --run RUN     # RUN: a finished run of train_brats.py

Writes figure15_swapping.png (coordinate swapping, as in the released script), figure15_straight.png
(linear interpolation) and figure15.md. Source: Yili Qu, master thesis, 5.7.2.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.figures import FIGURE15

if __name__ == "__main__":
    sys.exit(main(FIGURE15))
