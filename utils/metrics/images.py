"""Metrics of images: intensity outside the organ, agreement of maps, PSNR, SSIM, diversity."""

from __future__ import annotations

from itertools import combinations
from typing import Any, Callable, NamedTuple, Optional

import numpy as np
import tensorflow as tf
from skimage.metrics import structural_similarity

from utils.errors import UserError
from utils.metrics.segmentation import dice, mean_and_count

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
UNIFORM_SSIM_WINDOW = 7
# One weight per scale, the full resolution's first; Wang et al., Asilomar 2003.
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
PAIRS_PER_CHUNK = 32

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def outside_share(images: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Returns the fraction of each image's summed intensity outside the organ; lower is better.

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


def check_images(caller: str, images: np.ndarray, axes: str, side: int = 1) -> np.ndarray:
    """Returns images as an array that has the axes, size and range that a metric needs.

    Args:
        caller: the metric, for the message.
        images: array-like.
        axes: expected axes, such as `N,H,W,M`; the second and third are rows and columns.
        side: smallest number of rows and of columns in pixels.

    Raises:
        UserError: other axes, no image, too few pixels, values outside [0,1] or NaN.
    """
    images = np.asarray(images)
    if images.ndim != len(axes.split(",")) or not images.size:
        raise UserError(
            f"{caller} needs images [{axes}] with at least one image, found {images.shape}; pass "
            "an array of that form."
        )
    if min(images.shape[1:3]) < side:
        raise UserError(
            f"{caller} needs images of at least {side} pixels a side, found "
            f"{images.shape[1]}x{images.shape[2]}; use larger slices."
        )
    low, high = images.min(), images.max()
    if not 0 <= low <= high <= 1:
        raise UserError(
            f"{caller} needs intensities in [0,1], found {low}..{high}; scale the images before."
        )
    return images


def psnr(images: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns the peak signal-to-noise ratio 10 log10(1 / MSE) in dB; higher is better.

    The peak is 1 and the mean squared error is over the full frame, background included.

    Args:
        images: [N,H,W,M] in [0,1].
        reference: [N,H,W,M] in [0,1], the true image of each.

    Returns:
        float64 [N,M], 0 or more; infinite for equal images, so a mean over images is infinite too.

    Raises:
        UserError: the shapes differ or `check_images` refuses the images.
    """
    images, reference = _check_pairs("psnr", images, reference)
    error = np.mean((images.astype(np.float64) - reference) ** 2, axis=(1, 2))
    decades = np.log10(error, out=np.full_like(error, -np.inf), where=error > 0)
    return -10 * decades


def paired_ssim(images: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns the SSIM of each image and its true image; higher is better, 1 for equal images.

    Wang et al., IEEE TIP 13(4), 2004, with data range 1, K 0.01 and 0.03, an 11x11 Gaussian window
    of sigma 1.5, and only windows that lie inside the image.

    Args:
        images: [N,H,W,M] in [0,1], H and W of 11 or more.
        reference: [N,H,W,M] in [0,1], the true image of each.

    Returns:
        float64 [N,M] in [-1,1].

    Raises:
        UserError: the shapes differ or `check_images` refuses the images.
    """
    images, reference = _check_pairs("paired_ssim", images, reference, SSIM_WINDOW)
    return _in_chunks(_ssim, images, reference)


def uniform_ssim(images: np.ndarray, reference: np.ndarray, data_range: float = 1.0) -> np.ndarray:
    """Returns the SSIM by scikit-image's defaults; higher is better, 1 for equal images.

    Wang et al., IEEE TIP 13(4), 2004, with K 0.01 and 0.03, a 7x7 uniform window, sample covariance
    and only windows that lie inside the image. Values do not compare with `paired_ssim`, nor across
    data ranges: 1 is the range of the intensities; 2, scikit-image's former default for floating
    point numbers, probably gave the published values of TC-MGAN.

    Args:
        images: [N,H,W,M] in [0,1], H and W of 7 or more.
        reference: [N,H,W,M] in [0,1], the true image of each.
        data_range: above 0; a larger one gives values nearer to 1.

    Returns:
        float64 [N,M] in [-1,1].

    Raises:
        UserError: the shapes differ, `check_images` refuses the images, or the range is not above
            0.
    """
    images, reference = _check_pairs("uniform_ssim", images, reference, UNIFORM_SSIM_WINDOW)
    if not 0 < data_range < np.inf:
        raise UserError(f"uniform_ssim needs a data range above 0, found {data_range}; give 1 or 2")
    settings = {"win_size": UNIFORM_SSIM_WINDOW, "data_range": data_range}
    scores = np.empty((len(images), images.shape[-1]))
    for n, m in np.ndindex(*scores.shape):
        pair = (array[n, ..., m].astype(np.float64) for array in (images, reference))
        scores[n, m] = structural_similarity(*pair, **settings)
    return scores


def scales_for(height: int, width: int) -> int:
    """Returns the number of MS-SSIM scales for a size in pixels: 5 from 176 a side, fewer below.

    Each scale halves the image, and the smallest has to hold the 11-pixel window, so n scales need
    11 * 2^(n-1) pixels a side: 4 from 88, 3 from 44, 2 from 22, 1 from 11.

    Raises:
        UserError: a side below 11.
    """
    side = min(height, width)
    if side < SSIM_WINDOW:
        raise UserError(
            f"MS-SSIM needs images of at least {SSIM_WINDOW} pixels a side, found "
            f"{height}x{width}; use larger slices."
        )
    return min(len(MS_SSIM_WEIGHTS), (side // SSIM_WINDOW).bit_length())


def ms_ssim_name(height: int, width: int) -> str:
    """Returns the name of an MS-SSIM of this size, such as `ms_ssim_3`: the scales are part of it.

    Values of different numbers of scales are not comparable.

    Raises:
        UserError: a side below 11.
    """
    return f"ms_ssim_{scales_for(height, width)}"


def multi_scale_ssim(images: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns the MS-SSIM of each image and its true image; higher is better, 1 for equal images.

    Wang et al., Asilomar 2003, with the window and constants of `paired_ssim`, by
    `tf.image.ssim_multiscale`: negative contrast and SSIM count as 0. Five scales have the
    published weights (sum 1.0001), fewer have the first ones divided by their sum. Report it under
    `ms_ssim_name`.

    Args:
        images: [N,H,W,M] in [0,1], H and W of 11 or more.
        reference: [N,H,W,M] in [0,1], the true image of each.

    Returns:
        float64 [N,M] in [0,1].

    Raises:
        UserError: the shapes differ or `check_images` refuses the images.
    """
    images, reference = _check_pairs("multi_scale_ssim", images, reference, SSIM_WINDOW)
    return _in_chunks(_ms_ssim, images, reference)


class PairScores(NamedTuple):
    """Scores of random pairs.

    Attributes:
        scores: [P,M].
        first, second: [P], which image of the set, or of either set, each pair has.
    """

    scores: np.ndarray
    first: np.ndarray
    second: np.ndarray


def diversity_ssim(*arguments: Any, **options: Any) -> np.ndarray:
    """Returns the mean over the pairs of `diversity_pairs`, float64 [M]."""
    return diversity_pairs(*arguments, **options).scores.mean(axis=0)


def diversity_pairs(
    images: np.ndarray,
    num_pairs: int,
    seed: int,
    groups: Optional[np.ndarray] = None,
    score: Score = paired_ssim,
) -> PairScores:
    """Returns the SSIM between different images of a set, per modality.

    A lower mean means more diverse and 1 a collapsed set; the value of as many real images is the
    mark to meet. Pairing rule: each pair is drawn uniformly from all pairs of two different images,
    independently of the others; equal `num_pairs`, `seed` and N give equal pairs.

    Args:
        images: [N,H,W,M] in [0,1], N of 2 or more, H and W of 11 or more.
        num_pairs: number of pairs, at least 1.
        seed: random seed of the pairs.
        groups: [N], such as patients: only pairs of different groups are drawn.
        score: score of a pair; report that of `multi_scale_ssim` under `ms_ssim_name`.

    Raises:
        UserError: there are too few images, groups or pairs, or `check_images` refuses the images.
    """
    images = check_images("diversity_ssim", images, "N,H,W,M", SSIM_WINDOW)
    if len(images) < 2 or num_pairs < 1:
        raise UserError(
            "diversity_ssim needs images [N,H,W,M] with N of 2 or more and at least 1 pair, found "
            f"{images.shape} and {num_pairs} pairs; use more images or pairs."
        )
    rng = np.random.default_rng(seed)
    first = rng.integers(len(images), size=num_pairs)
    second = (first + rng.integers(1, len(images), size=num_pairs)) % len(images)
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != (len(images),) or np.all(groups == groups[0]):
            raise UserError(
                f"diversity_ssim needs a group for each of {len(images)} images and two groups at "
                f"least, found {groups.shape} with {len(np.unique(groups))}; pass one entry per "
                "image."
            )
        while np.any(same := groups[first] == groups[second]):
            second[same] = rng.integers(len(images), size=np.count_nonzero(same))
    return PairScores(score(images[first], images[second]), first, second)


def similarity_ssim(*arguments: Any, **options: Any) -> np.ndarray:
    """Returns the mean over the pairs of `similarity_pairs`, float64 [M]."""
    return similarity_pairs(*arguments, **options).scores.mean(axis=0)


def similarity_pairs(
    images: np.ndarray,
    others: np.ndarray,
    num_pairs: int,
    seed: int,
    score: Score = paired_ssim,
) -> PairScores:
    """Returns the SSIM between images of two sets, per modality; higher is nearer.

    Pairing rule: each pair is an image of either set, both drawn uniformly and independently; equal
    `num_pairs`, `seed` and sizes of the sets give equal pairs. The pairs show different cases, so
    even two sets of real images stay far below 1: that value is the mark to meet. Source: the
    released code pairs two directory listings in their order, which is as arbitrary.

    Args:
        images: [N,H,W,M] in [0,1], H and W of 11 or more.
        others: [K,H,W,M] in [0,1].
        num_pairs: number of pairs, at least 1.
        seed: random seed of the pairs.
        score: score of a pair; report that of `multi_scale_ssim` under `ms_ssim_name`.

    Raises:
        UserError: there is no image or no pair, the slices have different sizes, or `check_images`
            refuses the images.
    """
    images, others = (
        check_images("similarity_ssim", array, "N,H,W,M", SSIM_WINDOW) for array in (images, others)
    )
    if images.shape[1:] != others.shape[1:] or num_pairs < 1:
        raise UserError(
            "similarity_ssim needs two sets of images [N,H,W,M] of one size and at least 1 pair, "
            f"found {images.shape}, {others.shape} and {num_pairs} pairs; resize a set or ask for "
            "more pairs."
        )
    rng = np.random.default_rng(seed)
    first, second = (rng.integers(len(array), size=num_pairs) for array in (images, others))
    return PairScores(score(images[first], others[second]), first, second)


def _check_pairs(
    caller: str, images: np.ndarray, reference: np.ndarray, side: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    images, reference = (
        check_images(caller, array, "N,H,W,M", side) for array in (images, reference)
    )
    if images.shape != reference.shape:
        raise UserError(
            f"{caller} needs an image and its true image of one shape, found {images.shape} and "
            f"{reference.shape}; pass the same cases in the same order."
        )
    return images, reference


def _in_chunks(score: Score, images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Scores [P,M] of two times P images, a chunk at a time to bound the memory."""
    starts = range(0, len(images), PAIRS_PER_CHUNK)
    chunks = [slice(start, start + PAIRS_PER_CHUNK) for start in starts]
    return np.concatenate([score(images[c], others[c]) for c in chunks]).astype(np.float64)


def _rows(images: np.ndarray) -> np.ndarray:
    """[P,H,W,M] as [P,M,H,W,1] float32: TensorFlow would average modalities, so they are rows."""
    return np.moveaxis(images, -1, 1)[..., np.newaxis].astype(np.float32)


def _ssim(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """SSIM of every modality [P,M]."""
    return tf.image.ssim(
        _rows(first), _rows(second), 1.0, filter_size=SSIM_WINDOW, filter_sigma=SSIM_SIGMA
    ).numpy()


def _ms_ssim(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """MS-SSIM of every modality [P,M]."""
    count = scales_for(*first.shape[1:3])
    weights = MS_SSIM_WEIGHTS
    if count < len(weights):
        weights = tuple(np.array(weights[:count]) / sum(weights[:count]))
    return tf.image.ssim_multiscale(
        _rows(first), _rows(second), 1.0, weights, filter_size=SSIM_WINDOW, filter_sigma=SSIM_SIGMA
    ).numpy()
