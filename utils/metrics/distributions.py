"""Distances between two sets of feature vectors: Frechet (FID), kernel (KID), their lower anchor.

The features come from `utils.metrics.features`. Distances are only comparable if they use the same
extractor, so report the extractor's name and both N with a distance.
"""

from __future__ import annotations

import warnings
from typing import Callable, TypeVar

import numpy as np

from utils.errors import UserError

Result = TypeVar("Result")


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Returns the Frechet distance of the Gaussians fitted to two sets; lower is better.

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), with C divided by N - 1. The trace of the
    root is the sum of the roots of the eigenvalues of C_a^(1/2) C_b C_a^(1/2), which is symmetric;
    eigenvalues and results below 0 are rounding and count as 0. Few samples enlarge the distance,
    so compare distances of equal N only. Source: Heusel et al., NeurIPS 2017, eq. 6.

    Args:
        features_a: [N,F], N of 2 or more.
        features_b: [K,F], K of 2 or more.

    Returns:
        0 or more, in squared units of the features; 0 for equal sets up to rounding.

    Raises:
        UserError: `check_features` refuses the sets.

    Warns:
        UserWarning: `is_rank_deficient` holds for a set.
    """
    a, b = check_features(features_a, features_b)
    smaller, width = min(len(a), len(b)), a.shape[1]
    if is_rank_deficient(smaller, width):
        warnings.warn(
            f"The Frechet distance of {smaller} samples with {width} features rests on a singular "
            "covariance and is too large; use more samples or the kernel distance.",
            stacklevel=2,
        )
    covariance_a, covariance_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = root @ covariance_b @ root
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
    shared = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    shift = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    distance = shift + np.trace(covariance_a) + np.trace(covariance_b) - 2 * shared
    return max(0.0, float(distance))


def is_rank_deficient(n: int, width: int) -> bool:
    """Returns whether the covariance of n samples with `width` features is singular for sure.

    n samples span n - 1 directions around their mean, so n has to exceed the width.
    """
    return n <= width


def kernel_distance(
    features_a: np.ndarray, features_b: np.ndarray, subsets: int, subset_size: int, seed: int
) -> tuple[float, float]:
    """Returns mean and standard deviation of the kernel distance over subsets; lower is better.

    The unbiased squared maximum mean discrepancy with the kernel (x.y / F + 1)^3: 0 on average for
    equal distributions at any N, so a value can be negative. A subset is drawn from each set
    without replacement. Subsets overlap: the deviation is no standard error. Source: Binkowski et
    al., ICLR 2018, section 4.

    Args:
        features_a: [N,F].
        features_b: [K,F].
        subsets: number of subsets, at least 1.
        subset_size: samples of each set in a subset, 2..min(N,K).
        seed: random seed of the subsets.

    Returns:
        mean and (population) standard deviation, no unit.

    Raises:
        UserError: `check_features` refuses the sets, there is no subset, or the subset size is out
            of range.
    """
    a, b = check_features(features_a, features_b)
    if subsets < 1 or not 2 <= subset_size <= min(len(a), len(b)):
        raise UserError(
            f"kernel_distance needs at least 1 subset of 2..{min(len(a), len(b))} samples, found "
            f"{subsets} of {subset_size}; correct subsets or subset_size."
        )
    rng = np.random.default_rng(seed)
    scores = [
        _squared_discrepancy(
            a[rng.choice(len(a), subset_size, replace=False)],
            b[rng.choice(len(b), subset_size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return float(np.mean(scores)), float(np.std(scores))


def lower_anchor(
    features: np.ndarray,
    groups: np.ndarray,
    distance: Callable[[np.ndarray, np.ndarray], Result],
    seed: int,
) -> Result:
    """Returns the distance between two halves of one set, the best a synthetic set can reach.

    Whole groups go to a half, since slices of one patient resemble each other. The halves have
    about half the samples each: compare with distances of that many samples.

    Args:
        features: [N,F], real samples.
        groups: [N] number or name of each sample's patient.
        distance: such as `frechet_distance`, called with the two halves.
        seed: random seed of the split, which does not depend on the order of the samples.

    Returns:
        what `distance` returns.

    Raises:
        UserError: there is not one group per sample, there are fewer than 2 groups, or `distance`
            refuses a half.
    """
    features, groups = np.asarray(features), np.asarray(groups)
    names = np.unique(groups)
    if groups.shape != features.shape[:1] or len(names) < 2:
        raise UserError(
            "lower_anchor needs one group per sample and at least 2 different groups, found "
            f"groups {groups.shape} with {len(names)} different for features {features.shape}; "
            "pass the patient of each sample."
        )
    half = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
    first = np.isin(groups, half)
    return distance(features[first], features[~first])


def check_features(features_a: np.ndarray, features_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns two sets of features [N,F] and [K,F] as float64.

    Raises:
        UserError: other axes, fewer than 2 samples, different widths, NaN or infinity.
    """
    a, b = np.asarray(features_a, np.float64), np.asarray(features_b, np.float64)
    for name, features in (("features_a", a), ("features_b", b)):
        if features.ndim != 2 or len(features) < 2 or not features.size:
            raise UserError(
                f"{name} must be [N,F] with N of 2 or more, found {features.shape}; pass one row "
                "per sample."
            )
        bad = np.count_nonzero(~np.isfinite(features).all(axis=1))
        if bad:
            raise UserError(
                f"{name} must be finite, found NaN or infinity in {bad} of {len(features)} rows; "
                "check the images they come from."
            )
    if a.shape[1] != b.shape[1]:
        raise UserError(
            f"features_a and features_b must be equally wide, found {a.shape[1]} and "
            f"{b.shape[1]}; use one extractor for both."
        )
    return a, b


def _squared_discrepancy(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy of two sets [N,F] of one size."""
    within_a, within_b, between = (
        (x @ y.T / x.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b))
    )
    pairs = len(a) * (len(a) - 1)  # a sample paired with itself would bias the mean
    own = sum(kernel.sum() - np.trace(kernel) for kernel in (within_a, within_b))
    return own / pairs - 2 * between.mean()
