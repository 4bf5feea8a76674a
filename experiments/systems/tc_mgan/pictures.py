"""Sample pictures of TC-MGAN's trainings, from fixed examples; columns are examples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from data.contract import DataSet
from experiments.engine.fitting import Pictures, Synthesize
from models.tc_mgan.modalities import SOURCE_CHANNEL, TARGET_CHANNELS, TARGETS
from utils.reporting.pictures import grid, label_row, plain_row, slice_rows


def draw_lesions(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """The label, and the probability of tumour that S finds in a random target modality."""
    found = synthesize(examples)["probabilities"].numpy()[..., 0]
    rows = [label_row(examples["label"].numpy()[..., 0]), plain_row(found)]
    return {"lesions": grid(rows, titles=("label", "tumour found"))}


def draw_translations(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """T2, and each target modality real above translated, lesion outlined."""
    return {"translations": translation_grid({"from T2": synthesize}, examples)}


def translation_grid(
    translators: Mapping[str, Synthesize], examples: dict[str, tf.Tensor]
) -> np.ndarray:
    """Returns a picture of slices side by side: T2, then each target real above translated.

    Args:
        translators: `TCMGAN.synthesize` of the generators to compare, by what tells them apart.
        examples: `images` [N,H,W,4] and `label` [N,H,W,1] of the slices.
    """
    label = examples["label"].numpy()[..., 0]
    originals = slice_rows(examples["images"].numpy(), label)
    made = {
        title: slice_rows(synthesize(examples)["images"].numpy(), label)
        for title, synthesize in translators.items()
    }
    rows, titles = [originals[SOURCE_CHANNEL]], ["T2"]
    for i, (name, channel) in enumerate(zip(TARGETS, TARGET_CHANNELS)):
        rows += [originals[channel], *(made[title][i] for title in made)]
        titles += [f"{name} real", *(f"{name} {title}" for title in made)]
    return grid(rows, titles=titles)
