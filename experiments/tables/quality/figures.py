"""Figures of image quality: tumour crops, similarity and distances to held-out slices."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Callable

import numpy as np
import tensorflow as tf

from experiments.configs.table3 import QualityConfig
from experiments.engine.slices import Slices
from utils.metrics.distributions import frechet_distance, kernel_distance
from utils.metrics.features import standardise
from utils.metrics.images import (
    diversity_ssim,
    ms_ssim_name,
    multi_scale_ssim,
    similarity_ssim,
)

TEXTURE = "texture"  # its features have units of their own and are standardised
Extract = Callable[[np.ndarray], np.ndarray]  # images [N,H,W] -> features [N,F]


def lesion_crops(slices: Slices, config: QualityConfig) -> Slices:
    """Returns the lesions cut out by their binarised label, one square crop per slice that has one.

    The crop is the bounding box of all labels above 0, widened by the margin and to a square around
    its centre, moved (not cut) at the image's border, and resized with an antialiased bilinear
    filter. What lies around the lesion inside the square is kept.

    Returns:
        images [K,crop_size,crop_size,4] with their subjects, without label; K may be 0.
    """
    rows, crops = [], []
    for row, (image, mask) in enumerate(zip(slices.images, slices.label > 0)):
        if np.count_nonzero(mask) < config.smallest_lesion:
            continue
        top, left, side = _square(mask, config.crop_margin)
        window = image[top : top + side, left : left + side]
        size = (config.crop_size, config.crop_size)
        crops.append(np.clip(tf.image.resize(window, size, antialias=True), 0, 1))
        rows.append(row)
    shape = (0, config.crop_size, config.crop_size, slices.images.shape[-1])
    images = np.stack(crops) if crops else np.zeros(shape, np.float32)
    return Slices(images, subjects=None if slices.subjects is None else slices.subjects[rows])


def _square(mask: np.ndarray, margin: int) -> tuple[int, int, int]:
    """Returns top, left and side of the square around a mask [H,W]."""
    spans = [np.flatnonzero(mask.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    side = min(max(last - first + 1 for first, last in spans) + 2 * margin, *mask.shape)
    starts = [(first + last + 1 - side) // 2 for first, last in spans]
    top, left = (max(0, min(s, length - side)) for s, length in zip(starts, mask.shape))
    return top, left, side


def quality_figures(
    slices: Slices,
    reference: Slices,
    extractors: Mapping[str, Extract],
    config: QualityConfig,
    seed: int,
) -> dict[str, np.ndarray]:
    """Returns the figures of a set next to reference slices, each per modality [4].

    Args:
        slices: the set, real or synthetic.
        reference: held-out real slices (or their crops).
        extractors: functions to features by the name that ends the figures' names.
        config: numbers of pairs and subsets.
        seed: of pairs and subsets.

    Returns:
        `ms_ssim_<scales>_similarity` (higher is nearer), `ms_ssim_<scales>_diversity` (lower is
        more diverse), and for every extractor `frechet_<name>` and `kernel_<name>` (lower is
        nearer).
    """
    name = ms_ssim_name(*slices.images.shape[1:3])
    groups = slices.subjects
    if groups is not None and len(np.unique(groups)) < 2:
        groups = None  # of a single patient any two slices are paired
    figures = {
        f"{name}_similarity": similarity_ssim(
            slices.images, reference.images, config.pairs, seed, multi_scale_ssim
        ),
        f"{name}_diversity": diversity_ssim(
            slices.images, config.pairs, seed, groups, multi_scale_ssim
        ),
    }
    for extractor, extract in extractors.items():
        distances = []
        for i in range(slices.images.shape[-1]):
            features = [extract(part.images[..., i]) for part in (reference, slices)]
            distances.append(_distances(*features, extractor, config, seed))
        for kind, values in zip(("frechet", "kernel"), zip(*distances)):
            figures[f"{kind}_{extractor}"] = np.array(values)
    return figures


def _distances(
    real: np.ndarray, features: np.ndarray, extractor: str, config: QualityConfig, seed: int
) -> tuple[float, float]:
    """Frechet and kernel distance of two sets of features [K,F] and [N,F]."""
    if extractor == TEXTURE:
        real, features = standardise(real, features)
    size = min(config.subset_size, len(real), len(features))
    with warnings.catch_warnings():
        # Too few images are told once beside the table, not for every modality and set.
        warnings.filterwarnings("ignore", "The Frechet distance", UserWarning)
        frechet = frechet_distance(real, features)
    return frechet, kernel_distance(real, features, config.subsets, size, seed)[0]
