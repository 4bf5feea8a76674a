"""Thesis Table 1, Fig. 12 and 13: what each part of the main system contributes.

    python experiments/table1_ablation.py --run RUN                  # of train_brats.py, finished
    python experiments/table1_ablation.py --run RUN --order both     # and the released code's order
    python experiments/table1_ablation.py --run RUN --rows A,F

Stages: train (the variants that are not trained yet) -> table (measure and draw the trained ones).
The variants are data in experiments/tables/ablation/variants.py. Source: Yili Qu, master thesis,
5.3.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.ablation.table import TABLE1

if __name__ == "__main__":
    sys.exit(main(TABLE1))
