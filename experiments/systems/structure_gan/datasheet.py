"""The datasheet of a run's synthetic sets: what the run knows of their origin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import tensorflow as tf

from data.synthetic_sets.datasheet import Origin, set_datasheet
from data.synthetic_sets.files import DATASHEET, finished_manifest
from experiments.engine.recording import spell
from experiments.engine.run import Run
from experiments.systems.structure_gan.report import summary_table
from utils.runs.files import read_json, write_text

DRAWN_WITH = ("structure", "segmentation", "synthesis")
SYSTEM = "structure maps, conditional synthesis and registration (main system, docs/papers.md)"
LICENCE = (
    "The licence and terms of use of the training data govern this set; ask whoever provides them "
    "before you pass it on."
)
PHANTOM_LICENCE = (
    "The phantom is deformed from the ICBM 152 (MNI152) templates of 2009 that nilearn ships. "
    "nilearn gives their licence as unknown; their terms are those of the McConnell Brain Imaging "
    "Centre, <http://www.bic.mni.mcgill.ca/ServicesAtlases/ICBM152NLin2009>."
)


def training_data(run: Run) -> str:
    """Returns what a set was learnt from: not even the name of the data's folder belongs in it."""
    if _on_phantom(run):
        return run.prepared.dataset.phantoms[run.config.phantom].note
    return "slices of the folder that --data named"


def version(run: Run) -> str:
    """Returns the version of code and packages in the latest start of a run's trainings."""
    if not run.environment.exists():
        return "unknown"
    record = read_json(run.environment, dict)
    git, packages = record.get("git") or {}, record.get("packages") or {}
    commit = git.get("commit") or "unknown"
    changed = " with changes" if git.get("modified") else ""
    return f"commit {commit}{changed}, TensorFlow {packages.get('tensorflow', 'unknown')}"


def made_with(run: Run, settings: Mapping[str, Any]) -> str:
    """Returns as JSON what samples depend on: settings but for their number, seed, networks."""
    return json.dumps(
        {
            "settings": {k: v for k, v in settings.items() if k != "samples"},
            "seed": run.config.seed,
            "precision": tf.keras.mixed_precision.global_policy().name,
            "networks": {stage: run.weights_hash(stage) for stage in DRAWN_WITH},
        }
    )


def describe(run: Run, manifest: Mapping[str, Any]) -> str:
    """Returns the datasheet of a set that is drawn with a run's systems."""
    metrics, split = run.read_metrics(), run.split
    texture = {k: metrics.get(f"detectability/{k}/accuracy") for k in ("real", "synthetic")}
    digest = hashlib.sha256(made_with(run, manifest["settings"]).encode()).hexdigest()[:16]
    dataset = run.prepared.dataset
    origin = Origin(
        data=training_data(run),
        licence=PHANTOM_LICENCE if _on_phantom(run) else LICENCE,
        patients=_patients(run, split.train),
        held_out=_patients(run, split.test),
        channels=dataset.channels,
        classes=dataset.classes,
        system=SYSTEM,
        command=_command(run),
        version=manifest.get("version", "unknown"),  # later starts may be of other code
        fingerprint=digest,
        figures=summary_table(metrics),
        measured=run.config.dataset.samples,
        texture={kind: value for kind, value in texture.items() if value is not None},
    )
    return set_datasheet(manifest, origin)


def write_datasheet(run: Run) -> None:
    """Writes the datasheet of the run's own set anew, with the figures that were measured since."""
    text = describe(run, finished_manifest(run.synthetic))
    write_text(run.synthetic / DATASHEET, text)


def _on_phantom(run: Run) -> bool:
    return run.request.data is None


def _patients(run: Run, subject_ids: Iterable[str]) -> int:
    return len(set(map(run.prepared.dataset.patient_of, subject_ids)))


def _command(run: Run) -> str:
    config = asdict(run.config)
    if config["slicing"]["layout"] is not None:  # may name the user's folders
        config["slicing"]["layout"] = "LAYOUT"
    request = run.request
    return spell(run.experiment, request.preset, config, {}, False, request.data is not None)
