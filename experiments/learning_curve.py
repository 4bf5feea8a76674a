"""Learning curve: Table 5 with few patients, from whom the GAN learns too.

    python experiments/learning_curve.py --patients 2,4,8,16     # makes all systems on the phantom
    python experiments/learning_curve.py --data BraTS --patients 4,16
    python experiments/learning_curve.py --systems DIR           # DIR/<name>: finished systems

Results: learning_curve.csv, .md and .png, claims.md, gains.csv, patients_*/rows/*.json in the run
directory. Source: Yili Qu, master thesis, 5.6.1, Table 5, in which the GAN sees all patients.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.mixing.curve import LEARNING_CURVE

if __name__ == "__main__":
    sys.exit(main(LEARNING_CURVE))
