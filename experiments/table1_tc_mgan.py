"""TC-MGAN Table 1: PSNR and SSIM of T2 translated by the four variants.

    python experiments/table1_tc_mgan.py                       # trains all four on the phantom
    python experiments/table1_tc_mgan.py --data BraTS2018      # on your data
    python experiments/table1_tc_mgan.py --variants DIR        # DIR/<variant>: finished runs

Every variant is a run of experiments/train_tc_mgan.py of its own, with the same seed and length.
Source: Xin, Hu, Zheng, Liao, "Multi-modality generative adversarial networks with tumor consistency
loss for brain MR image synthesis", section 3.3 and Table 1.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.tc_mgan.translation import TABLE1_TC_MGAN

if __name__ == "__main__":
    sys.exit(main(TABLE1_TC_MGAN))
