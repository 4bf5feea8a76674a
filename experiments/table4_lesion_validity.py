"""Thesis Table 4 on BRATS: segmenters of real lesions judge real and synthetic slices.

    python experiments/table4_lesion_validity.py --run RUN    # a finished run of train_brats.py
    python experiments/table4_lesion_validity.py              # makes one on the phantom

Nothing is trained: the run's segmenters G_l, which saw real training slices only, find lesions in
the held-out patients' slices and in the whole unfiltered synthetic set.
Source: Yili Qu, master thesis, 5.5.2 and Table 4.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.lesion_validity import TABLE4

if __name__ == "__main__":
    sys.exit(main(TABLE4))
