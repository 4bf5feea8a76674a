"""MM-GAN Figure 7: what the image pool does to generated volumes.

    python experiments/figure7_mm_gan.py                    # makes both runs first, on the phantom
    python experiments/figure7_mm_gan.py --pools FOLDER     # with its runs pool and no_pool
    python experiments/figure7_mm_gan.py --data DIR --out OUT --resume

Source: Sun, Yuan & Sun, MM-GAN, Fig. 7.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.mm_gan.figure7 import FIGURE7_MM_GAN

if __name__ == "__main__":
    sys.exit(main(FIGURE7_MM_GAN))
