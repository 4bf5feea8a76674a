"""TC-MGAN Table 2: lesion segmentation with translated modalities beside T2 alone and all real.

    python experiments/table2_tc_mgan.py                  # trains what is missing, on the phantom
    python experiments/table2_tc_mgan.py --variants DIR   # DIR/<variant>: finished runs

One U-Net per row learns from the patients of the part "train", whose three other modalities are
real or translated by that row's generator, and is scored on the part "test" with the same kind of
input; the generators have seen the patients of neither. All U-Nets start alike and train on one
device, whatever `--devices` says.
Source: Xin, Hu, Zheng, Liao, "Multi-modality generative adversarial networks with tumor consistency
loss for brain MR image synthesis", section 3.4 and Table 2.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.tc_mgan.segmentation import TABLE2_TC_MGAN

if __name__ == "__main__":
    sys.exit(main(TABLE2_TC_MGAN))
