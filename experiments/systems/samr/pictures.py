"""Pictures of SAMR from fixed examples; columns are examples."""

from __future__ import annotations

import numpy as np

from data.contract import DataSet
from data.slice_sets import Slices
from experiments.engine.fitting import Pictures, Synthesize
from utils.reporting.pictures import PALETTE_WITH_BRAIN, grid, label_row, slice_rows


def draw_labels(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """The label, and what the segmenter finds."""
    rows = [label_row(examples["label"].numpy()[..., 0], PALETTE_WITH_BRAIN)]
    rows.append(label_row(synthesize(examples)["labels"].numpy()[..., 0], PALETTE_WITH_BRAIN))
    return {"labels": grid(rows, titles=("label", "found"))}


def draw_slices(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """The label, and each sequence real above generated, lesion outlined."""
    label = examples["label"].numpy()[..., 0]
    lesion = np.where(label >= dataset.first_lesion, label, 0)
    real = slice_rows(examples["images"].numpy(), lesion)
    made = slice_rows(synthesize(examples)["images"].numpy(), lesion)
    rows, titles = [label_row(label, PALETTE_WITH_BRAIN)], ["label"]
    for name, *pair in zip(dataset.channels, real, made):
        rows += pair
        titles += [f"{name} real", f"{name} made"]
    return {"slices": grid(rows, titles=titles)}


def draw_samples(slices: Slices, dataset: DataSet) -> np.ndarray:
    """The label and each sequence of samples of a set, lesion outlined: uint8 [H,W,3]."""
    lesion = np.where(slices.label >= dataset.first_lesion, slices.label, 0)
    rows = [label_row(slices.label, PALETTE_WITH_BRAIN), *slice_rows(slices.images, lesion)]
    return grid(rows, titles=("label", *dataset.channels))
