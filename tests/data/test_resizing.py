"""Area interpolation against exact sums of overlaps, and the way back."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from data.resizing import area_resize, area_resize_label, enlarge

RNG = np.random.default_rng(1)


def overlaps(old: int, new: int) -> np.ndarray:
    """[new,old] how much of each old pixel each new one covers, in 1/new of a pixel: integers."""
    starts, cells = np.arange(old) * new, np.arange(new)[:, None] * old
    return np.maximum(0, np.minimum(starts + new, cells + old) - np.maximum(starts, cells))


def exact_mean(image: np.ndarray, side: int) -> np.ndarray:
    """Means of areas; the sums are exact integers for integer images."""
    exact = image.astype(np.float64 if image.dtype.kind == "f" else np.int64)
    sums = overlaps(image.shape[0], side) @ exact
    return sums @ overlaps(image.shape[1], side).T / image.size


def test_the_reference_by_hand():
    # 15 pixels become 8: each covers 1.875, here the first 1 and 7/8, the next 1/8, 1 and 3/4.
    row = np.arange(15)
    expected = [Fraction(7, 8) / Fraction(15, 8), (Fraction(1, 8) + 2 + Fraction(9, 4)) * 8 / 15]
    found = exact_mean(np.tile(row, (15, 1)), 8)
    np.testing.assert_allclose(found[:, :2], np.tile([float(f) for f in expected], (8, 1)))


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.uint8, np.int8])
@pytest.mark.parametrize(("old", "new"), [(240, 128), (12, 12), (15, 8)])
def test_integers_become_rounded_means(dtype, old, new):
    highest = min(np.iinfo(dtype).max, 9000)
    stack = RNG.integers(0, highest, (2, old, old, 4)).astype(dtype)
    found = area_resize(stack, new)
    assert found.dtype == dtype and found.shape == (2, new, new, 4)
    # Means of 240 to 128 and 15 to 8 are multiples of 1/225, so none is a tie.
    expected = np.rint(exact_mean(stack[1, ..., 2], new))
    np.testing.assert_array_equal(found[1, ..., 2], expected)


def test_a_scan_is_resized_as_the_released_code_does():
    frame = RNG.integers(0, 5000, (240, 240)).astype(np.int16)
    direct = cv2.resize(frame, (128, 128), interpolation=cv2.INTER_AREA)
    assert direct.dtype == np.int16  # stays whole numbers
    np.testing.assert_array_equal(area_resize(frame[None, ..., None], 128)[0, ..., 0], direct)


def test_floats_are_not_rounded():
    frame = RNG.random((10, 10)).astype(np.float32)
    found = area_resize(frame[None, ..., None], 6)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, ..., 0], exact_mean(frame, 6), atol=1e-6)


def blobs(side: int) -> np.ndarray:
    """Nested patches of all classes with ragged borders, [3,side,side]."""
    smooth = cv2.GaussianBlur(RNG.random((side, side, 3)), (0, 0), side / 20)
    ranks = smooth.argsort(axis=None).argsort().reshape(smooth.shape) / smooth.size
    return np.moveaxis(np.digitize(ranks, [0.6, 0.7, 0.8, 0.9]), -1, 0).astype(np.uint8)


def test_lesions_are_the_whole_tumour_of_the_released_code():
    label = blobs(240)
    found = area_resize_label(label, 128)
    assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 1, 2, 3, 4}
    for small, large in zip(found, label):
        binary = np.where(large > 0, 1, 0).astype(np.int16)
        paper = cv2.resize(binary, (128, 128), interpolation=cv2.INTER_AREA) > 0.5
        np.testing.assert_array_equal(small > 0, paper)
        np.testing.assert_array_equal(small > 0, 2 * exact_mean(large > 0, 128) >= 1)


def test_lesion_pixels_have_the_class_that_covers_most_of_them():
    label = blobs(60)[:1]
    found = area_resize_label(label, 32)[0]
    shares = np.array([exact_mean(label[0] == k, 32) for k in range(1, 5)])
    ordered = np.sort(shares, axis=0)
    clear = (found > 0) & (ordered[-1] - ordered[-2] > 1e-5)
    assert clear.sum() > 100
    np.testing.assert_array_equal(found[clear], 1 + shares.argmax(axis=0)[clear])


def test_halves_and_ties_of_labels():
    label = np.zeros((1, 4, 4), np.uint8)
    label[0, :2, :2] = [[4, 2], [0, 0]]  # half of the area; a tie of 2 and 4
    label[0, :2, 2:] = [[3, 0], [0, 0]]  # a quarter
    label[0, 2:, :2] = [[1, 3], [3, 0]]
    assert area_resize_label(label, 2).tolist() == [[[2, 0], [3, 0]]]
    np.testing.assert_array_equal(area_resize_label(label, 4), label)


def test_enlarging_keeps_constants_and_positions():
    images = np.zeros((2, 8, 8), np.float32)
    images[0], images[1, :, 4:] = 0.3, 1  # a plane; right half
    found = enlarge(images, (15, 12))
    assert found.shape == (2, 15, 12) and found.dtype == np.float32
    np.testing.assert_allclose(found[0], 0.3, rtol=1e-6)
    assert (found[1, :, :5] == 0).all() and (found[1, :, 7:] == 1).all()
    ramp = np.broadcast_to((np.arange(8) + 0.5) / 8, (1, 8, 8))
    inner = enlarge(ramp, (15, 16))[0, 0, 1:-1]
    np.testing.assert_allclose(inner, (np.arange(16)[1:-1] + 0.5) / 16, atol=1e-6)
