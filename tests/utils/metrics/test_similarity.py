"""Similarity of slices against plain loops, and copies that have to be found."""

from __future__ import annotations

import numpy as np
import pytest

from utils.errors import UserError
from utils.metrics import similarity
from utils.metrics.similarity import nearest, pair_similarity, slice_details

SIZE = (24, 20)


def noise(count: int, seed: int, size=SIZE, border: int = 4) -> np.ndarray:
    """Random slices [count,h,w,4] in [0,1] inside a dark border."""
    images = np.zeros((count, *size, 4), np.float32)
    inner = (count, size[0] - 2 * border, size[1] - 2 * border, 4)
    drawn = np.random.default_rng(seed).random(inner, np.float32)
    images[:, border:-border, border:-border] = drawn
    return images


def by_hand(first: np.ndarray, second: np.ndarray) -> float:
    """The definition for two slices of details [h,w,4], by NumPy's correlation."""
    found = []
    for version in (first, first[:, ::-1]):
        for down in range(-3, 4):
            for right in range(-3, 4):
                moved = np.roll(version, (down, right), axis=(0, 1))
                pairs = zip(np.moveaxis(moved, -1, 0), np.moveaxis(second, -1, 0))
                found.append(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]))
    return max(found)


def test_the_similarity_is_the_largest_mean_correlation():
    first, second = slice_details(noise(3, 0)), slice_details(noise(2, 1))
    pairs = np.array([[0, 1], [2, 0], [1, 1]])
    expected = [by_hand(first[i], second[j]) for i, j in pairs]
    np.testing.assert_allclose(pair_similarity(first, second, pairs), expected, atol=1e-5)


def test_neighbours_are_those_of_all_pairs(monkeypatch):
    monkeypatch.setattr(similarity, "CANDIDATES", 9)
    monkeypatch.setattr(similarity, "ROWS", 2)
    monkeypatch.setattr(similarity, "PAIRS", 5)
    first, second = slice_details(noise(5, 0)), slice_details(noise(7, 1))
    table = np.array([[by_hand(a, b) for b in second] for a in first])
    forwards, backwards = nearest(first, second)
    np.testing.assert_allclose(forwards.similarity, table.max(axis=1), atol=1e-5)
    np.testing.assert_array_equal(forwards.index, table.argmax(axis=1))
    np.testing.assert_allclose(backwards.similarity, table.max(axis=0), atol=1e-5)
    np.testing.assert_array_equal(backwards.index, table.argmax(axis=0))


@pytest.mark.parametrize("down", [-2, 0, 1, 3])
@pytest.mark.parametrize("right", [-3, 2])
@pytest.mark.parametrize("turn", [1, -1])
def test_a_moved_mirrored_brighter_copy_is_the_nearest(down, right, turn):
    images = noise(40, 0, border=5)
    copy = 0.2 + 0.5 * np.roll(images[17, :, ::turn], (down, right), axis=(0, 1))
    found, _ = nearest(slice_details(copy[None]), slice_details(images))
    assert found.index[0] == 17 and found.similarity[0] == pytest.approx(1, abs=0.02)
    others, _ = nearest(slice_details(noise(40, 1, border=5)), slice_details(images))
    assert others.similarity.max() < 0.6


def test_large_slices_are_averaged_in_whole_blocks():
    images = noise(2, 0, (191, 100))
    details = slice_details(images)
    assert details.shape == (2, 96, 50, 4) and details.dtype == np.float32
    padded = np.pad(images, [(0, 0), (0, 1), (0, 0), (0, 0)])
    blocks = (
        padded[:, ::2, ::2] + padded[:, 1::2, ::2] + padded[:, ::2, 1::2] + padded[:, 1::2, 1::2]
    )
    np.testing.assert_allclose(details, slice_details(blocks / 4), atol=1e-6)


def test_a_modality_without_contrast_adds_nothing():
    images = noise(1, 0)
    images[..., 3] = 0.5
    details = slice_details(images)
    assert not details[..., 3].any()
    assert pair_similarity(details, details, np.array([[0, 0]]))[0] == pytest.approx(0.75)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UserError, match=r"images \[N,H,W,M\] .* found \(24, 20\)"):
        slice_details(np.zeros(SIZE))
    with pytest.raises(UserError, match="finite"):
        slice_details(np.full((1, *SIZE, 4), np.nan))
    with pytest.raises(UserError, match="slices of one size"):
        nearest(slice_details(noise(1, 0)), slice_details(noise(1, 0, (20, 20))))
