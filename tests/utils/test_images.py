"""Nearest resize against TensorFlow 1's op, filters against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import tensorflow as tf

from utils.errors import UserError
from utils.images import binary_median, filter_separable, resize_nearest_tf1

SIZES = [
    ((184, 144), (512, 512)),
    ((512, 512), (184, 144)),
    ((184, 144), (194, 154)),
    ((46, 36), (51, 41)),
    ((26, 124), (88, 118)),
]


def numbered(height: int, width: int) -> np.ndarray:
    """An image whose pixel value is its position."""
    return np.arange(height * width, dtype=np.float32).reshape(1, height, width, 1)


@pytest.mark.parametrize("source, target", SIZES)
def test_nearest_takes_floor_of_scaled_index_like_tensorflow_1(source, target):
    image = numbered(*source)
    found = resize_nearest_tf1(image, target)
    if (source, target) != SIZES[-1]:  # whose float32 factor rounds to another pixel
        rows, columns = (np.arange(n) * m // n for n, m in zip(target, source))
        np.testing.assert_array_equal(found, image[:, rows][:, :, columns])
    expected = tf.compat.v1.image.resize_nearest_neighbor(image, target, align_corners=False)
    np.testing.assert_array_equal(found, expected)


def test_nearest_gradient_counts_the_copies_of_each_pixel():
    image = tf.constant(numbered(2, 2))
    with tf.GradientTape() as tape:
        tape.watch(image)
        total = tf.reduce_sum(resize_nearest_tf1(image, (4, 3)))
    # Rows 0,0,1,1 and columns floor(j * 2 / 3) = 0,0,1.
    np.testing.assert_array_equal(tape.gradient(total, image)[0, :, :, 0], [[4, 2], [4, 2]])


def test_nearest_keeps_integers_and_static_shape_in_a_dataset():
    labels = tf.data.Dataset.from_tensors(np.ones((46, 36, 1), np.int32))
    resized = labels.map(lambda label: resize_nearest_tf1(label, (64, 64)))
    assert resized.element_spec == tf.TensorSpec((64, 64, 1), tf.int32)


def test_nearest_refuses_an_unknown_size():
    signature = [tf.TensorSpec((1, None, 4, 1))]
    # Autograph would replace the exception's type while tracing.
    resize = tf.function(
        lambda image: resize_nearest_tf1(image, (4, 4)), signature, autograph=False
    )
    with pytest.raises(UserError, match="static image size"):
        resize.get_concrete_function()


@pytest.mark.parametrize("window", [1, 3, 5, 17])
def test_binary_median_equals_scipy(window):
    rng = np.random.default_rng(window)
    maps = (rng.random((3, 25, 21)) > [[[0.3]], [[0.5]], [[0.6]]]).astype(np.float32)
    expected = [scipy.signal.medfilt2d(single, window) for single in maps]
    found = binary_median(maps[..., np.newaxis], window)[..., 0]
    np.testing.assert_array_equal(found, expected)


def test_separable_filter_reflects_without_repeating_the_edge():
    taps = np.array([0.1, 0.2, 0.4, 0.2, 0.1], np.float32)
    image = np.random.default_rng(0).random((9, 7)).astype(np.float32)
    expected = scipy.ndimage.convolve(image, np.outer(taps, taps), mode="mirror")
    found = filter_separable(image[np.newaxis, :, :, np.newaxis], taps)[0, :, :, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
