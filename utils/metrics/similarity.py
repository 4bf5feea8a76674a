"""Similarity of slices, independent of brightness and small shifts, and nearest neighbours.

Similarity of two slices with M modalities: each modality is brought to a common size, its blurred
self is subtracted, and what is left gets the mean 0 and the norm 1. The similarity is the mean over
the modalities of the correlation (Pearson's r, or zero-mean normalised cross-correlation) at one
common shift, taken where it is largest: over shifts of up to `MAX_SHIFT` pixels in both directions,
of the slice and of its mirror image. It lies in [-1,1]; higher is more alike, 1 is a copy, and it
does not change with brightness and contrast. Shifts are cyclic: slices need a dark border.

Without the subtraction the outline of the head dominates, which is alike in all slices of a level.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from utils.errors import UserError

LONGEST_SIDE = 96  # pixels of the common size, after whole blocks have been averaged
DETAIL = 24  # the blur's sigma is the longer side divided by this
MAX_SHIFT = 3  # pixels of the common size
CANDIDATES = 8  # neighbours of each slice on the coarse grid that are compared in full
COARSE = 2  # pixels of the common size per coarse pixel and side
ROWS = 64  # slices per matrix product
PAIRS = 128  # pairs per Fourier transform


class Neighbours(NamedTuple):
    """Per slice of a set the most similar slice of another: similarity and index, both [N]."""

    similarity: np.ndarray
    index: np.ndarray


def slice_details(images: np.ndarray) -> np.ndarray:
    """Returns the details of slices; two slices' scalar product is their similarity without shift.

    Args:
        images: [N,H,W,M], 0 or more, with a dark border.

    Returns:
        float32 [N,h,w,M], the longer of h and w at most `LONGEST_SIDE`; modalities without contrast
        are 0 and add nothing to a similarity.

    Raises:
        UserError: other axes, or numbers that are not finite.
    """
    images = np.asarray(images, np.float32)
    if images.ndim != 4 or not images.size or not np.isfinite(images).all():
        raise UserError(
            f"slice_details needs finite images [N,H,W,M] with at least one, found {images.shape}; "
            "pass an array of that form."
        )
    factor = -(-max(images.shape[1:3]) // LONGEST_SIDE)
    small = _block_means(images, factor)
    sigma = max(small.shape[1:3]) / DETAIL
    return _normalised(small - gaussian_filter(small, (0, sigma, sigma, 0), mode="nearest"))


def nearest(
    first: np.ndarray, second: np.ndarray, title: str = "Comparing"
) -> tuple[Neighbours, Neighbours]:
    """Returns the nearest neighbours of `first` in `second`, and of `second` in `first`.

    All pairs are compared on a coarse copy, by matrix products of whole blocks; of each slice the
    `CANDIDATES` best are compared in full. The result is the similarity of a real pair, so it is
    never too high. It is too low if the nearest slice is not a candidate; a copy always is one.

    Args:
        first, second: outputs of `slice_details`, [N,h,w,M] and [K,h,w,M].
        title: title of the progress bar.

    Raises:
        UserError: the slices have different sizes.
    """
    if first.shape[1:] != second.shape[1:]:
        raise UserError(
            f"nearest needs slices of one size, found {first.shape} and {second.shape}; resize a "
            "set."
        )
    coarse = _coarse_similarity(first, second, title)
    forwards, backwards = _best(coarse), _best(coarse.T)
    rows = np.repeat(np.arange(len(first)), forwards.shape[1])
    columns = np.repeat(np.arange(len(second)), backwards.shape[1])
    pairs = np.concatenate(
        [np.stack([rows, forwards.ravel()], 1), np.stack([backwards.ravel(), columns], 1)]
    )
    pairs = np.unique(pairs, axis=0)
    scores = pair_similarity(first, second, pairs)
    return (
        _most_similar(scores, pairs[:, 0], pairs[:, 1], len(first)),
        _most_similar(scores, pairs[:, 1], pairs[:, 0], len(second)),
    )


def pair_similarity(first: np.ndarray, second: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Returns the similarity (see module) of P pairs of slices, float32 [P] in [-1,1]; 1 = copy.

    Args:
        first, second: outputs of `slice_details`, float32 [N,h,w,M] and [K,h,w,M].
        pairs: int [P,2]; each row is (index in `first`, index in `second`).
    """
    shifts = np.arange(-MAX_SHIFT, MAX_SHIFT + 1)
    size = first.shape[1:3]
    scores = [np.zeros(0, np.float32)]
    for start in range(0, len(pairs), PAIRS):
        i, j = pairs[start : start + PAIRS].T
        images = first[i]
        target = np.conj(fft.rfft2(second[j], axes=(1, 2)))
        both = []
        for version in (images, images[:, :, ::-1]):
            spectrum = (fft.rfft2(version, axes=(1, 2)) * target).sum(axis=-1)
            shifted = fft.irfft2(spectrum, s=size, axes=(1, 2))
            both.append(shifted[:, shifts[:, None], shifts].max(axis=(1, 2)))
        scores.append(np.maximum(*both))
    return np.concatenate(scores)


def _coarse_similarity(first: np.ndarray, second: np.ndarray, title: str) -> np.ndarray:
    """Returns the similarities [N,K] of coarse copies."""
    first, second = (_normalised(_block_means(array, COARSE)) for array in (first, second))
    columns = second.reshape(len(second), -1).T
    reach = -(-MAX_SHIFT // COARSE)
    moves = [
        (turn, down, right)
        for turn in (1, -1)
        for down in range(-reach, reach + 1)
        for right in range(-reach, reach + 1)
    ]
    result = np.full((len(first), len(second)), -1, np.float32)
    for start in tqdm(range(0, len(first), ROWS), desc=title, unit="block"):
        part, block = result[start : start + ROWS], first[start : start + ROWS]
        for turn, down, right in moves:
            moved = np.roll(block[:, :, ::turn], (down, right), axis=(1, 2))
            np.maximum(part, moved.reshape(len(block), -1) @ columns, out=part)
    return result


def _best(matrix: np.ndarray) -> np.ndarray:
    """Returns the columns [N,C] of the largest numbers in each row of [N,K]."""
    count = min(CANDIDATES, matrix.shape[1])
    return np.argpartition(matrix, -count, axis=1)[:, -count:]


def _most_similar(
    scores: np.ndarray, here: np.ndarray, there: np.ndarray, count: int
) -> Neighbours:
    order = np.lexsort((-there, scores, here))  # the last of each slice has the largest score
    last = np.searchsorted(here[order], np.arange(count), side="right") - 1
    return Neighbours(scores[order][last], there[order][last])


def _block_means(images: np.ndarray, factor: int) -> np.ndarray:
    """Averages blocks of `factor` pixels a side of [N,H,W,M]; what is missing at the end is 0."""
    if factor == 1:
        return images
    count, height, width, modalities = images.shape
    missing = [(0, -height % factor), (0, -width % factor)]
    padded = np.pad(images, [(0, 0), *missing, (0, 0)])
    rows, columns = (side // factor for side in padded.shape[1:3])
    return padded.reshape(count, rows, factor, columns, factor, modalities).mean(axis=(2, 4))


def _normalised(images: np.ndarray) -> np.ndarray:
    """Gives each modality of [N,h,w,M] the mean 0 and the norm 1 / sqrt(M)."""
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    norms = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True) * images.shape[-1])
    return np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 1e-6)
