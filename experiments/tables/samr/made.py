"""Slices that a generator makes of changed labels, as if of one more training patient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.brats.tissues import with_plain_brain
from data.manipulation import random_change
from data.pipeline import number_of_slices
from data.shards import PreparedSlices
from data.slice_sets import Slices, real_slices
from data.synthetic_sets.records import Record, write_records
from experiments.engine.run import Run
from experiments.systems.samr.evaluation import made_from
from utils.errors import UserError
from utils.seeding import derive_seed

MADE = "made slices"


def with_made_slices(run: Run, source: Run, share: float, path: Path) -> Run:
    """Returns the table's run with made slices, as if of one more training patient.

    Args:
        run: of the table.
        source: the finished run of a method.
        share: how many made slices for each real training slice.
        path: their file, written where it is missing.
    """
    prepared, split = run.prepared, run.split
    count = round(share * number_of_slices(prepared, split.train))
    if not path.exists():
        seed = derive_seed(run.config.training.seed, "changed labels")
        write_records(path, made_records(source, count, len(prepared.subject_ids), seed))
    return run.changed(
        prepared=_with_subject(prepared, MADE, path, count),
        split=replace(split, train=(*split.train, MADE)),
    )


def _with_subject(prepared: PreparedSlices, name: str, path: Path, count: int) -> PreparedSlices:
    return replace(
        prepared,
        subject_ids=(*prepared.subject_ids, name),
        files=(*prepared.files, path),
        slices_per_subject=(*prepared.slices_per_subject, count),
        lesions_per_subject=(*prepared.lesions_per_subject, count),
        places=(*prepared.places, prepared.places[0]),
    )


def made_records(source: Run, count: int, subject: int, seed: int) -> Iterator[Record]:
    """Yields slices that a generator makes of changed labels of its training patients.

    Each is of a random slice; donors are the slices of other patients at its height. Whatever a
    method tells apart, the labels have normal brain as class 1 and are the same for all methods.

    Args:
        source: the finished run of a method.
        count: number of slices.
        subject: number of the patient that they count as.
        seed: of slices and changes.
    """
    slices = real_slices(source.prepared, source.split.train)
    first, size = source.prepared.dataset.first_lesion, source.config.batch_size
    for start in range(0, count, size):
        numbers = range(start, min(start + size, count))
        rngs = [np.random.default_rng((seed, number)) for number in numbers]
        pairs = [changed_label(slices, first, rng) for rng in rngs]
        labels = np.stack([label for label, _ in pairs])
        index = np.array([height for _, height in pairs])
        images = made_from(source, Slices(np.zeros((*labels.shape, 0)), labels, index=index))
        for number, image, label in zip(numbers, images, labels):
            plain = with_plain_brain(label, first).astype(np.uint8)
            yield np.clip(image, 0, 1), plain, (subject, number)


def changed_label(
    slices: Slices, first_lesion: int, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Returns a random slice's label [H,W] with a changed lesion, and its height.

    A slice that no lesion fits into is drawn again.
    """
    lesions = (slices.label >= first_lesion).any(axis=(1, 2))
    while True:
        row = int(rng.integers(len(slices)))
        near = lesions & (slices.index == slices.index[row])
        donors = slices.label[near & (slices.subjects != slices.subjects[row])]
        try:
            change = random_change(slices.label[row], list(donors), rng, first_lesion)
        except UserError:  # no lesion, and no donor whose lesion lies in this brain
            continue
        return change.label, int(slices.index[row])
