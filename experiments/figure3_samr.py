"""SAMR's Fig. 3: slices of one patient with a lesion that is mirrored, grown, shrunk and moved.

    python experiments/figure3_samr.py --run RUN         # RUN: a finished run of train_samr.py

Writes figure3_samr.png and figure3_samr.md. Source: Guo et al., MICCAI 2020, Fig. 3.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.samr.figure3 import FIGURE3

if __name__ == "__main__":
    sys.exit(main(FIGURE3))
