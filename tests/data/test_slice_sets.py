"""Slices in memory: random samples of real ones, and the volumes they make up."""

from __future__ import annotations

import numpy as np
import pytest

from data import slice_sets
from data.slice_sets import Slices, patient_volumes, real_slices
from utils.errors import UserError


def test_real_slices_are_random_distinct_and_keep_their_patient(monkeypatch):
    class Batch(dict):
        """Arrays that, like tensors, have a method `numpy`."""

    class Tensor(np.ndarray):
        def numpy(self):
            return np.asarray(self)

    images = np.arange(10, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 2, 4))
    rows = {
        "images": images,
        "label": images[..., :1].astype(np.int32),
        "source": np.stack([np.arange(10) // 5, np.arange(10)], axis=-1),
    }
    batches = [
        Batch({key: value[part].view(Tensor) for key, value in rows.items()})
        for part in (slice(0, 4), slice(4, 8), slice(8, 10))
    ]
    monkeypatch.setattr(slice_sets, "number_of_slices", lambda *_: 10)
    monkeypatch.setattr(slice_sets, "evaluation_batches", lambda *_: batches)

    def numbers(count, seed=0):
        found = real_slices(None, ["a", "b"], count, seed)
        values = found.images[:, 0, 0, 0].astype(int)
        np.testing.assert_array_equal(found.label[:, 0, 0], values)
        np.testing.assert_array_equal(found.subjects, values // 5)
        return list(values)

    few = numbers(6, seed=1)
    assert len(few) == len(set(few)) == 6 and few != sorted(few)
    assert numbers(6, seed=1) == few != numbers(6, seed=2)
    assert numbers(3, seed=1) == few[:3]  # a smaller sample begins a larger one
    assert sorted(numbers(99, seed=1)) == list(range(10))


def test_slices_lie_at_their_place_in_the_patients_volume():
    values = np.arange(1, 7, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 3), np.uint8)
    # Patient 4 lacks the slices 62 and 63; the order of the slices does not matter.
    places = {"subjects": np.array([7, 4, 4, 7, 4, 2]), "index": np.array([9, 64, 60, 8, 61, 5])}
    slices = Slices(np.zeros((6, 2, 3, 4)), **places)
    found = list(patient_volumes(slices, values, -values.astype(float)[..., None]))
    assert [(volume.subject, volume.missing) for volume in found] == [(2, 0), (4, 2), (7, 0)]
    layers = [volume.values[0][:, 0, 0].tolist() for volume in found]
    assert layers == [[6], [3, 5, 0, 0, 2], [4, 1]]
    for volume in found:
        first, second = volume.values
        np.testing.assert_array_equal(second[..., 0], -first.astype(float))
        assert first.dtype == np.uint8 and first.shape[1:] == (2, 3)


def test_slices_without_a_place_of_their_own_are_no_volume():
    images, numbers = np.zeros((2, 3, 3, 4)), np.array([1, 1])
    for slices in (Slices(images, subjects=numbers), Slices(images, index=np.arange(2))):
        with pytest.raises(UserError, match="take real slices"):
            next(patient_volumes(slices, images))
    with pytest.raises(UserError, match=r"Patient 1 has two slices at one place .*\[1, 1\]"):
        next(patient_volumes(Slices(images, subjects=numbers, index=numbers), images))
