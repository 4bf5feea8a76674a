"""Stage "dataset" of SAMR: slices that G makes of changed labels of training patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Callable

import numpy as np

from data.synthetic_sets.changed import LabelChanger, build_changed_set, training_labels
from data.synthetic_sets.datasheet import set_datasheet
from data.synthetic_sets.files import DATASHEET, finished_manifest
from experiments.engine.run import Run
from experiments.engine.synthetic_sets import begin_own_set, count_own_set, notes, origin
from experiments.systems.samr.evaluation import image_maker
from experiments.systems.samr.report import sequence_table
from utils.inference import compiled, infer
from utils.metrics.segmentation import dice
from utils.runs.files import write_text
from utils.seeding import derive_seed

DRAWN_WITH = ("segmenter", "gan")
SYSTEM = "SAMR, all sequences at once from a label and an atlas (docs/papers.md)"
LABELS = (
    "Each label has the outline of the brain in one slice of a training patient, and its lesion, "
    "that of another training patient at this height, or both, mirrored, resized and moved at "
    "random. The numbers of the two slices among all training slices, from 0 on, are label_source "
    "and donor_source in samples.csv (-1: no donor). There are no structure maps. "
    "The outline is the patient's own: the set is as confidential as the patients' data."
)


def build_dataset(run: Run) -> None:
    """Changes labels, renders and writes `synthetic/`, or as much of it as is missing."""
    begin_own_set(run, _settings(run), DRAWN_WITH)
    build_changed_set(
        run.synthetic,
        label_changer(run),
        image_maker(run),
        lesion_scorer(run),
        run.config.dataset,
        run.config.batch_size,
        derive_seed(run.config.seed, "dataset"),
        notes(run),
        lambda manifest: describe(run, manifest),
    )
    count_own_set(run)


def label_changer(run: Run) -> LabelChanger:
    """Returns what draws changed labels of a run's training patients."""
    prepared = run.prepared
    patients = [prepared.dataset.patient_of(name) for name in prepared.subject_ids]
    numbers = np.unique(patients, return_inverse=True)[1]  # a patient may have several scans
    slices = training_labels(prepared, run.split.train)
    slices = replace(slices, subjects=numbers[slices.subjects])
    return LabelChanger(slices, prepared.dataset.first_lesion)


def lesion_scorer(run: Run) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Returns (images [N,H,W,M], label [N,H,W]) -> Dice [N] of the whole lesion, 0 to 1."""
    find = compiled(run.trained("segmenter").synthesize)
    first, size = run.prepared.dataset.first_lesion, run.config.batch_size

    def score(images: np.ndarray, label: np.ndarray) -> np.ndarray:
        found = infer(find, {"images": images}, size, padded=True)["labels"][..., 0]
        return dice(found >= first, label >= first)

    return score


def describe(run: Run, manifest: Mapping[str, Any]) -> str:
    """Returns the datasheet of a run's set."""
    metrics, dataset = run.read_metrics(), run.prepared.dataset
    source = origin(
        run,
        manifest,
        _settings(run),
        DRAWN_WITH,
        system=SYSTEM,
        making=(),
        score="Dice of the whole lesion, as the segmenter finds it,",
        labels=LABELS,
        figures=sequence_table(metrics, dataset.channels),
        measured="Slices made from the labels of held-out patients, which are not in this set, "
        "beside theirs",
        texture={},
    )
    return set_datasheet(manifest, source)


def write_datasheet(run: Run) -> None:
    """Writes the datasheet of the run's set anew, with the figures that were measured since."""
    write_text(run.synthetic / DATASHEET, describe(run, finished_manifest(run.synthetic)))


def _settings(run: Run) -> dict[str, Any]:
    return {**asdict(run.config.dataset), "batch_size": run.config.batch_size}
