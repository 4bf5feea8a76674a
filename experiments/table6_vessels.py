"""Table 6: a U-Net for vessels learns from real and from synthetic photographs.

    python experiments/table6_vessels.py --run RUN      # RUN: a finished run of train_retina.py
    python experiments/table6_vessels.py --preset demo  # makes the run first, on the phantom
    python experiments/table6_vessels.py --run RUN --out OUT --resume

Source: Yili Qu, master thesis, Table 6.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.downstream.vessels import TABLE6_VESSELS

if __name__ == "__main__":
    sys.exit(main(TABLE6_VESSELS))
