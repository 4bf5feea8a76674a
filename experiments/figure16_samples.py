"""Thesis Fig. 16: synthetic samples: mask, structure map, lesion label and four modalities.

    python experiments/figure16_samples.py --run RUN         # RUN: a finished run of train_brats.py

Writes figure16.png and figure16.md. Source: Yili Qu, master thesis, 5.7.3.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.figures import FIGURE16

if __name__ == "__main__":
    sys.exit(main(FIGURE16))
