from __future__ import annotations

import numpy as np
import pytest

from utils.metrics.collapse import collapse_figures
from utils.metrics.images import multi_scale_ssim

REAL = np.random.default_rng(0).random((4, 24, 22, 3))


def figures(images, real=REAL) -> list[float]:
    found = collapse_figures(images, real)
    return [found["collapse/variance"], found["collapse/similarity"]]


def test_samples_that_are_all_alike():
    assert figures(np.full_like(REAL, 0.3)) == pytest.approx([0, 1], abs=1e-6)
    assert figures(np.repeat(REAL[:1], 4, axis=0)) == pytest.approx([0, 1], abs=1e-6)


def test_samples_as_varied_as_the_real_ones():
    variance, similarity = figures(REAL)
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    scores = [multi_scale_ssim(REAL[[a]], REAL[[b]])[0] for a, b in pairs]
    assert variance == pytest.approx(1)
    assert similarity == pytest.approx(np.mean(scores, axis=0).max(), rel=1e-5)
    assert similarity < 0.5


def test_variance_is_that_between_samples_and_not_within_them():
    brighter = 0.5 + 0.1 * np.arange(4)[:, None, None, None] + 0 * REAL  # flat, each on its own
    expected = np.var(0.1 * np.arange(4)) / np.var(REAL, axis=0).mean((0, 1))
    assert figures(brighter)[0] == pytest.approx(expected.min())


@pytest.mark.parametrize("modality", [0, 1, 2])
def test_one_collapsed_modality_is_enough(modality):
    images = REAL.copy()
    images[..., modality] = images[:1, ..., modality]
    assert figures(images) == pytest.approx([0, 1], abs=1e-6)


def test_images_that_are_not_finite_have_no_figures():
    assert np.isnan(figures(np.full_like(REAL, np.nan))).all()
