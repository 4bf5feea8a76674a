"""Sample pictures of each training stage, from fixed examples; columns are examples."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from data.contract import DataSet
from data.slice_sets import Slices
from data.structure_maps.cutting import middle_map
from experiments.engine.fitting import Pictures, Synthesize
from models.networks.modalities import TRANSLATIONS
from utils.reporting.pictures import grid, label_row, plain_row, slice_rows


def draw_structure(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """Extracted maps, their reconstructions, random maps, their masks."""
    outputs = synthesize(examples)
    maps = (examples["structure"], outputs["reconstructed"], outputs["structure"])
    rows = [plain_row(middle_map(m.numpy())) for m in (*maps, outputs["outside"])]
    return {"maps": grid(rows, titles=("extracted", "decoded", "random", "outside"))}


def draw_segmentation(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """The true label, and the label that each modality's segmenter finds."""
    found = synthesize(examples)["labels"].numpy()
    rows = [label_row(examples["label"].numpy()[..., 0])]
    rows += [label_row(found[..., i]) for i in range(len(dataset.channels))]
    return {"labels": grid(rows, titles=("label", *dataset.channels))}


def draw_registration(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """One example: row i holds modality i and its translations to the three others."""
    translations = synthesize(examples)["translations"].numpy()[0, ..., 0]  # [12,H,W]
    images = np.moveaxis(examples["images"].numpy()[0], -1, 0)
    others = len(dataset.channels) - 1
    rows = [
        plain_row(np.concatenate([images[i : i + 1], translations[i * others : (i + 1) * others]]))
        for i in range(len(dataset.channels))
    ]
    return {"translations": grid(rows, titles=dataset.channels)}


def translations_of(synthesize: Synthesize, real: Slices, dataset: DataSet) -> np.ndarray:
    """Returns a picture of the slice with the largest lesion: a row for each target modality.

    The columns are the true slice and its translations from each modality, with the outline of the
    true lesion; in the column of its own modality the true slice stands again.
    """
    row = [np.argmax(np.count_nonzero(real.label, axis=(1, 2)))]
    images = real.images[row]
    found = synthesize({"images": tf.constant(images)})["translations"].numpy()[0, ..., 0]
    columns = np.repeat(images, 1 + len(dataset.channels), axis=0)  # [1+M,H,W,M]
    for (source, target), picture in zip(TRANSLATIONS, found):
        columns[1 + source, ..., target] = picture
    rows = slice_rows(columns, np.repeat(real.label[row], len(columns), axis=0))
    headers = ("true", *(f"from {channel}" for channel in dataset.channels))
    return grid(rows, titles=dataset.channels, headers=headers)


def draw_pretraining(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """Real slices above their reconstructions from structure map and label."""
    label = examples["label"].numpy()[..., 0]
    rebuilt = synthesize(examples)["images"].numpy()
    rows = [plain_row(examples["structure"].numpy()[..., 0])]
    for real, fake in zip(
        slice_rows(examples["images"].numpy(), label), slice_rows(rebuilt, label)
    ):
        rows += [real, fake]
    titles = [title for m in dataset.channels for title in (f"{m} real", f"{m} rebuilt")]
    return {"reconstructions": grid(rows, titles=("map", *titles))}


def draw_synthesis(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """Random maps, the four generated modalities with the label's outline, and the label."""
    label = examples["random_label"].numpy()[..., 0]
    images = synthesize(examples)["images"].numpy()
    rows = [plain_row(examples["random_structure"].numpy()[..., 0])]
    rows += slice_rows(images, label) + [label_row(label)]
    return {"samples": grid(rows, titles=("map", *dataset.channels, "label"))}
