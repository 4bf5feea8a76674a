"""Shares, overlaps and PSNR by hand; SSIM against scikit-image, MS-SSIM against TensorFlow."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.transform import downscale_local_mean

from utils.errors import UserError
from utils.metrics.images import (
    PAIRS_PER_CHUNK,
    diversity_ssim,
    ms_ssim_name,
    multi_scale_ssim,
    outside_share,
    paired_ssim,
    pairwise_overlap,
    psnr,
    scales_for,
    similarity_ssim,
    uniform_ssim,
)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(np.float32)


def reference_ssim(first: np.ndarray, second: np.ndarray, contrast_only: bool = False) -> float:
    """SSIM of two images [H,W] by scikit-image, over the windows that lie inside the image."""
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, full = structural_similarity(first, second, data_range=1, full=True, **gaussian)
    if contrast_only:  # divide by the term of the local means
        a, b = (gaussian_filter(x.astype(np.float64), 1.5, truncate=3.5) for x in (first, second))
        full = full * (a**2 + b**2 + 1e-4) / (2 * a * b + 1e-4)
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


def test_psnr_is_per_image_and_modality():
    images, reference = noise(4, 8, 9, 3).reshape(2, 2, 8, 9, 3)
    expected = [
        [peak_signal_noise_ratio(reference[n, ..., m], images[n, ..., m], data_range=1)]
        for n in range(2)
        for m in range(3)
    ]
    np.testing.assert_allclose(psnr(images, reference), np.reshape(expected, (2, 3)), rtol=1e-5)
    found = psnr(np.zeros((2, 4, 4, 1)), np.stack([np.full((4, 4, 1), 0.1), np.zeros((4, 4, 1))]))
    np.testing.assert_allclose(found, [[20], [np.inf]])  # 10 log10(1 / 0.01); equal images


def test_paired_ssim_is_per_image_and_modality_beyond_a_chunk():
    images, reference = noise(2, PAIRS_PER_CHUNK + 1, 12, 13, 2)
    found = paired_ssim(images, reference)
    assert found.shape == (PAIRS_PER_CHUNK + 1, 2) and found.dtype == np.float64
    for n, m in ((0, 0), (3, 1), (PAIRS_PER_CHUNK, 1)):
        expected = reference_ssim(images[n, ..., m], reference[n, ..., m])
        assert found[n, m] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("data_range", [1, 2])
def test_uniform_ssim_by_its_definition(data_range):
    images, reference = noise(4, 9, 8, 2).reshape(2, 2, 9, 8, 2)
    found = uniform_ssim(images, reference, data_range)
    assert found.shape == (2, 2) and found.dtype == np.float64
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    for n, m in np.ndindex(2, 2):
        local = []
        for row, column in np.ndindex(3, 2):  # the 7x7 windows inside 9x8
            window = (n, slice(row, row + 7), slice(column, column + 7), m)
            x, y = (array[window].ravel().astype(np.float64) for array in (images, reference))
            (vx, cov), (_, vy) = np.cov(x, y)  # divided by 48
            means = (2 * x.mean() * y.mean() + c1) / (x.mean() ** 2 + y.mean() ** 2 + c1)
            local.append(means * (2 * cov + c2) / (vx + vy + c2))
        assert found[n, m] == pytest.approx(np.mean(local), abs=1e-9)


def test_uniform_ssim_of_equal_images_and_its_refusals():
    images = noise(2, 7, 9, 1)
    np.testing.assert_allclose(uniform_ssim(images, images), 1)
    wider = uniform_ssim(images, 1 - images, 2)
    assert (wider > uniform_ssim(images, 1 - images)).all()  # constants weigh more
    for data_range in (0, -1, np.nan):
        with pytest.raises(UserError, match="data range above 0"):
            uniform_ssim(images, images, data_range)
    with pytest.raises(UserError, match="at least 7 pixels"):
        uniform_ssim(images[:, :6], images[:, :6])


def test_scales_keep_the_window_inside_the_smallest_image():
    sides = (11, 21, 22, 43, 44, 87, 88, 175, 176, 1000)
    assert [scales_for(side, 1000) for side in sides] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert scales_for(184, 144) == 4 and ms_ssim_name(104, 80) == "ms_ssim_3"
    with pytest.raises(UserError, match="found 12x10"):
        scales_for(12, 10)


def test_five_scales_are_the_ones_of_tensorflow():
    reference = noise(2, 176, 180, 2)
    images = 0.6 * reference + 0.4 * reference[::-1]
    expected = [
        tf.image.ssim_multiscale(images[..., m : m + 1], reference[..., m : m + 1], 1.0)
        for m in range(2)
    ]
    found = multi_scale_ssim(images, reference)
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-6)
    assert (found > 0.5).all() and (found < 0.99).all()


def test_fewer_scales_have_weights_that_sum_to_one():
    reference = noise(1, 24, 26, 1)
    images = 0.7 * reference + 0.2
    halves = [downscale_local_mean(array[0, ..., 0], (2, 2)) for array in (images, reference)]
    # Contrast term at full size, SSIM at half size; the mean of windows comes before the power.
    contrast = reference_ssim(images[0, ..., 0], reference[0, ..., 0], contrast_only=True)
    weight = 0.0448 / (0.0448 + 0.2856)
    expected = contrast**weight * reference_ssim(*halves) ** (1 - weight)
    np.testing.assert_allclose(multi_scale_ssim(images, reference), [[expected]], rtol=1e-4)


def test_opposite_images_have_no_negative_ms_ssim():
    images = noise(1, 24, 24, 1)
    np.testing.assert_array_equal(multi_scale_ssim(images, 1 - images), [[0]])


def test_diversity_pairs_never_share_a_group():
    patients = np.array([0, 0, 0, 1])
    images = np.stack([np.full((11, 11, 1), value) for value in (0.2, 0.2, 0.2, 0.9)])
    assert diversity_ssim(images, 50, 0)[0] > diversity_ssim(images[2:], 50, 0)[0] + 0.1
    across = diversity_ssim(images, 50, 0, patients)
    assert across == pytest.approx(diversity_ssim(images[2:], 50, 0), abs=1e-6)
    for groups in (np.zeros(4), patients[:3]):
        with pytest.raises(UserError, match="diversity_ssim needs a group for each of 4 images"):
            diversity_ssim(images, 50, 0, groups)


def test_diversity_ms_ssim_draws_the_pairs_of_diversity_ssim():
    images = noise(5, 12, 12, 2)  # one scale: the SSIM itself where it is positive
    images = 0.5 * images + 0.5 * images[:1]
    found = diversity_ssim(images, num_pairs=7, seed=2, score=multi_scale_ssim)
    np.testing.assert_allclose(found, diversity_ssim(images, num_pairs=7, seed=2), atol=1e-6)
    first, second = noise(2, 24, 24, 1)
    expected = multi_scale_ssim(first[np.newaxis], second[np.newaxis])[0]
    found = diversity_ssim(noise(2, 24, 24, 1), 3, seed=0, score=multi_scale_ssim)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("metric", [psnr, paired_ssim, uniform_ssim, multi_scale_ssim])
def test_pairs_need_one_shape_and_the_unit_range(metric):
    images = noise(2, 12, 12, 1)
    for wrong, message in (
        (images[:1], "same cases"),
        (images[:0], "at least one image"),
        (images * 255, r"in \[0,1\], found"),
        (np.full_like(images, np.nan), r"found nan\.\.nan"),
    ):
        with pytest.raises(UserError, match=f"{metric.__name__} needs .*{message}"):
            metric(images, wrong)


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


def test_similarity_pairs_images_of_both_sets():
    images, others = noise(1, 12, 13, 2), 1 - noise(1, 12, 13, 2)
    expected = paired_ssim(images, others)[0]
    np.testing.assert_allclose(similarity_ssim(images, others, 4, seed=0), expected, atol=1e-6)
    many, real = noise(9, 12, 13, 1)[:5], noise(9, 12, 13, 1)[5:]
    pairs = []

    def score(first, second):
        pairs.extend(zip(first, second))
        return np.arange(len(first), dtype=float)[:, None]

    assert similarity_ssim(many, real, 200, 0, score) == pytest.approx([99.5])
    chosen = {
        (int(np.argmin([np.abs(a - x).sum() for x in many])), float(b[0, 0, 0])) for a, b in pairs
    }
    assert len(chosen) == 5 * 4  # every image of one set with every one of the other
    first = similarity_ssim(many, real, 20, seed=1)
    assert first == similarity_ssim(many, real, 20, seed=1) != similarity_ssim(many, real, 20, 2)
    for wrong in ((many[:, :11], real, 3), (many, real, 0), (many[:0], real, 3)):
        with pytest.raises(UserError, match="similarity_ssim needs"):
            similarity_ssim(*wrong, seed=0)
