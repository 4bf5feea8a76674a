"""Privacy audit of a synthetic set: copies of training slices, and traces of who was in training.

    python experiments/audit_privacy.py --run RUN                            # a finished main run
    python experiments/audit_privacy.py --run RUN --max-similarity 0.8 --out AUDIT
    python experiments/export_nnunet.py --run RUN --out DIR --exclude AUDIT/quarantine.csv

Writes audit.{md,csv,png}, worst_pairs.png, quarantine.csv and the keys `privacy/...` of
metrics.json. The run itself is left as it is, and so is an earlier audit without --overwrite. The
audit is for the owner of the data: its pictures show patients, and config.json and splits.json name
them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ours before any other `utils`

from utils.runs.environment import prepare_tensorflow, require_supported_versions

require_supported_versions()
prepare_tensorflow()

import pandas as pd
import tensorflow as tf

from experiments.audit.privacy import (
    DEFINITIONS,
    Audit,
    audit_chart,
    audit_findings,
    audit_frame,
    audit_metrics,
    audit_run,
    audit_table,
    check_max_similarity,
    worst_pairs,
)
from experiments.configs.privacy import AUDIT, AuditConfig
from experiments.engine.cli import Launch, Option, Script, main, parse
from experiments.engine.evidence import Stopwatch, command, open_evidence
from experiments.systems.structure_gan.context import Context
from utils.errors import UserError
from utils.reporting.charts import save_figure
from utils.reporting.pictures import write_png
from utils.reporting.tables import bullets, markdown_table, page, write_table
from utils.runs.files import write_text
from utils.runs.outputs import replacing_files
from utils.runs.run_directory import RunDirectory

SCRIPT = Script(
    "experiments/audit_privacy.py",
    __doc__.split("\n")[0],
    AUDIT,
    stages=("audit",),
    reads_run=True,
    options=(
        Option(
            "max-similarity",
            Optional[float],
            None,
            "similarity to a training slice above which a sample is quarantined; default: halfway "
            "between the largest similarity of a held-out slice and 1",
        ),
        Option("overwrite", bool, False, "with --resume: make a finished audit anew"),
    ),
)
# The page comes last: with it the audit is complete.
FILES = ("audit.csv", "audit.png", "worst_pairs.png", "quarantine.csv", "audit.md")


def execute(launch: Launch, run: RunDirectory, strategy: tf.distribute.Strategy) -> None:
    """Writes the audit, or prints the plan."""
    limit = launch.options["max_similarity"]
    check_max_similarity(limit)
    there = (run.path / FILES[-1]).exists() and not launch.dry_run
    if there and not launch.options["overwrite"]:
        raise UserError(
            f"--out {run.path} holds a finished audit; add --overwrite to make it anew or choose "
            "another folder"
        )
    source = open_evidence(launch, run, strategy)
    if source is None or not run.writes:
        return
    with Stopwatch(run, "privacy"):
        audit = audit_run(source, launch.config, limit)
        metrics = audit_metrics(audit)
        text = audit_text(metrics, launch, source)
        with replacing_files(run.path, FILES) as folder:
            write_audit(folder, audit, text, source, launch.config)
            run.update_metrics(metrics)
    print(f"\n{text}\n{run.path / 'audit.md'}")


def write_audit(
    folder: Path, audit: Audit, text: str, source: Context, config: AuditConfig
) -> None:
    """Writes `FILES`: what the audit found on every sample, and `text` as audit.md."""
    samples = pd.read_csv(source.run.synthetic / "samples.csv")
    patients = [source.prepared.subject_ids.index(name) for name in source.split.train]
    frame = audit_frame(audit, samples, patients)
    write_table(folder / "audit", frame, text)
    kept = samples.assign(training_similarity=frame["training_similarity"])
    write_text(folder / "quarantine.csv", kept[audit.quarantined].to_csv(index=False))
    save_figure(audit_chart(audit), folder / "audit.png")
    write_png(folder / "worst_pairs.png", worst_pairs(source, audit, config.worst_pairs))


def audit_text(metrics: Mapping[str, float], launch: Launch, source: Context) -> str:
    """Returns audit.md: what was found, the distributions, where they come from, definitions."""
    notes = (
        f"Data: {source.data_note}; {len(source.split.train)} training and "
        f"{len(source.split.test)} held-out patients.",
        f"Command: `{command(SCRIPT, launch, overwrite=False)}`; seed of the main run "
        f"{source.config.seed}.",
        "`quarantine.csv` lists the samples above the limit for `export_nnunet.py --exclude`; "
        "nothing in the run was moved. `audit.csv` gives the nearest training slice of every "
        "sample: the patient's position in the list `train` of splits.json, and the axial slice.",
        "`worst_pairs.png` shows slices of training patients, config.json and splits.json name "
        "them: do not publish this folder.",
    )
    parts = [
        "# Privacy audit of the synthetic set",
        "## What was found",
        bullets(audit_findings(metrics)),
        "An audit without an alarm is no proof: it knows copies and near copies of whole slices.",
        "## Similarity to the nearest slice",
        markdown_table(audit_table(metrics)),
        "## How",
        bullets(notes),
        "## Definitions",
        bullets(DEFINITIONS),
    ]
    return page(parts)


if __name__ == "__main__":
    sys.exit(main(lambda: parse(sys.argv[1:], SCRIPT), execute))
