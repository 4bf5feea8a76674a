"""Batch by batch, as in one call."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from utils.inference import infer, seeds_of


@pytest.mark.parametrize(("padded", "sizes"), [(False, [4, 4, 2]), (True, [4, 4, 4])])
def test_batches_are_joined_to_what_one_call_gives(padded, sizes):
    found, seen = [], []

    def function(batch: dict) -> dict:
        seen.append(batch["x"].shape[0])
        found.append(batch["y"].numpy().tolist())
        return {"sum": batch["x"] + tf.cast(batch["y"], tf.float32)[:, None], "y": batch["y"]}

    arrays = {"x": np.arange(20, dtype=np.float32).reshape(10, 2), "y": np.arange(10)}
    outputs = infer(function, arrays, 4, padded)
    assert seen == sizes and found[-1] == ([8, 9, 9, 9] if padded else [8, 9])
    np.testing.assert_array_equal(outputs["sum"], arrays["x"] + arrays["y"][:, None])
    np.testing.assert_array_equal(outputs["y"], arrays["y"])
    few = infer(function, {key: rows[:3] for key, rows in arrays.items()}, 4, padded)
    assert few["y"].tolist() == [0, 1, 2] and seen[-1] == (4 if padded else 3)


def test_every_row_has_seeds_of_its_own():
    seeds = seeds_of(5, 0, "a")
    assert seeds.shape == (5, 2) and seeds.dtype == np.int32 and len(np.unique(seeds)) == 10
    np.testing.assert_array_equal(seeds_of(9, 0, "a")[:5], seeds)
    assert not (seeds_of(5, 0, "b") == seeds).any()
