"""Bootstrap, sign-flip test, Holm and detectable difference against their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from utils.errors import UserError
from utils.metrics.resampling import (
    detectable_difference,
    half_width,
    holm,
    pair_bootstrap,
    paired_bootstrap,
    sign_flip_test,
)

DIFFERENCES = np.array([0.03, -0.01, 0.02, 0.05])
WEIGHTS = np.array([50, 40, 50, 10])


def test_the_limits_are_those_of_the_bca_formula():
    rng = np.random.default_rng(2)
    values, weights = rng.gamma(1.0, 1.0, 15), rng.integers(1, 5, 15)
    found = paired_bootstrap(values, weights, 20000, seed=4)
    mean = np.average(values, weights=weights)
    rows = rng.integers(15, size=(20000, 15))
    means = (values * weights)[rows].sum(1) / weights[rows].sum(1)
    bias = stats.norm.ppf(np.mean(means < mean))
    left_out = [np.average(np.delete(values, i), weights=np.delete(weights, i)) for i in range(15)]
    away = np.mean(left_out) - left_out
    pull = np.sum(away**3) / (6 * np.sum(away**2) ** 1.5)
    moved = [bias + (bias + z) / (1 - pull * (bias + z)) for z in stats.norm.ppf([0.025, 0.975])]
    assert found.mean == pytest.approx(mean)
    np.testing.assert_allclose(found[1:], np.quantile(means, stats.norm.cdf(moved)), atol=0.02)
    plain = np.quantile(means, [0.025, 0.975])  # skewed: BCa lies higher than plain percentiles
    assert found.low > plain[0] + 0.01 and found.high > plain[1] + 0.02


def test_patients_are_drawn_with_their_weights():
    mean, low, high = paired_bootstrap(DIFFERENCES, WEIGHTS, 300, seed=4)
    assert mean == pytest.approx((1.5 - 0.4 + 1.0 + 0.5) / 150)
    assert -0.01 <= low < mean < high <= 0.05


def test_signs_are_flipped_in_all_ways():
    sums = [np.dot(signs, DIFFERENCES * WEIGHTS) for signs in itertools.product((1, -1), repeat=4)]
    as_far = np.mean(np.abs(sums) >= (DIFFERENCES * WEIGHTS).sum() - 1e-12)
    assert sign_flip_test(DIFFERENCES, WEIGHTS, 1000, 0) == pytest.approx(as_far)
    assert sign_flip_test(np.ones(12), np.ones(12), 10000, 0) == pytest.approx(2 / 2**12)
    assert sign_flip_test(np.ones(1), np.ones(1), 100, 0) == 1.0


def test_holm_adjusts_the_smallest_most_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_true_difference_of_the_detectable_size_is_mostly_found():
    rng = np.random.default_rng(0)
    spread = rng.normal(0, 1, 12)
    size = detectable_difference(spread / spread.std(ddof=1))
    samples = rng.normal(size, 1, [4000, 12])
    found = stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05
    assert 0.75 < found.mean() < 0.85
    assert np.isnan(detectable_difference(np.ones(1)))


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


def test_images_are_drawn_not_pairs():
    rng = np.random.default_rng(0)
    of_image, other = rng.normal(size=40), rng.normal(size=30)
    first, second = rng.integers(40, size=4000), rng.integers(30, size=4000)
    scores = (of_image[first] + other[second])[:, None]
    (half,) = pair_bootstrap(scores, (first, second), (40, 30), 2000, 1)
    # Variances of the two means of images add up; pairs alone would give a tenth of this.
    expected = 1.96 * np.sqrt(of_image.var() / 40 + other.var() / 30)
    assert half == pytest.approx(expected, rel=0.1)
    scores = (of_image[first] + of_image[first[::-1]])[:, None]
    (half,) = pair_bootstrap(scores, (first, first[::-1]), (40,), 2000, 1)
    assert half == pytest.approx(2 * 1.96 * of_image.std() / np.sqrt(40), rel=0.15)


def test_half_of_an_interval():
    drawn = np.linspace(0, 1, 1001)
    assert half_width(drawn) == pytest.approx(0.475)
