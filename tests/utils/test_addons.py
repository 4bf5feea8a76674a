"""Geometric operations against SciPy and against index arithmetic."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from utils import addons


def numbered(height: int, width: int) -> np.ndarray:
    """An integer image of distinct positive values, [H,W,1]."""
    return np.arange(1, height * width + 1, dtype=np.int32).reshape(height, width, 1)


def resized_at_centres(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest resize of [H,W,1] that reads below each output pixel's centre."""
    rows = [int((i + 0.5) * image.shape[0] / height) for i in range(height)]
    columns = [int((j + 0.5) * image.shape[1] / width) for j in range(width)]
    return image[rows][:, columns]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_right_angles_equal_scipy(degrees, interpolation):
    image = numbered(12, 12).astype(np.float32)
    expected = scipy.ndimage.rotate(image, degrees, reshape=False, order=1, mode="grid-constant")
    found = addons.rotate(image, np.deg2rad(degrees), interpolation)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_bilinear_rotation_equals_scipy_inside():
    image = scipy.ndimage.gaussian_filter(np.random.default_rng(0).random((24, 18)), 2)
    image = image.astype(np.float32)
    expected = scipy.ndimage.rotate(image, 30, reshape=False, order=1, mode="constant")
    found = addons.rotate(image[..., np.newaxis], np.deg2rad(30), "bilinear")[..., 0].numpy()
    np.testing.assert_allclose(found[8:16, 5:13], expected[8:16, 5:13], atol=1e-4)


def test_expanded_right_angle_is_the_whole_image_squeezed():
    image = numbered(24, 40)
    expected = resized_at_centres(np.rot90(image), 24, 40)
    np.testing.assert_array_equal(addons.rotate(image, np.pi / 2, "nearest", expand=True), expected)


def test_expanded_rotation_keeps_the_corners():
    image = np.zeros((40, 30, 1), np.int32)
    for row, column in ((0, 0), (0, -3), (-3, 0), (-3, -3)):
        image[row : row + 3 or None, column : column + 3 or None] = 1
    components = scipy.ndimage.label(addons.rotate(image, np.pi / 4, "nearest", expand=True))[1]
    assert components == 4
    assert np.sum(addons.rotate(image, np.pi / 4, "nearest")) == 0


@pytest.mark.parametrize("shift", [(3, 0), (-2, 0), (0, 4), (0, -5), (2, -1)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_whole_shifts_equal_scipy(shift, interpolation):
    image = numbered(10, 14).astype(np.float32)
    expected = scipy.ndimage.shift(image, (*shift, 0), order=0, mode="constant")
    np.testing.assert_array_equal(addons.translate(image, shift, interpolation), expected)


def test_shrink_pastes_the_small_image_on_zeros():
    image = numbered(20, 16)
    expected = np.zeros_like(image)
    expected[3 : 3 + 13, 1 : 1 + 13] = resized_at_centres(image, 13, 13)
    np.testing.assert_array_equal(addons.shrink(image, (7, 3), "nearest"), expected)


def test_affine_of_one_motion_equals_that_motion():
    image = numbered(20, 16).astype(np.float32)
    still = {"angle": 0.0, "scale": 1.0, "shift": (0, 0), "interpolation": "nearest"}
    np.testing.assert_array_equal(addons.affine(image, **still), image)
    turned = addons.affine(image, **{**still, "angle": 0.4})
    np.testing.assert_array_equal(turned, addons.rotate(image, 0.4, "nearest"))
    moved = addons.affine(image, **{**still, "shift": (3, -2)})
    np.testing.assert_array_equal(moved, addons.translate(image, (3, -2), "nearest"))
    smaller = addons.affine(image, **{**still, "scale": 0.5})
    np.testing.assert_array_equal(smaller, addons.shrink(image, (10, 8), "nearest"))


def test_affine_turns_and_enlarges_about_the_centre_before_it_moves():
    image = np.zeros((21, 21, 1), np.float32)
    image[10, 14] = 1  # four columns right of the centre
    # A quarter counter-clockwise: four rows above it; twice as large: eight; moved by (5, 3).
    moved = addons.affine(image, np.pi / 2, 2.0, (5, 3), "bilinear").numpy()[..., 0]
    assert np.unravel_index(moved.argmax(), moved.shape) == (7, 13)


def test_images_and_label_move_together_in_a_graph():
    label = np.zeros((16, 12, 1), np.int32)
    label[4:7, 5:9] = 3
    images = tf.constant(np.repeat(label, 4, axis=-1)[np.newaxis] / 3.0, tf.float32)

    @tf.function
    def move(angle):
        moved_images = addons.rotate(images, angle, "nearest")
        moved_label = addons.rotate(label, angle, "nearest")
        assert moved_images.shape == (1, 16, 12, 4) and moved_label.shape == (16, 12, 1)
        return moved_images, moved_label

    moved_images, moved_label = move(tf.constant(0.4))
    assert moved_label.dtype == tf.int32
    for channel in range(4):
        np.testing.assert_array_equal(moved_images[0, :, :, channel] * 3, moved_label[..., 0])


def test_import_is_lazy_and_silent():
    program = (
        "import sys, warnings; warnings.simplefilter('error', UserWarning)\n"
        "import numpy as np; from utils import addons\n"
        "assert 'tensorflow_addons' not in sys.modules\n"
        "addons.translate(np.ones((4, 4, 1), 'int32'), (1, 0), 'nearest')\n"
        "assert 'tensorflow_addons' in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "ended development" not in done.stderr
