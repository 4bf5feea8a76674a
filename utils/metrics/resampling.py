"""Mean differences between two methods that were tested on the same patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from utils.errors import UserError

LEVEL = 0.05
POWER = 0.8


class Interval(NamedTuple):
    """A mean difference with the limits of its 95 % interval, in the unit of the differences."""

    mean: float
    low: float
    high: float


def paired_bootstrap(
    differences: np.ndarray, weights: np.ndarray, resamples: int, seed: int
) -> Interval:
    """Returns the weighted mean of paired differences and its 95 % bootstrap interval.

    Patients are drawn with replacement, each with its weight; the limits are bias-corrected and
    accelerated (BCa). Equal differences have the limits of their mean. With few patients the
    interval tends to be too narrow. Source: Efron and Tibshirani, An Introduction to the Bootstrap,
    1993, 14.3.

    Args:
        differences: [P], one per patient.
        weights: [P], above 0, such as each patient's number of slices.
        resamples: number of resamples, 1 or more.
        seed: random seed of the draws.

    Raises:
        UserError: there is no patient, not one weight per patient, a weight that is not above 0, or
            a number that is not finite.
    """
    values, weights = np.asarray(differences, np.float64), np.asarray(weights, np.float64)
    usable = values.ndim == 1 and values.shape == weights.shape and values.size
    if not usable or not np.isfinite([values, weights]).all() or (weights <= 0).any():
        raise UserError(
            f"paired_bootstrap needs a finite difference and a weight above 0 for each patient, "
            f"found {values.shape} and {weights.shape}; leave out patients without a score."
        )
    mean = float(np.average(values, weights=weights))
    if np.ptp(values) == 0:
        return Interval(mean, mean, mean)

    def weighted_mean(values: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
        return (values * weights).sum(axis) / weights.sum(axis)

    found = stats.bootstrap(
        (values, weights),
        weighted_mean,
        n_resamples=resamples,
        paired=True,
        vectorized=True,
        method="BCa",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def pair_bootstrap(
    scores: np.ndarray,
    parts: tuple[np.ndarray, ...],
    sizes: tuple[int, ...],
    resamples: int,
    seed: int,
) -> np.ndarray:
    """Returns half the width [M] of a mean score's 95 % interval over random pairs of images.

    Images, not pairs, are drawn with replacement (percentile bootstrap): a pair counts as often as
    the product of how often its two images were drawn.

    Args:
        scores: [P,M], of the pairs.
        parts: which images a pair has, [P] each.
        sizes: number of images that each of `parts` is from; a single one if it is the same set.
        resamples: number of resamples.
        seed: random seed of the draws.
    """
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(n, np.full(n, 1 / n), resamples) for n in sizes]  # [R,n]
    weights = np.prod([drawn[k % len(drawn)][:, part] for k, part in enumerate(parts)], axis=0)
    weights = weights[weights.sum(axis=1) > 0].astype(np.float64)
    means = weights @ scores / weights.sum(axis=1, keepdims=True)
    return half_width(means)


def half_width(drawn: np.ndarray) -> np.ndarray:
    """Returns half the width [...] of the 95 % percentile interval of draws [R,...]."""
    low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2], axis=0)
    return (high - low) / 2


def sign_flip_test(
    differences: np.ndarray, weights: np.ndarray, resamples: int, seed: int
) -> float:
    """Returns the two-sided p-value of a weighted mean of paired differences.

    Under the null hypothesis each patient's difference is as likely to have the other sign. All
    sign patterns are tried if there are no more than `resamples` of them, else random ones.
    Source: Fisher's randomisation test of paired samples.

    Args:
        differences: [P], finite, one per patient; P = 1 gives 1.
        weights: [P], above 0.
        resamples: largest number of sign patterns.
        seed: random seed of the patterns.
    """
    if len(differences) < 2:
        return 1.0
    found = stats.permutation_test(
        (np.multiply(differences, weights),),
        lambda values, axis: values.mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        random_state=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values that are adjusted for being read together, in the order given.

    A claim whose adjusted value is below 5 % holds with at most 5 % chance that any of the claims
    that pass is false. Source: Holm, Scandinavian Journal of Statistics, 1979.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, (len(p_values) - rank) * p_values[i])
        adjusted[i] = min(1.0, largest)
    return adjusted


def detectable_difference(differences: np.ndarray) -> float:
    """Returns the smallest true mean difference that a test of so many patients mostly finds.

    It is found with a power of 80 % by a two-sided t-test at 5 %, for the spread that the
    differences [P] have; NaN for P below 2.
    """
    count = len(differences)
    if count < 2:
        return float("nan")
    quantiles = stats.t.ppf([1 - LEVEL / 2, POWER], count - 1)
    return float(quantiles.sum() * np.std(differences, ddof=1) / np.sqrt(count))
