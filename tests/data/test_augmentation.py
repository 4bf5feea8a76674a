from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from data.augmentation import Augmentation, augmented, moved_boxes
from data.boxes import mirrored, painted
from utils.errors import UserError

SIZE = (128, 128)
EVERYTHING = Augmentation(mirror=True, rotation=25.0, zoom=0.1, shift=0.05)


def blob(height: int = 40, width: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Images [H,W,4] of a smooth bright spot off the centre, and the label [H,W,1] of its core."""
    rows, columns = np.mgrid[:height, :width]
    spot = np.exp(-(((rows - 15) / 6.0) ** 2 + ((columns - 28) / 4.0) ** 2)).astype(np.float32)
    return np.repeat(spot[..., None], 4, axis=-1), (spot > 0.5)[..., None].astype(np.int32) * 4


def moved(how: Augmentation, number: int) -> tuple[np.ndarray, np.ndarray]:
    images, label = map(tf.constant, blob())
    images, label = augmented(images, label, tf.constant([number, 7]), how)
    return images.numpy(), label.numpy()


def test_nothing_moves_by_default():
    for found, expected in zip(moved(Augmentation(), 1), blob()):
        np.testing.assert_array_equal(found, expected)


def test_images_and_label_move_together():
    for number in range(12):
        images, label = moved(EVERYTHING, number)
        assert images.shape == (40, 48, 4) and images.dtype == np.float32
        assert label.dtype == np.int32 and set(np.unique(label)) == {0, 4}
        assert 0 <= images.min() and images.max() <= 1
        centres = [scipy.ndimage.center_of_mass(x) for x in (images[..., 0] > 0.5, label[..., 0])]
        np.testing.assert_allclose(*centres, atol=0.5)


def test_a_seed_decides_and_every_seed_decides_anew():
    np.testing.assert_array_equal(moved(EVERYTHING, 5)[0], moved(EVERYTHING, 5)[0])
    centres = {scipy.ndimage.center_of_mass(moved(EVERYTHING, n)[0][..., 0]) for n in range(10)}
    assert len(centres) == 10


def angle_of(image: np.ndarray) -> float:
    """Degrees by which the long axis of the spot is turned from the vertical."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    points = np.cov(np.stack([rows.ravel(), columns.ravel()]), aweights=image.ravel())
    vector = np.linalg.eigh(points)[1][:, -1]
    return np.degrees(np.arctan(vector[1] / vector[0]))


@pytest.mark.parametrize(
    ("how", "measure", "low", "high"),
    [
        (Augmentation(rotation=20.0), lambda image: angle_of(image), -20, 20),
        (
            Augmentation(zoom=0.2),
            lambda image: np.sqrt(image.sum() / blob()[0][..., 0].sum()),
            0.8,
            1.2,
        ),
        (Augmentation(shift=0.1), lambda image: scipy.ndimage.center_of_mass(image)[0], 11, 19),
        (Augmentation(shift=0.1), lambda image: scipy.ndimage.center_of_mass(image)[1], 23, 33),
    ],
)
def test_motions_fill_the_range_that_was_asked_for(how, measure, low, high):
    found = [measure(moved(how, number)[0][..., 0]) for number in range(60)]
    margin = 0.02 * (high - low)
    assert low - margin <= min(found) < low + 0.15 * (high - low)
    assert high - 0.15 * (high - low) < max(found) <= high + margin


@pytest.mark.parametrize(
    ("options", "message"),
    [({"zoom": 1.0}, "zoom is 1.0"), ({"rotation": -1.0}, "rotation"), ({"shift": 2.0}, "shift")],
)
def test_impossible_motions_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Augmentation(**options)


@pytest.mark.parametrize("zoom", [0.2, 0.0])
def test_boxes_move_with_their_image(zoom):
    """Boxes after a motion are those of the moved picture of the boxes."""
    how = Augmentation(mirror=True, zoom=zoom, shift=0.1)
    rows = tf.constant([[2, 0.3, 0.6, 0.2, 0.3], [1, 0.7, 0.3, 0.15, 0.25]], tf.float32)
    label = painted(rows, SIZE)
    for number in range(12):
        seed = tf.constant([number, 7])
        _, moved_label = augmented(tf.cast(label, tf.float32), label, seed, how)
        expected = painted(moved_boxes(rows, seed, how, SIZE), SIZE)
        assert np.mean(moved_label.numpy() != expected.numpy()) < (0.01 if zoom else 1e-9)
    assert np.mean(label.numpy() != expected.numpy()) > 0.03


def test_a_box_that_leaves_the_image_is_cut_and_then_gone():
    rows = tf.constant([[2, 0.95, 0.5, 0.2, 0.2], [1, 0.4, 0.5, 0.2, 0.2], [0, 0, 0, 0, 0]])
    first = []
    for number in range(40):
        seed, how = tf.constant([number, 1]), Augmentation(shift=0.2)
        moved = moved_boxes(rows, seed, how, SIZE).numpy()
        first.append(moved[0])
        assert moved[1, 0] == 1 and not moved[2].any()
    kept, gone = ([row for row in first if row[0] == kind] for kind in (2, 0))
    assert all(row[1] + row[3] / 2 < 1 + 1e-6 for row in kept) and len(gone) > 0
    assert min(row[3] for row in kept) < 0.15 and not np.any(gone)


def test_a_shift_alone_is_of_whole_pixels():
    image, _ = blob()
    values = set(np.unique(image))
    for number in range(10):
        seed, how = tf.constant([number, 3]), Augmentation(mirror=True, shift=0.2)
        moved = augmented(tf.constant(image), None, seed, how)[0].numpy()
        assert set(np.unique(moved)) <= values | {0.0} and np.any(moved != image)


def test_boxes_are_mirrored_with_their_image():
    """A label that is painted from boxes tells where they are."""
    rows = tf.constant([[2, 0.25, 0.5, 0.23, 0.5], [0, 0, 0, 0, 0]], tf.float32)
    label = painted(rows, (32, 32))
    flipped = painted(mirrored(rows), (32, 32))
    np.testing.assert_array_equal(flipped, tf.reverse(label, axis=[1]))
    assert mirrored(rows)[1].numpy().tolist() == [0] * 5
