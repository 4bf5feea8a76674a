"""Label augmentation and the choice of a label that fits a mask."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from data.structure_maps import labels
from utils import addons


def lesion(height: int = 46, width: int = 36) -> np.ndarray:
    """A label [H,W,1] with all five values and no symmetry."""
    label = np.zeros((height, width, 1), np.int32)
    label[12:26, 10:22] = 2
    label[14:20, 12:20] = 4
    label[16:18, 13:19] = 1
    label[22:25, 11:14] = 3
    return label


def rolled(label: np.ndarray, distance: int, axis: int) -> np.ndarray:
    """np.roll with zeros instead of what comes round."""
    moved = np.roll(label, distance, axis)
    entered = slice(0, distance) if distance > 0 else slice(distance, None)
    moved[(slice(None),) * axis + (entered,)] = 0
    return moved


def which(found: tf.Tensor, expected: dict) -> object:
    """The key of the one expected array that equals what was found."""
    matches = [key for key, value in expected.items() if np.array_equal(found, value)]
    assert len(matches) == 1
    return matches[0]


def test_shift_takes_every_direction_and_distance():
    label = np.arange(1, 21 * 17 + 1, dtype=np.int32).reshape(21, 17, 1)
    expected = {
        (axis, sign * distance): rolled(label, sign * distance, axis)
        for axis in (0, 1)
        for sign in (-1, 1)
        for distance in (2, 3, 4, 5)
    }
    seen = {which(labels.shift_label(label, (7, seed)), expected) for seed in range(150)}
    assert seen == set(expected)


def test_flip_takes_both_axes_equally():
    label = lesion()
    expected = {"rows": label[::-1], "columns": label[:, ::-1]}
    seen = [which(labels.flip_label(label, (7, seed)), expected) for seed in range(200)]
    assert 70 <= seen.count("rows") <= 130


def test_shrink_scales_rows_and_columns_separately():
    label = np.ones((46, 36, 1), np.int32)
    expected = {}
    for rows in range(2, 8):
        for columns in range(2, 8):
            canvas = np.zeros_like(label)
            top, left = rows // 2, columns // 2
            canvas[top : top + 46 - rows, left : left + 36 - columns] = 1
            expected[rows, columns] = canvas
    seen = {which(labels.shrink_label(label, (7, seed)), expected) for seed in range(150)}
    assert {rows for rows, _ in seen} == {columns for _, columns in seen} == set(range(2, 8))
    assert len(seen) > 6


def test_rotation_draws_whole_degrees_and_expands_half_of_the_time(monkeypatch):
    calls = []

    def record(label, angle, interpolation, expand=False):
        calls.append((float(np.rad2deg(angle)), interpolation, expand))
        return label

    monkeypatch.setattr(addons, "rotate", record)
    for seed in range(300):
        labels.rotate(lesion(), (7, seed))
    degrees = np.array([call[0] for call in calls])
    np.testing.assert_allclose(degrees, np.round(degrees), atol=1e-3)
    assert degrees.min() < 10 and 350 < degrees.max() < 359.5
    assert 115 <= sum(call[2] for call in calls) <= 185
    assert {call[1] for call in calls} == {"nearest"}


def test_augmentation_keeps_shape_and_values_in_a_dataset():
    seeds = tf.data.Dataset.range(40).map(lambda index: tf.stack([3, index]))
    augmented = seeds.map(lambda seed: labels.augment_label(lesion(), seed))
    assert augmented.element_spec == tf.TensorSpec((46, 36, 1), tf.int32)
    results = np.stack(list(augmented.as_numpy_iterator()))
    assert set(np.unique(results)) == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(results[5], labels.augment_label(lesion(), np.array([3, 5])))
    # Two operations cannot move this lesion out of the frame.
    assert results.any(axis=(1, 2, 3)).all()
    assert len(np.unique(results, axis=0)) > 30


def test_augmentation_runs_two_uniform_operations(monkeypatch):
    # Each stand-in adds its own power of ten, so the digits of the result count the runs.
    stand_ins = tuple((lambda label, seed, step=10**index: label + step) for index in range(4))
    monkeypatch.setattr(labels, "OPERATIONS", stand_ins)
    zero = np.zeros((1, 1, 1), np.int32)
    augment = tf.function(lambda seed: labels.augment_label(zero, seed))
    totals = [int(augment(tf.constant([7, seed]))) for seed in range(400)]
    digits = np.array([[int(digit) for digit in f"{total:04d}"] for total in totals])
    assert (digits.sum(axis=1) == 2).all()
    # 800 draws with probability 1/4: 200 each, standard deviation 12.
    assert np.all(np.abs(digits.sum(axis=0) - 200) < 50)


def test_same_operation_twice_draws_anew(monkeypatch):
    monkeypatch.setattr(labels, "OPERATIONS", (labels.shift_label,))
    label = np.zeros((40, 40, 1), np.int32)
    label[20, 20] = 1
    ends = [np.argwhere(labels.augment_label(label, (7, seed)).numpy())[0] for seed in range(20)]
    straight_only = [min(abs(row - 20), abs(column - 20)) == 0 for row, column, _ in ends]
    assert not all(straight_only)


@pytest.fixture
def outside() -> np.ndarray:
    """[12,10,1]: organ in rows 3..8 and columns 2..7."""
    mask = np.ones((12, 10, 1), np.float32)
    mask[3:9, 2:8] = 0
    return mask


@pytest.fixture
def candidates() -> np.ndarray:
    """[4,12,10,1]: empty, partly outside, inside, inside."""
    stack = np.zeros((4, 12, 10, 1), np.int32)
    stack[1, 7:10, 4] = 1
    stack[2, 3:9, 2:8] = 4
    stack[3, 5, 5] = 2
    return stack


def test_fits_inside_is_zero_overlap_with_one_mask_or_a_mask_per_label(candidates, outside):
    expected = [(outside * label).sum() == 0 for label in candidates]
    assert expected == [True, False, True, True]
    np.testing.assert_array_equal(labels.fits_inside(candidates, outside), expected)
    masks = np.stack([outside, np.zeros_like(outside), np.ones_like(outside), outside])
    np.testing.assert_array_equal(labels.fits_inside(candidates, masks), [True, True, False, True])


def test_choice_is_the_first_filled_candidate_that_fits_or_empty(candidates, outside):
    label, index = labels.choose_fitting_label(candidates, outside)
    assert int(index) == 2
    np.testing.assert_array_equal(label, candidates[2])
    choose = tf.function(labels.choose_fitting_label)
    label, index = choose(tf.constant(candidates[:2]), tf.constant(outside))
    assert int(index) == -1
    assert label.shape == (12, 10, 1) and label.dtype == tf.int32 and not np.any(label)
