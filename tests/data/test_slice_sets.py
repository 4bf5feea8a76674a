"""Slices in memory: random samples of real ones."""

from __future__ import annotations

import numpy as np

from data import slice_sets
from data.slice_sets import real_slices


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
