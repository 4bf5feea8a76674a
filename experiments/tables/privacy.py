"""Privacy audit of a run's synthetic set, for the owner of the data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Optional

import tensorflow as tf

from data.synthetic_sets.files import read_rows
from experiments.configs.privacy import AUDIT
from experiments.engine.experiment import Experiment, Option, Task
from experiments.engine.recording import command
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.sources import Finished
from experiments.systems.samr.stages import TRAIN_SAMR
from experiments.systems.structure_gan.images.stages import TRAININGS
from experiments.systems.structure_gan.privacy import (
    DEFINITIONS,
    Audit,
    audit_chart,
    audit_findings,
    audit_frame,
    audit_run,
    audit_table,
    check_max_similarity,
    worst_pairs,
)
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from utils.errors import UserError
from utils.metrics.privacy import audit_metrics
from utils.reporting.charts import save_figure
from utils.reporting.pictures import write_png
from utils.reporting.tables import bullets, markdown_table, page, write_table
from utils.runs.files import write_text
from utils.runs.outputs import replacing_files

# The page comes last: with it the audit is complete.
FILES = ("audit.csv", "audit.png", "worst_pairs.png", "quarantine.csv", "audit.md")


def check(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError for a limit that makes no sense, or a finished audit in the folder."""
    check_max_similarity(request.options["max_similarity"])
    there = (request.out / FILES[-1]).exists() and not request.dry_run
    if there and not request.options["overwrite"]:
        raise UserError(
            f"--out {request.out} holds a finished audit; add --overwrite to make it anew or "
            "choose another folder"
        )


def audit(run: Run) -> None:
    """Writes the audit."""
    found = audit_run(run.source, run.config, run.request.options["max_similarity"])
    metrics = audit_metrics(found)
    text = audit_text(metrics, run)
    with replacing_files(run.path, FILES) as folder:
        write_audit(folder, found, text, run)
        run.update_metrics(metrics)
    print(f"\n{text}\n{run.path / 'audit.md'}")


def write_audit(folder: Path, audit: Audit, text: str, run: Run) -> None:
    """Writes `FILES`: what the audit found on every sample, and `text` as audit.md."""
    source = run.source
    samples = read_rows(source.synthetic)
    patients = [source.prepared.subject_ids.index(name) for name in source.split.train]
    frame = audit_frame(audit, samples, patients)
    write_table(folder / "audit", frame, text)
    kept = samples.assign(training_similarity=frame["training_similarity"])
    write_text(folder / "quarantine.csv", kept[audit.quarantined].to_csv(index=False))
    save_figure(audit_chart(audit), folder / "audit.png")
    write_png(folder / "worst_pairs.png", worst_pairs(source, audit, run.config.worst_pairs))


def audit_text(metrics: Mapping[str, float], run: Run) -> str:
    """Returns audit.md: what was found, the distributions, where they come from, definitions."""
    source = run.source
    notes = (
        f"Data: {source.data_note}; {len(source.split.train)} training and "
        f"{len(source.split.test)} held-out patients.",
        f"Command: `{command(run, overwrite=False)}`; seed of the trained run "
        f"{source.config.seed}.",
        "`quarantine.csv` lists the samples above the limit for --exclude of the exports; "
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


AUDIT_PRIVACY = Experiment(
    "experiments/audit_privacy.py",
    "Privacy audit of a synthetic set: copies of training slices, and traces of who was in "
    "training.",
    AUDIT,
    stages=(Task("audit", audit),),
    key="privacy",
    sources=Finished(TRAIN_BRATS, others=(TRAIN_SAMR, *TRAININGS)),
    check=check,
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
