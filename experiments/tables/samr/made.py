"""Slices that a generator makes of changed labels, as if of one more training patient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.brats.tissues import with_plain_brain
from data.pipeline import number_of_slices
from data.synthetic_sets.changed import as_slices, drawn_batches
from data.synthetic_sets.records import Record, write_records
from experiments.engine.run import Run
from experiments.systems.samr.dataset import label_changer
from experiments.systems.samr.evaluation import image_maker
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
        prepared=prepared.with_subject(MADE, path, count),
        split=replace(split, train=(*split.train, MADE)),
    )


def made_records(source: Run, count: int, subject: int, seed: int) -> Iterator[Record]:
    """Yields slices that a generator makes of changed labels of its training patients.

    Whatever a method tells apart, the labels have normal brain as class 1 and are the same for all.

    Args:
        source: the finished run of a method.
        count: number of slices.
        subject: number of the patient that they count as.
        seed: of slices and changes.
    """
    changer, make = label_changer(source), image_maker(source)
    first, size = source.prepared.dataset.first_lesion, source.config.batch_size
    for numbers, drawn in drawn_batches(changer, range(count), size, seed):
        for number, image, one in zip(numbers, make(as_slices(drawn)), drawn):
            label = with_plain_brain(one.label, first).astype(np.uint8)
            yield np.clip(image, 0, 1), label, (subject, number)
