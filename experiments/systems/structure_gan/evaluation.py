"""Stage "evaluate": the same figures on held-out slices and on the unfiltered synthetic set."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from data.brats.names import LABEL_NAMES, MODALITIES, NUM_CLASSES, REGIONS
from data.brats.slices import pixel_size
from data.pipeline import evaluation_batches
from data.structure_maps.extraction import extract_outside, structure_and_outside
from data.synthetic_sets.files import read_synthetic_set
from experiments.systems.structure_gan.context import Context
from utils.metrics.images import diversity_ssim, outside_share, pairwise_overlap
from utils.metrics.segmentation import segmentation_metrics
from utils.metrics.surface import hausdorff95_batch
from utils.seeding import derive_seed


@dataclass(frozen=True)
class SliceSet:
    """Labelled slices in memory: images [N,H,W,4]; label, outside, structure [N,H,W].

    `subjects` [N] numbers the patient of each slice; every synthetic slice is its own.
    """

    images: np.ndarray
    label: np.ndarray
    outside: np.ndarray
    structure: np.ndarray
    subjects: np.ndarray


def evaluate(context: Context) -> None:
    """Adds segmentation/, registration/, outside/ and diversity/ figures to metrics.json, once."""
    if context.finished("evaluate"):
        return
    segmenters = context.trained("segmentation")
    find = tf.function(segmenters.synthesize, autograph=False, reduce_retracing=True)
    for name, slices in (("real", held_out(context)), ("synthetic", synthetic(context))):
        found = find_labels(find, slices.images, context.config.evaluation.batch_size)
        metrics = {
            **segmentation_figures(found, slices.label, f"segmentation/{name}"),
            **surface_figures(context, found, slices.label, f"segmentation/{name}"),
            **overlap_figures(context, slices, f"registration/{name}"),
            **_per_modality(
                outside_share(slices.images, slices.outside).mean(axis=0),
                f"outside/{name}",
                "share",
            ),
            **_per_modality(_diversity(context, slices), f"diversity/{name}", "ssim"),
        }
        context.run.update_metrics(metrics)


def held_out(context: Context) -> SliceSet:
    """Returns the held-out patients' slices.

    `outside` is Algorithm 2 on all modalities; `structure` is Algorithm 1 on the first one, without
    lesion.
    """
    size = context.config.evaluation.batch_size
    batches = list(evaluation_batches(context.prepared, context.split.test, size))
    images = np.concatenate([batch["images"] for batch in batches])
    label = np.concatenate([batch["label"] for batch in batches])[..., 0]
    constants = context.config.maps.constants(context.prepared.dataset)
    masks = [
        np.concatenate([extract_outside(b["images"][..., i : i + 1], constants) for b in batches])
        for i in range(len(MODALITIES))
    ]
    structure = np.concatenate(
        [structure_and_outside(b["images"][..., :1], b["label"], constants)[0] for b in batches]
    )
    subjects = np.concatenate([batch["source"][:, 0] for batch in batches])
    # A pixel is outside the organ only if no modality shows it.
    return SliceSet(images, label, np.min(masks, axis=0)[..., 0], structure[..., 0], subjects)


def synthetic(context: Context) -> SliceSet:
    """Returns every sample of the synthetic set, selected or not."""
    samples = list(read_synthetic_set(context.run.synthetic))
    arrays = {
        key: np.stack([sample[key] for sample in samples])
        for key in ("images", "label", "outside", "structure")
    }
    arrays["label"] = arrays["label"].astype(np.int32)
    return SliceSet(**arrays, subjects=np.arange(len(samples)))


def find_labels(find: Callable[[dict], dict], images: np.ndarray, batch_size: int) -> np.ndarray:
    """Returns the labels [N,H,W,4] that segmenters find in images [N,H,W,4], modality by modality.

    `find` is `Segmentation.synthesize`, compiled or not.
    """
    starts = range(0, len(images), batch_size)
    return np.concatenate(
        [find({"images": tf.constant(images[i : i + batch_size])})["labels"] for i in starts]
    )


def segmentation_figures(found: np.ndarray, label: np.ndarray, prefix: str) -> dict[str, float]:
    """Returns `segmentation_metrics` of labels [N,H,W,4] against [N,H,W], and their means.

    Keys are `<prefix>/<modality>/<figure>` and `<prefix>/<figure>`; figures that do not exist, such
    as the Dice of a class that never occurs, are left out.
    """
    per_modality = [
        segmentation_metrics(found[..., i], label, NUM_CLASSES, LABEL_NAMES, REGIONS)
        for i in range(len(MODALITIES))
    ]
    figures = {
        f"{prefix}/{modality}/{key}": value
        for modality, values in zip(MODALITIES, per_modality)
        for key, value in values.items()
    }
    for key in per_modality[0]:
        figures[f"{prefix}/{key}"] = float(np.mean([values[key] for values in per_modality]))
    return {key: value for key, value in figures.items() if np.isfinite(value)}


def surface_figures(
    context: Context, found: np.ndarray, label: np.ndarray, prefix: str
) -> dict[str, float]:
    """Returns the whole tumour's HD95 per slice in mm of labels [N,H,W,4] against [N,H,W].

    Keys are those of `segmentation_figures` with `hd95_wt`, and with `hd95_wt_one_empty` for the
    number of slices that have no distance because only one of the two masks is empty.
    """
    spacing = [pixel_size(context.config.slicing)] * 2
    distances = [
        hausdorff95_batch(found[..., i] > 0, label > 0, spacing) for i in range(len(MODALITIES))
    ]
    figures = {
        **_per_modality(np.array([d.mean for d in distances]), prefix, "hd95_wt"),
        **_per_modality(np.array([d.one_empty for d in distances]), prefix, "hd95_wt_one_empty"),
    }
    return {key: value for key, value in figures.items() if np.isfinite(value)}


def overlap_figures(context: Context, slices: SliceSet, prefix: str) -> dict[str, float]:
    """Returns the overlap of each modality's structure map with the other three, lesions removed.

    Keys are `<prefix>/<modality>/overlap` and `<prefix>/overlap`; 1 for perfect registration.
    """
    count = min(len(slices.images), context.config.evaluation.overlap_slices)
    chosen = np.linspace(0, len(slices.images) - 1, count).astype(int)  # evenly, all patients
    images, label = slices.images[chosen], slices.label[chosen, ..., None]
    constants = context.config.maps.constants(context.prepared.dataset)
    maps = [
        structure_and_outside(images[..., i : i + 1], label, constants)[0].numpy()[..., 0]
        for i in range(len(MODALITIES))
    ]
    pairs = np.full([len(MODALITIES)] * 2, np.nan)
    for i, j in itertools.combinations(range(len(MODALITIES)), 2):
        overlap = pairwise_overlap(np.stack([maps[i], maps[j]], axis=1))
        pairs[i, j] = pairs[j, i] = np.nanmean(overlap)
    return _per_modality(np.nanmean(pairs, axis=1), prefix, "overlap")


def _diversity(context: Context, slices: SliceSet) -> np.ndarray:
    seed = derive_seed(context.config.seed, "diversity")
    pairs = context.config.evaluation.ssim_pairs
    several = np.ptp(slices.subjects) > 0  # of a single held-out patient any two slices are paired
    return diversity_ssim(slices.images, pairs, seed, slices.subjects if several else None)


def _per_modality(values: np.ndarray, prefix: str, key: str) -> dict[str, float]:
    metrics = {f"{prefix}/{m}/{key}": float(v) for m, v in zip(MODALITIES, values)}
    return {**metrics, f"{prefix}/{key}": float(np.mean(values))}
