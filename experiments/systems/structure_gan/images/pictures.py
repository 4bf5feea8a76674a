"""Pictures of single images with their labels; columns are examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np
import tensorflow as tf

from data.boxes import painted
from data.contract import IMAGE, DataSet
from data.structure_maps.cutting import middle_map
from experiments.engine.fitting import Pictures, Synthesize
from experiments.engine.pictures import image_row
from utils.reporting.pictures import grid, plain_row

SURE = 0.5  # score of detections that are drawn


def class_headers(dataset: DataSet, label: Optional[np.ndarray], count: int) -> Sequence[str]:
    """Returns the class of each of `count` images as column headers, where it is their label."""
    if dataset.label_kind != IMAGE or label is None:
        return ()
    return [dataset.classes[k] for k in label[:count, 0, 0]]


def _label(examples: dict, prefix: str = "") -> Optional[np.ndarray]:
    label = examples.get(f"{prefix}label")
    return None if label is None else label.numpy()[..., 0]


def draw_pretraining(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """Real images above what G makes of their structure map and label."""
    label, rebuilt = _label(examples), synthesize(examples)["images"].numpy()
    rows = [plain_row(middle_map(examples["structure"].numpy()))]
    rows += [image_row(each, dataset, label) for each in (examples["images"].numpy(), rebuilt)]
    headers = class_headers(dataset, label, len(rebuilt))
    titles = ("map", "real", "rebuilt")
    return {"reconstructions": grid(rows, titles=titles, headers=headers)}


def draw_synthesis(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """Random maps above the images that G makes of them and of random labels."""
    label, images = _label(examples, "random_"), synthesize(examples)["images"].numpy()
    rows = [plain_row(middle_map(examples["random_structure"].numpy()))]
    rows += [image_row(images, dataset, label)]
    headers = class_headers(dataset, label, len(images))
    return {"samples": grid(rows, titles=("map", "synthetic"), headers=headers)}


def draw_classes(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """Real images under the class that the classifier finds and the true one."""
    found = synthesize(examples)["labels"].numpy()
    true = _label(examples)[:, 0, 0]
    headers = [f"{dataset.classes[a][:6]} ({dataset.classes[b][:6]})" for a, b in zip(found, true)]
    row = image_row(examples["images"].numpy(), dataset)
    return {"classes": grid([row], titles=("found (true)",), headers=headers)}


def draw_boxes(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """Real slices with the ellipses in the true boxes, above the same with the detector's."""
    found, images = synthesize(examples), examples["images"].numpy()
    sure = tf.where(found["scores"] >= SURE, found["classes"], 0)
    rows = tf.concat([tf.cast(sure, tf.float32)[..., None], found["boxes"]], axis=-1)
    label = np.stack([painted(each, images.shape[1:3]).numpy()[..., 0] for each in rows])
    sheet = [image_row(images, dataset, each) for each in (_label(examples), label)]
    return {"boxes": grid(sheet, titles=("true", "found"))}
