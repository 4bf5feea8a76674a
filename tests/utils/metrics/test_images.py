"""Shares and overlaps by hand; SSIM against scikit-image."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from utils.errors import UserError
from utils.metrics.images import PAIRS_PER_CHUNK, diversity_ssim, outside_share, pairwise_overlap


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(np.float32)


def reference_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """SSIM of two images [H,W] by scikit-image, over the windows that lie inside the image."""
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, full = structural_similarity(first, second, data_range=1, full=True, **gaussian)
    return full[5:-5, 5:-5].mean()


def test_outside_share_is_per_image_and_modality():
    images = np.zeros((2, 1, 4, 2), np.float32)
    images[0, 0, :, 0] = [0.1, 0.2, 0.3, 0.4]
    images[0, 0, :, 1] = [0.0, 0.0, 0.5, 0.0]
    images[1, 0, :, 0] = [1.0, 1.0, 1.0, 1.0]  # its other modality is zero everywhere
    outside = np.array([[[1, 0, 0, 1]], [[1, 1, 1, 0]]], np.uint8)
    expected = [[0.5, 0.0], [0.75, 0.0]]
    np.testing.assert_allclose(outside_share(images, outside), expected, atol=1e-7)
    np.testing.assert_allclose(outside_share(images, outside[..., None]), expected, atol=1e-7)


@pytest.mark.parametrize("shape", [(2, 4), (3, 4, 4), (2, 4, 4, 2)])
def test_outside_share_refuses_foreign_masks(shape):
    with pytest.raises(UserError, match="matching arrays"):
        outside_share(np.ones((2, 4, 4, 2)), np.ones(shape))


def test_pairwise_overlap_averages_all_pairs():
    maps = np.array([[[[1, 1, 0, 0]], [[1, 0, 0, 0]], [[0, 0, 1, 1]]]], np.uint8)
    # Pairs 0-1: 2 * 1 / 3; 0-2: 0; 1-2: 0.
    np.testing.assert_allclose(pairwise_overlap(maps), [2 / 9])
    maps = np.zeros((3, 3, 2, 2), bool)
    maps[0, :, 0] = True
    maps[1, 0, 0] = True  # two pairs score 0, the pair of empty maps is left out
    np.testing.assert_array_equal(pairwise_overlap(maps), [1, 0, np.nan])
    with pytest.raises(UserError, match="at least two maps"):
        pairwise_overlap(maps[:, :1])


def test_ssim_equals_scikit_image_for_each_modality():
    images = noise(2, 24, 20, 3)
    images[1, ..., 0] = 0.5 * images[0, ..., 0] + 0.3
    images[1, ..., 1] = images[0, ..., 1]
    expected = [reference_ssim(images[0, ..., m], images[1, ..., m]) for m in range(3)]
    found = diversity_ssim(images, num_pairs=3, seed=0)  # two images: always the same pair
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found[1] == pytest.approx(1)


def test_ssim_pairs_are_different_images_drawn_evenly():
    images = noise(4, 13, 12, 1)
    expected = [reference_ssim(*images[list(pair), ..., 0]) for pair in combinations(range(4), 2)]
    error = np.std(expected) / np.sqrt(2000)  # standard error of the sampled mean
    assert 5 * error < 0.03  # images paired with themselves would add (1 - mean) / 4
    found = diversity_ssim(images, num_pairs=2000, seed=1)[0]
    assert found == pytest.approx(np.mean(expected), abs=5 * error)


def test_ssim_pairs_follow_the_seed():
    images = noise(12, 11, 11, 2)
    first = diversity_ssim(images, num_pairs=5, seed=3)
    np.testing.assert_array_equal(first, diversity_ssim(images, num_pairs=5, seed=3))
    assert np.all(first != diversity_ssim(images, num_pairs=5, seed=4))


def test_ssim_counts_every_pair_of_every_chunk():
    images = np.zeros((3, 11, 11, 1), np.float32)
    images[2] = 1
    # Pairs score 1 (0-1) or C1 / (1 + C1) with C1 = 0.01^2, so the mean tells how many are equal.
    count = PAIRS_PER_CHUNK + 1
    equal = diversity_ssim(images, count, seed=0)[0] * count
    assert 0 < round(equal) < count
    assert equal == pytest.approx(round(equal) + (count - round(equal)) * 1e-4 / 1.0001, abs=1e-5)


@pytest.mark.parametrize(
    "shape, pairs, message",
    [
        ((1, 16, 16, 4), 5, "N of 2 or more"),
        ((3, 16, 16, 4), 0, "at least 1 pair"),
        ((3, 16, 10, 4), 5, "at least 11 pixels"),
        ((3, 16, 16), 5, r"\[N,H,W,M\]"),
    ],
)
def test_ssim_refuses_what_it_cannot_pair(shape, pairs, message):
    with pytest.raises(UserError, match=message):
        diversity_ssim(np.zeros(shape, np.float32), pairs, seed=0)
