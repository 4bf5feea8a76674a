"""Figures of sets of images: intensity outside the organ, agreement of maps, diversity."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import tensorflow as tf

from utils.errors import UserError
from utils.metrics.segmentation import dice, mean_and_count

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
PAIRS_PER_CHUNK = 32


def outside_share(images: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Returns the share of each image's summed intensity outside the organ; lower is better.

    Args:
        images: [N,H,W,M], 0 or more.
        outside: [N,H,W] or [N,H,W,1], 1 = outside the organ, 0 = inside.

    Returns:
        float64 [N,M] in [0,1]; 0 for an image that is zero everywhere.

    Raises:
        UserError: the shapes do not belong together.
    """
    images, outside = np.asarray(images), np.asarray(outside)
    if images.ndim != 4 or outside.shape not in (images.shape[:3], (*images.shape[:3], 1)):
        raise UserError(
            "outside_share needs images [N,H,W,M] and masks [N,H,W] or [N,H,W,1] of the same "
            f"slices, found {images.shape} and {outside.shape}; pass matching arrays."
        )
    total = images.sum(axis=(1, 2), dtype=np.float64)
    mask = outside.reshape(images.shape[:3])
    lost = np.einsum("nhwm,nhw->nm", images, mask, dtype=np.float64)
    return np.divide(lost, total, out=np.zeros_like(total), where=total > 0)


def pairwise_overlap(maps: np.ndarray) -> np.ndarray:
    """Returns the mean Dice over all M (M - 1) / 2 pairs of each sample's maps; higher is better.

    A pair of two empty maps is left out; a sample without any other pair gives NaN.

    Args:
        maps: [N,M,H,W] bool or 0/1, such as the structure maps of M modalities.

    Returns:
        float64 [N] in [0,1] or NaN.

    Raises:
        UserError: fewer than 2 maps in a sample.
    """
    maps = np.asarray(maps)
    if maps.ndim != 4 or maps.shape[1] < 2:
        raise UserError(
            f"pairwise_overlap needs maps [N,M,H,W] with M of 2 or more, found {maps.shape}; pass "
            "at least two maps per sample."
        )
    pairs = [dice(maps[:, i], maps[:, j]) for i, j in combinations(range(maps.shape[1]), 2)]
    return np.array([mean_and_count(scores)[0] for scores in zip(*pairs)])


def diversity_ssim(images: np.ndarray, num_pairs: int, seed: int) -> np.ndarray:
    """Returns the mean SSIM between different images of a set, per modality.

    Lower means more diverse and 1 a collapsed set; the value of as many real images is the mark to
    meet. Pairing rule: each pair is drawn uniformly from all pairs of two different images,
    independently of the others; equal `num_pairs`, `seed` and N give equal pairs. SSIM: Wang et
    al., IEEE TIP 13(4), 2004, with data range 1, K 0.01 and 0.03, an 11x11 Gaussian window of
    sigma 1.5, and only windows that lie inside the image.

    Args:
        images: [N,H,W,M] in [0,1], N of 2 or more, H and W of 11 or more.
        num_pairs: number of pairs, at least 1.
        seed: of the pairs.

    Returns:
        float64 [M], at most 1.

    Raises:
        UserError: too few or too small images, or no pair.
    """
    images = np.asarray(images)
    if images.ndim != 4 or len(images) < 2 or num_pairs < 1:
        raise UserError(
            "diversity_ssim needs images [N,H,W,M] with N of 2 or more and at least 1 pair, found "
            f"{images.shape} and {num_pairs} pairs; use more images or pairs."
        )
    if min(images.shape[1:3]) < SSIM_WINDOW:
        raise UserError(
            f"diversity_ssim needs images of at least {SSIM_WINDOW} pixels a side, found "
            f"{images.shape[1]}x{images.shape[2]}; use larger slices."
        )
    rng = np.random.default_rng(seed)
    first = rng.integers(len(images), size=num_pairs)
    second = (first + rng.integers(1, len(images), size=num_pairs)) % len(images)
    scores = [
        _ssim(images[first[start:][:PAIRS_PER_CHUNK]], images[second[start:][:PAIRS_PER_CHUNK]])
        for start in range(0, num_pairs, PAIRS_PER_CHUNK)
    ]
    return np.concatenate(scores).mean(axis=0, dtype=np.float64)


def _ssim(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """SSIM of every modality [P,M]: tf.image.ssim would average them, so they become rows."""
    rows = [np.moveaxis(images, -1, 1)[..., np.newaxis] for images in (first, second)]
    return tf.image.ssim(
        *rows, max_val=1.0, filter_size=SSIM_WINDOW, filter_sigma=SSIM_SIGMA
    ).numpy()
