"""MM-GAN Table 2: liver lesions in volumes, with segmenters that learn from real and new patients.

    python experiments/table2_mm_gan.py --run RUN      # a run of train_mm_gan_liver.py
    python experiments/table2_mm_gan.py --preset demo  # makes the run first, on the phantom
    python experiments/table2_mm_gan.py --run RUN --out OUT --resume

Source: Sun, Yuan & Sun, MM-GAN, Table II.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.mm_gan.table import TABLE2_MM_GAN

if __name__ == "__main__":
    sys.exit(main(TABLE2_MM_GAN))
