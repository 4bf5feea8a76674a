"""The batch contract is checked, not only written down."""

from __future__ import annotations

import numpy as np
import pytest

from data.contract import check_batch
from utils.errors import UserError


def batch(**changes: np.ndarray) -> dict[str, np.ndarray]:
    plane = np.ones((2, 8, 6, 1), np.float32)
    images, label = np.repeat(plane, 4, axis=-1), np.full(plane.shape, 4, np.int32)
    required = {"images": images, "label": label, "structure": plane, "outside": plane}
    return {**required, **changes}


TRAINING = {
    **{f"random_{name}": array for name, array in batch().items() if name != "images"},
    "unpaired_images": batch()["images"],
    "seed": np.array([[-5, 7]] * 2, np.int32),
    "source": np.array([[0, 70]] * 2, np.int32),
}


def test_a_batch_that_follows_the_contract_passes():
    check_batch(batch())
    check_batch(batch(**TRAINING))


def test_a_missing_key_is_named():
    with pytest.raises(UserError, match="Batch key label is missing"):
        check_batch({name: array for name, array in batch().items() if name != "label"})


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("images", np.full((2, 8, 6, 4), 255.0, np.float32)),
        ("images", np.full((2, 8, 6, 4), np.nan, np.float32)),
        ("images", np.ones((2, 8, 6, 3), np.float32)),
        ("label", np.full((2, 8, 6, 1), 5, np.int32)),
        ("label", np.ones((2, 8, 6, 1), np.float32)),
        ("outside", np.ones((2, 8, 6), np.float32)),
        ("structure", np.full((2, 8, 6, 1), 0.5, np.float32)),
        ("unpaired_images", np.full((2, 8, 6, 4), -0.1, np.float32)),
        ("random_structure", np.full((2, 8, 6, 1), 2.0, np.float32)),
        ("random_outside", np.full((2, 8, 6, 1), np.nan, np.float32)),
        ("random_label", np.full((2, 8, 6, 1), -1, np.int32)),
        ("seed", np.ones((2, 2), np.int64)),
        ("source", np.full((2, 2), -1, np.int32)),
    ],
)
def test_a_batch_that_breaks_it_is_refused_by_key(key, values):
    with pytest.raises(UserError, match=f"Batch key {key} must be"):
        check_batch(batch(**{key: values}))
