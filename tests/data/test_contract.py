"""The batch contract is checked, not only written down."""

from __future__ import annotations

import numpy as np
import pytest

from data.contract import check_batch
from utils.errors import UserError


def batch(**changes: np.ndarray) -> dict[str, np.ndarray]:
    plane = np.ones((2, 8, 6, 1), np.float32)
    images, label = np.repeat(plane, 4, axis=-1), np.full(plane.shape, 4, np.int32)
    return {"images": images, "label": label, "structure": plane, "outside": plane, **changes}


def test_a_batch_that_follows_the_contract_passes():
    check_batch(batch())


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("images", np.full((2, 8, 6, 4), 255.0, np.float32)),
        ("images", np.full((2, 8, 6, 4), np.nan, np.float32)),
        ("images", np.ones((2, 8, 6, 3), np.float32)),
        ("label", np.full((2, 8, 6, 1), 5, np.int32)),
        ("label", np.ones((2, 8, 6, 1), np.float32)),
        ("outside", np.ones((2, 8, 6), np.float32)),
    ],
)
def test_a_batch_that_breaks_it_is_refused_by_key(key, values):
    with pytest.raises(UserError, match=f"Batch key {key} must be"):
        check_batch(batch(**{key: values}))
