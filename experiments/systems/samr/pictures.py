"""Pictures of SAMR from fixed examples; columns are examples."""

from __future__ import annotations

import numpy as np

from data.contract import DataSet
from data.slice_sets import Slices
from experiments.engine.fitting import Pictures, Synthesize
from utils.reporting.pictures import grid, label_row, palette_with_brain, slice_rows


def draw_labels(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """The label, and what the segmenter finds."""
    labels = examples["label"], synthesize(examples)["labels"]
    palette = palette_with_brain(dataset.first_lesion)
    rows = [label_row(label.numpy()[..., 0], palette) for label in labels]
    return {"labels": grid(rows, titles=("label", "found"))}


def draw_slices(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """The label, and each sequence real above generated, lesion outlined."""
    label = examples["label"].numpy()[..., 0]
    lesion = dataset.lesion_of(label)
    palette = palette_with_brain(dataset.first_lesion)
    real = slice_rows(examples["images"].numpy(), lesion, palette)
    made = slice_rows(synthesize(examples)["images"].numpy(), lesion, palette)
    rows, titles = [label_row(label, palette)], ["label"]
    for name, *pair in zip(dataset.channels, real, made):
        rows += pair
        titles += [f"{name} real", f"{name} made"]
    return {"slices": grid(rows, titles=titles)}


def draw_samples(slices: Slices, dataset: DataSet) -> np.ndarray:
    """The label and each sequence of samples of a set, lesion outlined: uint8 [H,W,3]."""
    lesion = dataset.lesion_of(slices.label)
    palette = palette_with_brain(dataset.first_lesion)
    rows = [label_row(slices.label, palette), *slice_rows(slices.images, lesion, palette)]
    return grid(rows, titles=("label", *dataset.channels))
