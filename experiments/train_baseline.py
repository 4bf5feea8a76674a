"""Train a classic GAN that makes images of a random vector, without labels.

    python experiments/train_baseline.py --model dcgan                       # phantom of BRATS
    python experiments/train_baseline.py --model pggan --dataset chest_xray --gan.size 128
    python experiments/train_baseline.py --model acgan --data DIR            # your BRATS-like data
    python experiments/train_baseline.py --out RUN --resume

Models: dcgan, acgan (its class is the modality of BRATS, or the disease of X-rays; others have
one), wgan, wgan_gp, pggan. Data sets: brats, chest_xray, lung_ct, retina, tianchi_ct.
Stages: gan -> evaluate -> report.
Source: models/baselines maps the papers of the five to this code.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.systems.baselines.classic import chosen_experiment

if __name__ == "__main__":
    sys.exit(main(chosen_experiment))
