"""Interval of a mean difference between two methods that were tested on the same patients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.errors import UserError


class Interval(NamedTuple):
    """A mean difference with the limits of its 95 % interval, in the unit of the differences."""

    mean: float
    low: float
    high: float


def paired_bootstrap(
    differences: np.ndarray, weights: np.ndarray, resamples: int, seed: int
) -> Interval:
    """Returns the weighted mean of paired differences and its 95 % bootstrap interval.

    Patients are drawn with replacement, each with its weight; the limits are the percentiles 2.5
    and 97.5 of the resampled means. With few patients the interval tends to be too narrow. Source:
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, 13.3.

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
    rng = np.random.default_rng(seed)
    drawn = rng.integers(values.size, size=(resamples, values.size))
    sums = (values * weights)[drawn].sum(axis=1)
    low, high = np.percentile(sums / weights[drawn].sum(axis=1), [2.5, 97.5])
    return Interval(float(np.average(values, weights=weights)), float(low), float(high))
