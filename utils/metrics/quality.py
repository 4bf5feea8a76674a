"""Metrics of image quality: tumour crops, similarity and distances to held-out slices."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np
import tensorflow as tf

from utils.errors import at_least, check_fields
from utils.metrics.distributions import frechet_distance, kernel_distance
from utils.metrics.features import standardise, texture_features
from utils.metrics.images import (
    diversity_pairs,
    ms_ssim_name,
    multi_scale_ssim,
    similarity_pairs,
)
from utils.metrics.resampling import half_width, pair_bootstrap

HALF = "_half"  # ends the name of half an interval's width
RESAMPLES = 1000  # of images, for the intervals of MS-SSIMs
FRECHET_RESAMPLES = 200
TEXTURE = "texture"  # its features have units of their own and are standardised
Extract = Callable[[np.ndarray], np.ndarray]  # images [N,H,W] -> features [N,F]


@dataclass(frozen=True)
class QualityConfig:
    """How image quality is measured.

    Args:
        pairs: random pairs of images per MS-SSIM value.
        subsets: random subsets per kernel distance.
        subset_size: images of each set in a subset, at most.
        crop_size: side of the tumour crops, pixels.
        crop_margin: pixels around the lesion in a crop.
        smallest_lesion: lesions of fewer pixels give no crop.
    """

    pairs: int = 2000
    subsets: int = 50
    subset_size: int = 100
    crop_size: int = 88
    crop_margin: int = 4
    smallest_lesion: int = 100

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("pairs", "subsets", "smallest_lesion"), at_least(1))
        check_fields(
            self,
            "--quality.",
            **counts,
            subset_size=at_least(2),
            crop_size=at_least(11),
            crop_margin=at_least(0),
        )


def lesion_crops(
    images: np.ndarray, label: np.ndarray, config: QualityConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lesions cut out by their binarised label, one square crop per slice that has one.

    The crop is the bounding box of all labels above 0, widened by the margin and to a square around
    its centre, moved (not cut) at the image's border, and resized with an antialiased bilinear
    filter. What lies around the lesion inside the square is kept.

    Args:
        images: [N,H,W,M].
        label: [N,H,W].
        config: size, margin and the smallest lesion.

    Returns:
        Crops [K,crop_size,crop_size,M] and the rows [K] that they are from; K may be 0.
    """
    rows, crops = [], []
    for row, (image, mask) in enumerate(zip(images, label > 0)):
        if np.count_nonzero(mask) < config.smallest_lesion:
            continue
        top, left, side = _square(mask, config.crop_margin)
        window = image[top : top + side, left : left + side]
        size = (config.crop_size, config.crop_size)
        crops.append(np.clip(tf.image.resize(window, size, antialias=True), 0, 1))
        rows.append(row)
    shape = (0, config.crop_size, config.crop_size, images.shape[-1])
    stacked = np.stack(crops) if crops else np.zeros(shape, np.float32)
    return stacked, np.array(rows, int)


def _square(mask: np.ndarray, margin: int) -> tuple[int, int, int]:
    """Returns top, left and side of the square around a mask [H,W]."""
    spans = [np.flatnonzero(mask.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    side = min(max(last - first + 1 for first, last in spans) + 2 * margin, *mask.shape)
    starts = [(first + last + 1 - side) // 2 for first, last in spans]
    top, left = (max(0, min(s, length - side)) for s, length in zip(starts, mask.shape))
    return top, left, side


def quality_figures(
    images: np.ndarray,
    reference: np.ndarray,
    extractors: Mapping[str, Extract],
    config: QualityConfig,
    seed: int,
    subjects: Optional[np.ndarray] = None,
) -> dict[str, np.ndarray]:
    """Returns the metrics of a set, compared with reference slices, each per channel [M].

    Args:
        images: the set, real or synthetic, [N,H,W,M].
        reference: held-out real slices (or their crops), [K,H,W,M].
        extractors: functions from images to features, by the name that ends the metrics' names.
        config: numbers of pairs and subsets.
        seed: random seed of pairs and subsets.
        subjects: [N], numbers of the patients; None if all differ.

    Returns:
        `ms_ssim_<scales>_similarity` (higher is nearer), `ms_ssim_<scales>_diversity` (lower is
        more diverse), and for every extractor `frechet_<name>` and `kernel_<name>` (lower is
        nearer). Beside the MS-SSIMs and `frechet_<name>` stands, with `HALF` at the end, half the
        width of the 95 % interval over the choice of images.
    """
    name = ms_ssim_name(*images.shape[1:3])
    if subjects is not None and len(np.unique(subjects)) < 2:
        subjects = None  # of a single patient any two slices are paired
    score = multi_scale_ssim
    near = similarity_pairs(images, reference, config.pairs, seed, score)
    alike = diversity_pairs(images, config.pairs, seed, subjects, score)
    sizes = len(images), len(reference)
    figures = {}
    for kind, found, counts in (("similarity", near, sizes), ("diversity", alike, sizes[:1])):
        figures[f"{name}_{kind}"] = found.scores.mean(axis=0)
        parts = found.first, found.second
        half = pair_bootstrap(found.scores, parts, counts, RESAMPLES, seed)
        figures[f"{name}_{kind}{HALF}"] = half
    for extractor, extract in extractors.items():
        distances = []
        for i in range(images.shape[-1]):
            features = [extract(part[..., i]) for part in (reference, images)]
            distances.append(_distances(*features, extractor, config, seed))
        names = f"frechet_{extractor}", f"kernel_{extractor}", f"frechet_{extractor}{HALF}"
        figures.update({key: np.array(values) for key, values in zip(names, zip(*distances))})
    return figures


def _distances(
    real: np.ndarray, features: np.ndarray, extractor: str, config: QualityConfig, seed: int
) -> tuple[float, float, float]:
    """Frechet and kernel distance of features [K,F] and [N,F], half the interval of the former."""
    if extractor == TEXTURE:
        real, features = standardise(real, features)
    size = min(config.subset_size, len(real), len(features))
    distance = kernel_distance(real, features, config.subsets, size, seed)[0]
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(FRECHET_RESAMPLES):
        chosen = (part[rng.integers(len(part), size=len(part))] for part in (real, features))
        drawn.append(_frechet(*chosen))
    return _frechet(real, features), distance, float(half_width(np.array(drawn)))


def _frechet(real: np.ndarray, features: np.ndarray) -> float:
    with warnings.catch_warnings():
        # Too few images are told once beside the table, not for every modality and set.
        warnings.filterwarnings("ignore", "The Frechet distance", UserWarning)
        return frechet_distance(real, features)


def frechet_texture(images: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns the Frechet distance [M] of texture features to reference slices; lower is nearer.

    Features are in units of the reference's deviations. It is not FID: no trained network is used.

    Args:
        images: [N,H,W,M] in [0,1].
        reference: [K,H,W,M], such as held-out slices.
    """
    features = (
        [texture_features(part[..., i]) for part in (reference, images)]
        for i in range(images.shape[-1])
    )
    return np.array([_frechet(*standardise(*pair)) for pair in features])
