"""MM-GAN Figure 10: segmenters that learn from new patients, then from a tenth of the real ones.

    python experiments/figure10_mm_gan.py --run RUN      # a run of train_mm_gan.py
    python experiments/figure10_mm_gan.py --preset demo  # makes the run first, on the phantom
    python experiments/figure10_mm_gan.py --run RUN --out OUT --resume

Source: Sun, Yuan & Sun, MM-GAN, Fig. 10.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.mm_gan.table import FIGURE10_MM_GAN

if __name__ == "__main__":
    sys.exit(main(FIGURE10_MM_GAN))
