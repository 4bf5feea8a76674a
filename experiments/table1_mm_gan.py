"""MM-GAN Table 1: tumours in volumes, with segmenters that learn from real and from new patients.

    python experiments/table1_mm_gan.py --run RUN      # a run of train_mm_gan.py
    python experiments/table1_mm_gan.py --preset demo  # makes the run first, on the phantom
    python experiments/table1_mm_gan.py --run RUN --out OUT --resume

Source: Sun, Yuan & Sun, MM-GAN, Table I.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.mm_gan.table import TABLE1_MM_GAN

if __name__ == "__main__":
    sys.exit(main(TABLE1_MM_GAN))
