"""What a run's synthetic sets record, whatever draws them: what with, of which data, by whom."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import tensorflow as tf

from data.synthetic_sets.building import ScoreImages
from data.synthetic_sets.datasheet import Origin
from data.synthetic_sets.drafts import LabelSource
from data.synthetic_sets.files import MANIFEST, UNLABELLED, finished_manifest, sample_folder
from experiments.engine.recording import spell
from experiments.engine.run import Run
from utils.errors import UserError
from utils.runs.files import read_json, write_text
from utils.runs.run_directory import RunDirectory
from utils.training.checkpoints import weights_hash

MADE_WITH = "made_with.json"  # beside the samples: what a set is being drawn with
SELECTED = "dataset/selected"  # key of metrics.json
LICENCE = (
    "The licence and terms of use of the training data govern this set; ask whoever provides them "
    "before you pass it on."
)
COMPUTED = "The phantom is computed from shapes by this code, and governed by the code's licence."


class Drawing(NamedTuple):
    """How the samples of a run's synthetic sets get their labels, and what is said of them.

    Attributes:
        networks: names of the stages whose networks draw them.
        labels: function from the run to what gives samples their labels.
        score: function from the run to the score of samples, None where they have none.
        describe: function from the run and a set's manifest to the set's datasheet.
    """

    networks: tuple[str, ...]
    labels: Callable[[Run], LabelSource]
    score: Callable[[Run], Optional[ScoreImages]]
    describe: Callable[[Run, Mapping[str, Any]], str]


def begin_set(
    run: Run, directory: Path, settings: Mapping[str, Any], stages: Sequence[str]
) -> bool:
    """Notes in a set's folder what its samples are drawn with, see `made_with`.

    Returns False, and does nothing, if there are samples that were drawn with something else.
    """
    text, file = made_with(run, settings, stages), directory / MADE_WITH
    folder = sample_folder(directory)
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return True
    if folder.exists() and any(folder.iterdir()):
        return False
    write_text(file, text)
    return True


def set_of(run: RunDirectory, given: Optional[Path]) -> Path:
    """Returns the folder of a run's own set, or the `given` one of `experiments/generate.py`.

    Raises UserError if the given one was not drawn with the run's networks.
    """
    if given is None:
        return run.synthetic
    file = given / MADE_WITH
    if not file.is_file():
        raise UserError(
            f"--set {given} lacks {MADE_WITH}, so it is no set of experiments/generate.py; check "
            "the path"
        )
    networks = read_json(file, dict).get("networks", {})
    if not networks or any(
        weights_hash(run.checkpoints(name)) != found for name, found in networks.items()
    ):
        raise UserError(
            f"--set {given} was drawn with other networks than those of --run {run.path}; name the "
            "run that it was drawn with"
        )
    return given


def begin_own_set(run: Run, settings: Mapping[str, Any], stages: Sequence[str]) -> None:
    """Begins or continues the run's own set; samples drawn with something else are removed."""
    if not begin_set(run, run.synthetic, settings, stages):
        print("the unfinished synthetic set was begun with other settings and is drawn anew")
        shutil.rmtree(sample_folder(run.synthetic))
        begin_set(run, run.synthetic, settings, stages)


def own_set_drawn(run: Run) -> bool:
    """Returns whether the run's own set is complete and counted, see `count_own_set`."""
    return (run.synthetic / MANIFEST).exists() and SELECTED in run.read_metrics()


def count_own_set(run: Run) -> None:
    """Adds to metrics.json how many samples of the run's own set are selected, or were rejected."""
    manifest = finished_manifest(run.synthetic)
    metrics = {f"dataset/rejected/{k}": v for k, v in manifest["rejected"].items()}
    run.update_metrics({**metrics, SELECTED: manifest["selected"]})


def made_with(run: Run, settings: Mapping[str, Any], stages: Sequence[str]) -> str:
    """Returns as JSON what samples depend on.

    Args:
        run: whose networks draw them.
        settings: of the drawing; the number of samples does not count.
        stages: whose networks draw them.
    """
    return json.dumps(
        {
            "settings": {k: v for k, v in settings.items() if k != "samples"},
            "seed": run.config.seed,
            "precision": tf.keras.mixed_precision.global_policy().name,
            "networks": {stage: run.weights_hash(stage) for stage in stages},
        }
    )


def notes(run: Run) -> dict[str, str]:
    """Returns the text that the manifest of a set begins with."""
    return {
        "training data": training_data(run),
        "modalities": " ".join(_channels(run)),
        "version": version(run),
        **({} if run.prepared.dataset.has_label else UNLABELLED),
    }


def training_data(run: Run) -> str:
    """Returns what a set was learnt from: not even the name of the data's folder belongs in it."""
    if _on_phantom(run):
        return run.prepared.dataset.phantoms[run.config.phantom].note
    parts = "volumes" if run.prepared.dataset.rank == 3 else "slices"
    return f"{parts} of the folder that --data named"


def version(run: Run) -> str:
    """Returns the version of code and packages in the latest start of a run's trainings."""
    if not run.environment.exists():
        return "unknown"
    record = read_json(run.environment, dict)
    git, packages = record.get("git") or {}, record.get("packages") or {}
    commit = git.get("commit") or "unknown"
    changed = " with changes" if git.get("modified") else ""
    return f"commit {commit}{changed}, TensorFlow {packages.get('tensorflow', 'unknown')}"


def origin(
    run: Run,
    manifest: Mapping[str, Any],
    settings: Mapping[str, Any],
    stages: Sequence[str],
    **own: Any,
) -> Origin:
    """Returns the origin of a set for its datasheet.

    Args:
        run: whose networks drew it.
        manifest: the set's.
        settings, stages: see `made_with`.
        own: the attributes of `Origin` that only the system knows.
    """
    dataset, split = run.prepared.dataset, run.split
    return Origin(
        data=training_data(run),
        licence=_phantom_terms(run) if _on_phantom(run) else LICENCE,
        patients=_patients(run, split.train),
        held_out=_patients(run, split.test),
        channels=_channels(run),
        classes=dataset.classes,
        label_kind=dataset.label_kind,
        one_image=dataset.one_image,
        rank=dataset.rank,
        command=_command(run),
        version=manifest.get("version", "unknown"),  # later starts may be of other code
        fingerprint=hashlib.sha256(made_with(run, settings, stages).encode()).hexdigest()[:16],
        **own,
    )


def _channels(run: Run) -> tuple[str, ...]:
    """Returns the channels of a run's samples: not every configuration makes all of the data's."""
    return getattr(run.config, "made", run.prepared.dataset.channels)


def _on_phantom(run: Run) -> bool:
    return run.request.data is None


def _phantom_terms(run: Run) -> str:
    return run.prepared.dataset.phantoms[run.config.phantom].terms or COMPUTED


def _patients(run: Run, subject_ids: Iterable[str]) -> int:
    return len(set(map(run.prepared.dataset.patient_of, subject_ids)))


def _command(run: Run) -> str:
    config = asdict(run.config)
    for part, name in ((config["slicing"], "layout"), (config, "tissue_maps")):
        if part.get(name) is not None:  # may name the user's folders
            part[name] = name.upper()
    request = run.request
    return spell(run.experiment, request.preset, config, {}, False, request.data is not None)
