"""Stage "dataset": the synthetic set, from random codes to labelled slices of four modalities."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Callable

import numpy as np
import tensorflow as tf

from data.contract import MODALITIES
from data.pipeline import lesion_labels
from data.synthetic import SyntheticConfig, build_synthetic_set
from experiments.stages.context import Context
from experiments.stages.run_context import PHANTOM_NOTE
from experiments.stages.training import map_decoder
from models.structure_gan.segmentation import Segmentation
from utils.checkpoints import saved_step
from utils.files import read_json, write_text
from utils.metrics.segmentation import dice
from utils.seeding import derive_seed

MADE_WITH = "made_with.json"  # beside the samples: what an unfinished set is being drawn with
NETWORKS = ("structure", "segmentation", "synthesis")


def build_dataset(context: Context) -> None:
    """Draws maps, filters them, matches labels, renders and writes `synthetic/`."""
    if not context.finished("dataset"):
        _drop_other_samples(context)
        draw_set(context, context.run.synthetic, context.config.dataset)
    manifest = read_json(context.run.synthetic / "manifest.json")
    metrics = {f"dataset/rejected/{k}": v for k, v in manifest["rejected"].items()}
    metrics["dataset/accepted_after_retries"] = manifest["accepted_after_retries"]
    context.run.update_metrics(metrics)


def _drop_other_samples(context: Context) -> None:
    """Removes the samples of an unfinished set that other settings or networks have begun."""
    folder, file = context.run.synthetic / "samples", context.run.synthetic / MADE_WITH
    settings = asdict(context.config.dataset)
    del settings["samples"]  # a larger set begins with a smaller one
    steps = {stage: saved_step(context.run.checkpoints(stage)) for stage in NETWORKS}
    text = json.dumps({"settings": settings, "seed": context.config.seed, "steps": steps})
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return
    if folder.exists():
        print("the unfinished synthetic set was begun with other settings and is drawn anew")
        shutil.rmtree(folder)
    write_text(file, text)


def draw_set(context: Context, directory: Path, config: SyntheticConfig) -> None:
    """Draws a synthetic set with a run's systems, or as much of it as is missing.

    Sample k depends on the run's seed and on k alone, so that a larger set begins with a smaller.
    """
    # The set is for publication: not even the name of the data's folder belongs in it.
    phantom = context.data_note == PHANTOM_NOTE
    note = PHANTOM_NOTE if phantom else "slices of the folder that --data named"
    build_synthetic_set(
        directory,
        decode=map_decoder(context),
        render=image_renderer(context),
        labels=lesion_labels(context.prepared, context.split.train),
        config=config,
        seed=derive_seed(context.config.seed, "dataset"),
        score=lesion_scorer(context.trained("segmentation")),
        notes={"training data": note, "modalities": " ".join(MODALITIES)},
    )


def image_renderer(context: Context) -> Callable[..., np.ndarray]:
    """Returns (structure, outside, label [B,H,W,1], seeds [B,2]) -> images [B,H,W,4] of G."""
    system = context.trained("synthesis")
    batch_size = context.config.dataset.batch_size

    @tf.function(autograph=False)
    def render(structure, outside, label, seeds) -> tf.Tensor:
        batch = {
            "random_structure": tf.cast(structure, tf.float32),
            "random_outside": tf.cast(outside, tf.float32),
            "random_label": tf.cast(label, tf.int32),
            "seed": tf.ensure_shape(seeds, [batch_size, 2]),
        }
        return system.synthesize(batch)["images"]

    return lambda *arrays: render(*map(tf.constant, arrays)).numpy()


def lesion_scorer(segmenters: Segmentation) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Returns (images [B,H,W,4], label [B,H,W,1]) -> whole-tumour Dice [B], mean of the G_l."""
    find = tf.function(segmenters.synthesize, autograph=False, reduce_retracing=True)

    def score(images: np.ndarray, label: np.ndarray) -> np.ndarray:
        found = find({"images": tf.constant(images)})["labels"].numpy()
        reference = label[..., 0] > 0
        modalities = [dice(found[..., i] > 0, reference) for i in range(len(MODALITIES))]
        return np.mean(modalities, axis=0)

    return score
