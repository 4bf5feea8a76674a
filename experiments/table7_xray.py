"""Table 7: a classifier of chest X-rays learns from real and from synthetic ones.

    python experiments/table7_xray.py --run RUN      # RUN: a finished run of train_chest_xray.py
    python experiments/table7_xray.py --preset demo  # makes the run first, on the phantom
    python experiments/table7_xray.py --run RUN --out OUT --resume

Source: Yili Qu, master thesis, Table 7.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.downstream.xray import TABLE7_XRAY

if __name__ == "__main__":
    sys.exit(main(TABLE7_XRAY))
