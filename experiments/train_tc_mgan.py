"""Train TC-MGAN: from T2 to Flair, T1c and T1, tumour kept.

    python experiments/train_tc_mgan.py                      # built-in phantom, demo preset
    python experiments/train_tc_mgan.py --data BraTS2018     # your data, the paper's settings
    python experiments/train_tc_mgan.py --gan.variant mgan
    python experiments/train_tc_mgan.py --out RUN --resume

Stages: segmenter -> gan -> evaluate -> report; experiments/translate.py uses the result.
Source: Xin, Hu, Zheng, Liao, "Multi-modality generative adversarial networks with tumor consistency
loss for brain MR image synthesis" (models/tc_mgan maps it to this code).
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.systems.tc_mgan.stages import TRAIN_TC_MGAN

if __name__ == "__main__":
    sys.exit(main(TRAIN_TC_MGAN))
