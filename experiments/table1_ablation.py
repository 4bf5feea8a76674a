"""Thesis Table 1, Fig. 12 and 13: what each part of the main system contributes.

    python experiments/table1_ablation.py --run RUN     # RUN: a finished run of train_brats.py
    python experiments/table1_ablation.py --run RUN --order both
    python experiments/table1_ablation.py --run RUN --rows A,F

`--order both` adds the parts in the thesis' order and in the released code's order.
Stages: train (train the variants that are not trained yet) -> table (evaluate the trained variants,
write the table and the figures). The variants are defined in
experiments/tables/ablation/variants.py. Source: Yili Qu, master thesis, 5.3.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.ablation.table import TABLE1

if __name__ == "__main__":
    sys.exit(main(TABLE1))
