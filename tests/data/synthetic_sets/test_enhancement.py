"""Augmented slices: images and label move together, values stay."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from data import geometry
from data.synthetic_sets.enhancement import (
    OPERATIONS,
    add_noise,
    enhance,
    flip,
    rotate,
    shift,
    shrink,
    zoom_in,
)

SIZE = (24, 16)
GEOMETRY = [operation for operation in OPERATIONS if operation is not add_noise]


def seed(number: int) -> tf.Tensor:
    return tf.constant([number, 5], tf.int32)


def blocks() -> np.ndarray:
    """A label [H,W,1] of all classes without symmetry."""
    label = np.zeros((*SIZE, 1), np.int32)
    label[4:12, 3:8], label[6:9, 8:13], label[14:20, 5:7], label[10:13, 9:11] = 1, 2, 3, 4
    return label


@pytest.fixture(scope="module")
def many():
    """Forty enhancements of images that equal their label."""
    label = tf.constant(blocks())
    images = tf.repeat(tf.cast(label, tf.float32) / 4, 4, axis=-1)
    run = tf.function(enhance)
    return [[array.numpy() for array in run(images, label, seed(i))] for i in range(40)]


def test_images_and_label_keep_shape_type_and_range(many):
    for images, label in many:
        assert images.shape == (*SIZE, 4) and images.dtype == np.float32
        assert label.shape == (*SIZE, 1) and label.dtype == np.int32
        assert images.min() >= 0 and images.max() <= 1 and set(np.unique(label)) <= set(range(5))


def test_images_that_equal_the_label_still_do(many):
    """Up to two noises move a grey value by 0.03 and stretch it; geometry moves it by nothing."""
    for images, label in many:
        np.testing.assert_allclose(4 * images, np.repeat(label, 4, -1), atol=4 * 0.15)
    exact = [np.array_equal(4 * images[..., :1], label) for images, label in many]
    assert 0 < sum(exact) < len(exact)  # both kinds of operation were drawn


def test_enhancement_is_a_function_of_the_seed(many):
    images = np.repeat(blocks().astype(np.float32) / 4, 4, -1)
    again = enhance(tf.constant(images), tf.constant(blocks()), seed(3))
    np.testing.assert_array_equal(again[0], many[3][0])
    assert len({label.tobytes() for _, label in many}) > 20


@pytest.mark.parametrize("operation", GEOMETRY)
def test_geometry_moves_all_channels_alike(operation):
    stack = np.repeat(blocks().astype(np.float32), 5, -1)
    for number in range(4):
        moved = operation(tf.constant(stack), seed(number)).numpy()
        assert moved.shape == stack.shape  # the source's rotation swaps the sides
        np.testing.assert_array_equal(moved, np.repeat(moved[..., :1], 5, -1))
        assert set(np.unique(moved)) <= set(range(5)) and not np.array_equal(moved, stack)


def test_flip_turns_top_to_bottom():
    np.testing.assert_array_equal(flip(tf.constant(blocks()), seed(0)), blocks()[::-1])


def test_shift_is_by_2_to_7_pixels():
    point = np.zeros((*SIZE, 1), np.float32)
    point[12, 8] = 1
    moves = set()
    for number in range(30):
        ((row, column),) = np.argwhere(shift(tf.constant(point), seed(number)).numpy()[..., 0])
        assert (row == 12) != (column == 8)
        moves.add(abs(row - 12) + abs(column - 8))
    assert moves <= set(range(2, 8)) and len(moves) > 3


def test_zoom_enlarges_and_shrink_diminishes_about_the_centre():
    square = np.zeros((40, 40, 1), np.float32)
    square[12:28, 12:28] = 1
    for number in range(4):
        large = zoom_in(tf.constant(square), seed(number)).numpy()[..., 0]
        small = shrink(tf.constant(square), seed(number)).numpy()[..., 0]
        assert small.sum() < square.sum() < large.sum()
        for picture in (large, small):
            np.testing.assert_allclose(np.argwhere(picture).mean(axis=0), 19.5, atol=1)


def test_rotation_by_90_degrees_keeps_the_frame(monkeypatch):
    monkeypatch.setattr(geometry, "draw", lambda s, low, high, n: tf.constant([min(high, 90)]))
    squeezed = rotate(tf.constant(blocks()), seed(0)).numpy()  # a draw of 1 also expands
    assert squeezed.shape == blocks().shape
    counts = [np.bincount(label.ravel(), minlength=5)[1:] for label in (squeezed, blocks())]
    np.testing.assert_allclose(counts[0], counts[1], rtol=0.5)  # the whole canvas is squeezed in


def test_noise_spares_the_label_and_stretches_each_modality():
    images = np.random.default_rng(0).uniform(0.2, 0.7, (*SIZE, 4)).astype(np.float32)
    images[..., 3] = 0.5
    stack = np.concatenate([images, blocks()], axis=-1).astype(np.float32)
    noisy = add_noise(tf.constant(stack), seed(1)).numpy()
    np.testing.assert_array_equal(noisy[..., 4:], blocks())
    np.testing.assert_allclose(noisy[..., :3].min(axis=(0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose(noisy[..., :3].max(axis=(0, 1)), 1, atol=1e-6)
    assert not noisy[..., 3].any()
