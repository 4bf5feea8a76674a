"""Table 8: a detector of lesions learns from real and from synthetic CT slices.

    python experiments/table8_detection.py --run RUN      # a run of train_tianchi_ct.py
    python experiments/table8_detection.py --preset demo  # makes the run first, on the phantom
    python experiments/table8_detection.py --run RUN --out OUT --resume

Source: Yili Qu, master thesis, Table 8.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.downstream.boxes import TABLE8_DETECTION

if __name__ == "__main__":
    sys.exit(main(TABLE8_DETECTION))
