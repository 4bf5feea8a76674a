"""Stage "dataset": the synthetic set, from random codes to labelled images."""

from __future__ import annotations

import functools
from dataclasses import asdict
from pathlib import Path
from typing import Callable, Optional

import numpy as np
import tensorflow as tf

from data.boxes import painted
from data.contract import BOXES
from data.synthetic_sets.building import SyntheticConfig, build_synthetic_set
from data.synthetic_sets.files import WHOLE, Shard, finished_manifest
from experiments.engine.run import Run
from experiments.engine.synthetic_sets import begin_own_set, notes
from experiments.systems.structure_gan.maps import map_decoder
from models.lesions import Segmentation
from models.structure_gan.synthesis import Synthesis
from utils.metrics.segmentation import dice
from utils.seeding import derive_seed


def build_dataset(run: Run) -> None:
    """Draws maps, filters them, matches labels, renders and writes `synthetic/`."""
    directory, config = run.synthetic, run.config.dataset
    begin_own_set(run, asdict(config), run.experiment.drawing.networks)
    draw_set(run, directory, config)
    manifest = finished_manifest(directory)
    metrics = {f"dataset/rejected/{k}": v for k, v in manifest["rejected"].items()}
    metrics["dataset/accepted_after_retries"] = manifest["accepted_after_retries"]
    run.update_metrics(metrics)


def draw_set(run: Run, directory: Path, config: SyntheticConfig, shard: Shard = WHOLE) -> None:
    """Draws a shard of a synthetic set with a run's systems, or as much of it as is missing.

    Sample k depends on the run's seed and on k alone, so that a larger set begins with a smaller.
    """
    seed = derive_seed(run.config.seed, "dataset")
    set_drawer(run)(directory, config=config, seed=seed, shard=shard)


def set_drawer(run: Run) -> Callable[..., Optional[dict[str, int]]]:
    """Returns `build_synthetic_set` with a run's systems, which are loaded and compiled once.

    Directory, settings, seed and shard are left open; the settings have the run's batch size.
    """
    drawing, boxes = run.experiment.drawing, run.dataset.label_kind == BOXES
    return functools.partial(
        build_synthetic_set,
        decode=map_decoder(run),
        render=image_renderer(run.trained("synthesis"), run.config.dataset.batch_size, boxes),
        labels=drawing.labels(run),
        score=drawing.score(run),
        notes=notes(run),
        describe=functools.partial(drawing.describe, run),
    )


def image_renderer(
    system: Synthesis, batch_size: int, boxes: bool = False
) -> Callable[..., np.ndarray]:
    """Returns (structure, outside, labels, seeds [B,2]) -> images [B,H,W,M].

    Labels are [B,H,W,1], with `boxes` rows [B,N,5], or None.
    """

    @tf.function(autograph=False)
    def render(structure, outside, label, seeds) -> tf.Tensor:
        batch = {
            "random_structure": tf.cast(structure, tf.float32),
            "random_outside": tf.cast(outside, tf.float32),
            "seed": tf.ensure_shape(seeds, [batch_size, 2]),
        }
        if boxes:
            size = structure.shape[1:3]
            label = tf.stack([painted(rows, size) for rows in tf.unstack(label)])
        if label is not None:
            batch["random_label"] = tf.cast(label, tf.int32)
        return system.synthesize(batch)["images"]

    def rendered(*arrays: Optional[np.ndarray]) -> np.ndarray:
        return render(*(None if a is None else tf.constant(a) for a in arrays)).numpy()

    return rendered


def lesion_scorer(segmenters: Segmentation) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Returns (images [B,H,W,4], label [B,H,W,1]) -> whole-tumour Dice [B], mean of the G_l."""
    find = tf.function(segmenters.synthesize, autograph=False, reduce_retracing=True)

    def score(images: np.ndarray, label: np.ndarray) -> np.ndarray:
        found = find({"images": tf.constant(images)})["labels"].numpy()
        reference = label[..., 0] > 0
        modalities = [dice(found[..., i] > 0, reference) for i in range(found.shape[-1])]
        return np.mean(modalities, axis=0)

    return score
