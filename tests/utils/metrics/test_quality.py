"""Tumour crops and figures of a set of slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from utils.errors import UserError
from utils.metrics import quality
from utils.metrics.distributions import frechet_distance, kernel_distance
from utils.metrics.features import standardise
from utils.metrics.images import diversity_ssim, multi_scale_ssim, similarity_ssim
from utils.metrics.quality import QualityConfig, lesion_crops, quality_figures

CONFIG = QualityConfig(
    pairs=30, subsets=4, subset_size=50, crop_size=16, crop_margin=1, smallest_lesion=4
)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def test_a_crop_is_the_square_around_the_label_inside_the_image():
    image = np.tile(np.arange(24, dtype=np.float32)[None, :, None] / 24, (32, 1, 4))
    label = np.zeros((4, 32, 24), int)
    label[0, 10:14, 5:13] = [1, 2, 3, 4] * 2  # all classes count; 8 wide, 10 with the margin
    label[1, 30:32, 22:24] = 4  # at the corner: moved inside, not cut
    label[2, 5, 5] = 1  # too small
    label[3, 1:31, 2:22] = 2  # wider than the image: its whole width
    crops, rows = lesion_crops(np.stack([image] * 4), label, CONFIG)
    assert crops.shape == (3, 16, 16, 4) and list(rows) == [0, 1, 3]
    left, right = crops[:, 8, [0, -1], 0].T * 24
    np.testing.assert_allclose(left, [4, 20, 0], atol=0.5)
    np.testing.assert_allclose(right, [13, 23, 23], atol=0.5)
    assert 0 <= crops.min() and crops.max() <= 1
    nothing, rows = lesion_crops(image[None], label[2:3], CONFIG)
    assert nothing.shape == (0, 16, 16, 4) and len(rows) == 0


def test_the_crop_covers_every_row_and_column_of_the_lesion():
    mask = np.zeros((32, 24), bool)
    mask[3:12, 20:24] = True
    top, left, side = quality._square(mask, 2)
    assert (top, left, side) == (1, 11, 13)
    window = mask[top : top + side, left : left + side]
    assert window.shape == (13, 13) and window.sum() == mask.sum()


def means(images: np.ndarray) -> np.ndarray:
    """Two features per image."""
    return np.stack([images.mean(axis=(1, 2)), images.std(axis=(1, 2))], axis=1)


def test_figures_are_those_of_the_metrics_per_modality():
    subjects = np.arange(12) % 3
    images, others = noise(12, 24, 24, 4), noise(9, 24, 24, 4, seed=1)
    extractors = {"texture": means, "inception": means}
    found = quality_figures(images, others, extractors, CONFIG, 5, subjects)
    expected = {
        "ms_ssim_2_similarity": similarity_ssim(images, others, 30, 5, multi_scale_ssim),
        "ms_ssim_2_diversity": diversity_ssim(images, 30, 5, subjects, multi_scale_ssim),
    }
    pairs = [(means(others[..., i]), means(images[..., i])) for i in range(4)]
    for name, scaled in (("texture", [standardise(*p) for p in pairs]), ("inception", pairs)):
        expected[f"frechet_{name}"] = [frechet_distance(*pair) for pair in scaled]
        expected[f"kernel_{name}"] = [kernel_distance(*pair, 4, 9, 5)[0] for pair in scaled]
    intervals = {name for name in found if name.endswith(quality.HALF)}
    assert set(found) == set(expected) | intervals
    compared = {name.replace(quality.HALF, "") for name in intervals}
    assert compared == {name for name in expected if not name.startswith("kernel")}
    assert all((found[name] > 0).all() for name in intervals)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, err_msg=name)


def test_slices_of_a_single_patient_are_paired_with_each_other():
    alone = noise(4, 11, 11, 4)
    found = quality_figures(alone, alone, {}, CONFIG, 0, np.zeros(4, int))
    assert np.isfinite(found["ms_ssim_1_diversity"]).all()


def test_impossible_settings_are_refused():
    for change in ({"pairs": 0}, {"subset_size": 1}, {"crop_size": 10}, {"crop_margin": -1}):
        with pytest.raises(UserError, match=f"--quality.{next(iter(change))} is"):
            replace(CONFIG, **change)
