"""SAMR's Fig. 3: one brain, its lesion changed in six ways."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from data.manipulation import combined, mirrored, moved, replaced, resized
from data.slice_sets import Slices, real_slices
from experiments.configs.figures import MANIPULATIONS
from experiments.engine.experiment import Experiment, Task
from experiments.engine.run import Run
from experiments.engine.sources import Finished
from experiments.systems.samr.evaluation import made_from
from experiments.systems.samr.stages import TRAIN_SAMR
from experiments.tables.figures import finish
from utils.errors import UserError
from utils.reporting.pictures import grid, label_row, palette_with_brain, slice_rows, write_png

LARGER, SMALLER = 2.0, 0.5  # the tumour's area, oedema left out
STEP = 0.15  # of the slice's sides
COLUMNS = ("own", "mirrored", "enlarged", "shrunk", "replaced", "moved", "combined")


def draw_manipulations(run: Run) -> None:
    """Draws the slice with the largest tumour of some held-out patients with each change."""
    source, config = run.source, run.config
    dataset = source.prepared.dataset
    slices = real_slices(source.prepared, source.split.test)
    last = dataset.num_classes - 1  # of a lesion with a single label, all
    tumour = range(min(dataset.first_lesion + 1, last), last + 1)
    palette = palette_with_brain(dataset.first_lesion)
    rows, titles = [], []
    chosen = largest(slices, tumour, config.patients)
    for row in chosen:
        donor = donor_of(slices, row, dataset.first_lesion, np.random.default_rng(config.seed))
        labels = changes(slices.label[row], slices.label[donor], tumour, dataset.first_lesion)
        shown = Slices(
            np.repeat(slices.images[row : row + 1], len(labels), axis=0),
            labels,
            index=np.full(len(labels), slices.index[row]),
        )
        made = replace(shown, images=made_from(source, shown))
        lesion = dataset.lesion_of(labels)
        rows.append(label_row(np.concatenate([slices.label[row : row + 1], labels]), palette))
        real = slice_rows(slices.images[row : row + 1], lesion[:1], palette)
        rows += [a + b for a, b in zip(real, slice_rows(made.images, lesion, palette))]
        titles += ["label", *dataset.channels]
    write_png(run.path / "figure3_samr.png", grid(rows, titles=titles, headers=("real", *COLUMNS)))
    finish(
        run,
        "Figure 3 of SAMR: changed lesions",
        f"Slices of {len(chosen)} held-out patient(s), real and made from labels: the own one; the "
        f"lesion mirrored; its tumour (without oedema) {LARGER:g} and {SMALLER:g} times as large; "
        "another patient's lesion in its place; moved; the other patient's lesion beside it.",
        [],
        {"patients": len(chosen)},
    )


def largest(slices: Slices, parts: range, count: int) -> list[int]:
    """Returns the slices with most pixels of some labels, one of each of `count` patients.

    Raises UserError if no slice has any.
    """
    sizes = np.isin(slices.label, parts).sum(axis=(1, 2))
    best = [
        max(np.flatnonzero(slices.subjects == subject), key=lambda row: sizes[row])
        for subject in np.unique(slices.subjects)
    ]
    found = [int(row) for row in best if sizes[row]][:count]
    if not found:
        raise UserError(
            "No held-out patient has a tumour in the run's slices; take a run with another split"
        )
    return found


def donor_of(slices: Slices, row: int, first_lesion: int, rng: np.random.Generator) -> int:
    """Returns a slice with a lesion of another patient, as near in height as there is one."""
    lesions = (slices.label >= first_lesion).any(axis=(1, 2))
    others = np.flatnonzero(lesions & (slices.subjects != slices.subjects[row]))
    donors = others if len(others) else np.flatnonzero(lesions)
    distance = np.abs(slices.index[donors] - slices.index[row])
    return int(rng.choice(donors[distance == distance.min()]))


def changes(label: np.ndarray, donor: np.ndarray, tumour: range, first_lesion: int) -> np.ndarray:
    """Returns the label maps [7,H,W] of `COLUMNS`, from a label and a donor's [H,W]."""
    moves = [_moved(label, offset, first_lesion) for offset in _offsets(label)]
    return np.stack(
        [
            label,
            mirrored(label, first_lesion),
            resized(label, LARGER, tumour, first_lesion),
            resized(label, SMALLER, tumour, first_lesion),
            replaced(label, donor, first_lesion),
            max(moves, key=lambda moved: (moved >= first_lesion).sum()),
            combined(label, donor, first_lesion),
        ]
    )


def _offsets(label: np.ndarray) -> list[tuple[int, int]]:
    steps = [round(STEP * side) for side in label.shape]
    offsets = [(a * steps[0], b * steps[1]) for a, b in itertools.product((-1, 0, 1), repeat=2)]
    return [offset for offset in offsets if any(offset)]


def _moved(label: np.ndarray, offset: tuple[int, int], first_lesion: int) -> np.ndarray:
    try:
        return moved(label, offset, first_lesion)
    except UserError:  # nothing of it would be left
        return np.zeros_like(label)


FIGURE3 = Experiment(
    "experiments/figure3_samr.py",
    "SAMR's Fig. 3: slices of one patient with a lesion that is changed in six ways.",
    MANIPULATIONS,
    stages=(Task("draw", draw_manipulations),),
    key="figure3_samr",
    sources=Finished(TRAIN_SAMR),
)
