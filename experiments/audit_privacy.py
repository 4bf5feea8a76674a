"""Privacy audit of a synthetic set: copies of training slices, and traces of who was in training.

    python experiments/audit_privacy.py --run RUN      # of train_brats.py or train_samr.py
    python experiments/audit_privacy.py --run RUN --max-similarity 0.8 --out AUDIT
    python experiments/export_nnunet.py --run RUN --out DIR --exclude AUDIT/quarantine.csv

Writes audit.{md,csv,png}, worst_pairs.png, quarantine.csv and the keys `privacy/...` of
metrics.json. The run itself is left as it is, and so is an earlier audit without --overwrite. The
audit is for the owner of the data: its pictures show patients, and config.json and splits.json name
them.
"""

import _start

import sys

from experiments.engine.cli import main
from experiments.tables.privacy import AUDIT_PRIVACY

if __name__ == "__main__":
    sys.exit(main(AUDIT_PRIVACY))
