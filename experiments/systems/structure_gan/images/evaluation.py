"""Stage "evaluate" for single images: the same figures of held-out and of synthetic ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Optional

import numpy as np
import tensorflow as tf

from data.contract import IMAGE
from data.slice_sets import Slices, real_slices, stored_slices
from data.structure_maps.cutting import cut_maps, middle_map
from data.structure_maps.filter import without_holes
from experiments.engine.run import Run
from experiments.engine.scoring import per_channel, sharpness_figures
from experiments.systems.structure_gan.evaluation import diversity, texture_figures
from models.structure_gan.classification import Classification
from utils.inference import compiled, infer
from utils.metrics.detection import detection_metrics
from utils.metrics.images import outside_share
from utils.metrics.sharpness import inside_rim

LINES = (0.03, 0.25)  # share of lines in maps that guide well
Judge = Callable[[Run, Slices, str], Mapping[str, float]]  # figures of labels under a prefix


def evaluate(run: Run, judge: Optional[Judge] = None) -> None:
    """Adds the figures of textures, maps, images and labels of both sets to metrics.json."""
    sets = {"real": held_out(run), "synthetic": stored_slices(run.synthetic)}
    run.update_metrics(texture_figures(run, *sets.values()))
    for name, slices in sets.items():
        dataset, outside = run.prepared.dataset, middle(slices.outside)
        around = np.stack([without_holes(mask) for mask in outside])  # lungs are inside of a body
        shares = outside_share(slices.images, around).mean(axis=0)
        figures = {
            f"maps/{name}/lines": float(slices.structure.mean()),
            f"maps/{name}/outside": float(slices.outside.mean()),
            **per_channel(dataset, shares, f"outside/{name}", "share"),
            **sharpness_figures(dataset, slices.images, inside_rim(outside), f"sharpness/{name}"),
            **(judge(run, slices, name) if judge else {}),
            **per_channel(dataset, diversity(run, slices), f"diversity/{name}", "ssim"),
        }
        run.update_metrics(figures)


def held_out(run: Run) -> Slices:
    """Returns the held-out images, with their extracted maps and masks."""
    slices = real_slices(run.prepared, run.split.test)
    dataset, maps, size = run.prepared.dataset, run.config.maps, run.config.evaluation.batch_size

    def cut(batch: dict) -> dict:
        def one(example: dict) -> tuple:
            return cut_maps(example, maps, dataset)

        kinds = (tf.float32, tf.float32)
        structure, outside = tf.map_fn(one, batch, fn_output_signature=kinds)
        return {"structure": structure, "outside": outside}

    arrays = {"images": slices.images, "seed": np.zeros([len(slices), 2], np.int32)}
    if slices.label is not None:
        arrays["label"] = slices.label[..., None]
    found = infer(cut, arrays, size)
    alone = dataset.map_channels == 1
    return replace(slices, **{k: v[..., 0] if alone else v for k, v in found.items()})


def middle(maps: np.ndarray) -> np.ndarray:
    """Returns the maps of `Slices`, [N,H,W] or [N,H,W,K], as [N,H,W]; see `middle_map`."""
    return maps if maps.ndim == 3 else middle_map(maps)


def classes_of(slices: Slices) -> np.ndarray:
    """Returns the class of each image, [N], where that is its label."""
    return slices.label[:, 0, 0]


def class_figures(run: Run, slices: Slices, name: str) -> dict[str, float]:
    """Returns how often the run's classifier finds the class of an image, in all and by class.

    Keys are `classification/<name>/accuracy` and `classification/<name>/<class>/recall`; of real
    images it is the classifier's own accuracy, of synthetic ones whether the label acts.
    """
    dataset = run.prepared.dataset
    assert dataset.label_kind == IMAGE
    classifier: Classification = run.trained("classification")
    find, size = compiled(classifier.synthesize), run.config.evaluation.batch_size
    found = infer(find, {"images": slices.images}, size)["labels"]
    true = classes_of(slices)
    accuracy = {f"classification/{name}/accuracy": float(np.mean(found == true))}
    recalls = class_recalls(found, true, dataset.classes)
    return {**accuracy, **{f"classification/{name}/{k}/recall": v for k, v in recalls.items()}}


def class_recalls(found: np.ndarray, true: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Returns the share of each class' images [N] whose class is found; of classes that occur."""
    return {
        name: float(np.mean(found[true == number] == number))
        for number, name in enumerate(names)
        if (true == number).any()
    }


def box_figures(run: Run, slices: Slices, name: str) -> dict[str, float]:
    """Returns how well the run's detector finds the boxes of slices, `detection/<name>/<figure>`.

    Figures are those of `detection_metrics`. Of real slices they are the detector's own, of
    synthetic ones whether the labels act.
    """
    detector = compiled(run.trained("detection").synthesize)
    found = infer(detector, {"images": slices.images}, run.config.evaluation.batch_size)
    figures = detection_metrics(found, slices.boxes, run.prepared.dataset.classes)
    return {f"detection/{name}/{key}": v for key, v in figures.items() if np.isfinite(v)}
