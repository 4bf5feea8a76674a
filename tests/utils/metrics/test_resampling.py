"""The paired bootstrap against a plain loop, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from utils.errors import UserError
from utils.metrics.resampling import paired_bootstrap

DIFFERENCES = np.array([0.03, -0.01, 0.02, 0.05])
WEIGHTS = np.array([50, 40, 50, 10])


def test_the_interval_is_that_of_a_plain_loop():
    rng, means = np.random.default_rng(4), []
    for rows in rng.integers(4, size=(300, 4)):
        total = sum(WEIGHTS[row] for row in rows)
        means.append(sum(DIFFERENCES[row] * WEIGHTS[row] for row in rows) / total)
    mean, low, high = paired_bootstrap(DIFFERENCES, WEIGHTS, 300, seed=4)
    assert mean == pytest.approx((1.5 - 0.4 + 1.0 + 0.5) / 150)
    np.testing.assert_allclose([low, high], np.percentile(means, [2.5, 97.5]))


def test_many_patients_give_the_normal_interval():
    values = np.random.default_rng(0).normal(0.1, 1, 400)
    mean, low, high = paired_bootstrap(values, np.ones(400), 4000, seed=0)
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose([low, high], [mean - half, mean + half], atol=0.01)


def test_equal_differences_have_no_spread():
    assert paired_bootstrap([0.5] * 3, [1, 2, 3], 50, 0) == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("differences", "weights"),
    [([], []), ([0.1, np.nan], [1, 1]), ([0.1], [0]), ([0.1, 0.2], [1])],
)
def test_scores_that_do_not_pair_are_refused(differences, weights):
    with pytest.raises(UserError, match="finite difference and a weight"):
        paired_bootstrap(differences, weights, 10, 0)
