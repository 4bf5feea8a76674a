"""SAMR Table 2: lesion segmentation with slices made of changed labels, beside real ones alone.

    python experiments/table2_samr.py                   # trains what is missing, on the phantom
    python experiments/table2_samr.py --experiments 1,2,3,4 --methods DIR

Experiments: 1 as many made slices as real ones, by pix2pix, pix2pixHD, Shin et al. and SAMR; 2 half
as many; 3 the real ones alone; 4 SAMR without one of its parts each. DIR/<method>: finished runs of
experiments/train_samr.py. Your data needs maps of the tissues for Shin et al., or --rivals without.
Source: Guo, Wang, Zhou, Jiang, Patel, "Lesion mask-based simultaneous synthesis of anatomic and
molecular MR images using a GAN", MICCAI 2020, Table 2.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.samr.table2 import TABLE2_SAMR

if __name__ == "__main__":
    sys.exit(main(TABLE2_SAMR))
