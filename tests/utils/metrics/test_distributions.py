"""Distances of sets against closed forms, explicit loops and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from utils.errors import UserError
from utils.metrics.distributions import (
    frechet_distance,
    is_rank_deficient,
    kernel_distance,
    lower_anchor,
)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def samples_with(mean: np.ndarray, root: np.ndarray, seed: int) -> np.ndarray:
    """200 samples whose own mean is `mean` and whose own covariance is root root^T, exactly."""
    x = normal(200, len(mean), seed=seed)
    x -= x.mean(axis=0)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(x, rowvar=False)), x.T)
    return (root @ white).T + mean


def test_equal_sets_have_no_frechet_distance():
    x = 3 * normal(300, 64) + 5
    assert frechet_distance(x, x) < 1e-3
    assert frechet_distance(x, np.random.default_rng(1).permutation(x)) < 1e-3
    x[:, 1] = x[:, 0]  # singular
    assert frechet_distance(x, x) < 1e-3


def test_frechet_distance_of_gaussians_has_its_closed_form():
    a = samples_with(np.array([1.0, 2, 3]), np.diag([1.0, 2, 3]), seed=1)
    b = samples_with(np.array([1.0, 0, 6]), np.diag([2.0, 2, 0.5]), seed=2)
    # Means: 0 + 4 + 9. Deviations along the axes: (1 - 2)^2 + 0 + (3 - 0.5)^2.
    assert frechet_distance(a, b) == pytest.approx(13 + 7.25, abs=1e-8)
    roots = normal(2, 3, 3, seed=3)  # covariances that do not commute
    a, b = (samples_with(np.zeros(3), root, seed) for seed, root in enumerate(roots))
    c, d = (root @ root.T for root in roots)
    expected = np.trace(c + d - 2 * sqrtm(c @ d).real)
    assert np.abs(c @ d - d @ c).max() > 0.1
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-8)


def test_frechet_distance_ignores_order_and_side():
    a, b = normal(50, 8), 2 * normal(70, 8, seed=1) + 1
    expected = frechet_distance(a, b)
    assert frechet_distance(a[::-1], b[::-1]) == pytest.approx(expected)
    assert frechet_distance(b, a) == pytest.approx(expected)
    assert frechet_distance(a[:, :1], b[:, :1]) == pytest.approx(
        (a[:, 0].mean() - b[:, 0].mean()) ** 2 + (a[:, 0].std(ddof=1) - b[:, 0].std(ddof=1)) ** 2
    )


def test_too_few_samples_are_warned_about():
    assert is_rank_deficient(8, 8) and not is_rank_deficient(9, 8)
    centred = normal(8, 8) - normal(8, 8).mean(axis=0)
    assert np.linalg.matrix_rank(centred) == 7
    with pytest.warns(UserWarning, match="5 samples with 8 features"):
        assert np.isfinite(frechet_distance(normal(5, 8), normal(20, 8, seed=1)))


@pytest.mark.parametrize(
    "distance", [frechet_distance, lambda a, b: kernel_distance(a, b, 1, 2, 0)]
)
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.full((4, 2), np.nan), normal(4, 2), "features_a must be finite, .* 4 of 4 rows"),
        (normal(4, 2), np.array([[0, 1], [np.inf, 0], [0, 0]]), "features_b .* 1 of 3 rows"),
        (normal(4, 2), normal(1, 2), "features_b must be .* N of 2 or more"),
        (normal(4), normal(4, 2), "features_a must be"),
        (normal(4, 2), normal(4, 3), "found 2 and 3"),
    ],
)
def test_unusable_features_are_refused(distance, a, b, message):
    with pytest.raises(UserError, match=message):
        distance(a, b)


def looped_discrepancy(a: np.ndarray, b: np.ndarray) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (sum(p * q for p, q in zip(x, y)) / len(x) + 1) ** 3

    n = len(a)
    own = [kernel(x[i], x[j]) for x in (a, b) for i in range(n) for j in range(n) if i != j]
    return sum(own) / (n * (n - 1)) - 2 * np.mean([kernel(x, y) for x in a for y in b])


def test_kernel_distance_equals_the_loop_over_all_pairs():
    a, b = normal(6, 4), normal(6, 4, seed=1) + 0.5
    found = kernel_distance(a, b, subsets=3, subset_size=6, seed=0)  # always the whole sets
    np.testing.assert_allclose(found, (looped_discrepancy(a, b), 0), atol=1e-12)


def test_kernel_distance_is_unbiased():
    rng = np.random.default_rng(0)
    values = [kernel_distance(*rng.normal(size=(2, 10, 4)), 1, 10, seed=0)[0] for _ in range(400)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error
    assert np.min(values) < 0 < np.max(values)
    # With the samples' pairs with themselves the mean would be far from 0.
    assert 2 * (2**3 - 1) / 10 > 8 * error
    shifted = kernel_distance(normal(200, 4), normal(200, 4, seed=1) + 1, 5, 100, seed=0)
    assert shifted[0] > 10 * shifted[1] > 0


def test_kernel_subsets_follow_the_seed():
    a, b = normal(30, 4), normal(40, 4, seed=1)
    first = kernel_distance(a, b, subsets=4, subset_size=8, seed=5)
    assert first == kernel_distance(a, b, subsets=4, subset_size=8, seed=5)
    assert first != kernel_distance(a, b, subsets=4, subset_size=8, seed=6)
    for subsets, size in ((0, 8), (1, 1), (1, 31)):
        with pytest.raises(UserError, match=r"2\.\.30 samples"):
            kernel_distance(a, b, subsets, size, seed=0)


def test_lower_anchor_splits_whole_patients_in_halves():
    groups = np.repeat(["p1", "p2", "p3", "p4", "p5"], [3, 1, 4, 2, 5])
    features = np.arange(15.0)[:, np.newaxis]

    def halves(order, seed):
        return lower_anchor(features[order], groups[order], lambda a, b: (a, b), seed)

    splits = set()
    for seed in range(20):
        sides = [set(groups[half[:, 0].astype(int)]) for half in halves(np.arange(15), seed)]
        assert [len(side) for side in sides] == [2, 3] and not sides[0] & sides[1]
        splits.add(frozenset(sides[0]))
    assert len(splits) > 5
    forwards, backwards = halves(np.arange(15), 3), halves(np.arange(15)[::-1], 3)
    np.testing.assert_array_equal(forwards[0], backwards[0][::-1])
    for wrong in (groups[:5], np.repeat("p1", 15)):
        with pytest.raises(UserError, match="one group per sample"):
            lower_anchor(features, wrong, frechet_distance, seed=0)
