"""The batch contract is checked for any data set, not only written down."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from data.brats.dataset import BRATS
from data.contract import DataSet, batch_shapes, check_batch
from tests.data.second import SECOND
from utils.errors import UserError
from utils.runs.environment import REPOSITORY

VOLUMES = replace(BRATS, name="volumes", rank=3)
TWO_CLASSES = replace(BRATS, classes=("background", "vessel"))


def described(channels: int, classes: int, rank: int) -> DataSet:
    names = [tuple(f"{kind}{i}" for i in range(n)) for kind, n in (("c", channels), ("k", classes))]
    return replace(BRATS, channels=names[0], classes=names[1], rank=rank)


def batch(dataset: DataSet = BRATS, **changes: np.ndarray) -> dict[str, np.ndarray]:
    """Every key that a batch may have, full of the largest values."""
    size = (4, 8, 6)[-dataset.rank :]
    shapes = batch_shapes(dataset, 2, size)
    arrays = {key: np.ones(shape, kind) for key, (shape, kind) in shapes.items()}
    for key in {"label", "random_label"} & set(arrays):
        arrays[key] *= dataset.num_classes - 1
    return {**arrays, **changes}


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("classes", [0, 2, 5])
@pytest.mark.parametrize("channels", [1, 3, 4, 5])
def test_a_batch_that_follows_the_contract_passes(channels, classes, rank):
    dataset = described(channels, classes, rank)
    whole = batch(dataset)
    sides = (2, 4, 8, 6)[3 - rank :][-rank:]
    assert whole["images"].shape == (2, *sides, channels)
    assert whole["structure"].shape == (2, *sides, 1) and whole["source"].shape == (2, 2)
    assert ("label" in whole) == ("random_label" in whole) == bool(classes)
    check_batch(whole, dataset)
    check_batch({key: whole[key] for key in (*dataset.keys, "structure", "outside")}, dataset)


def test_a_missing_key_is_named():
    for key in ("label", "outside"):
        with pytest.raises(UserError, match=f"Batch key {key} is missing"):
            check_batch({k: array for k, array in batch().items() if k != key}, BRATS)
    check_batch({"images": batch()["images"]}, BRATS, required=("images",))


@pytest.mark.parametrize(("dataset", "key"), [(BRATS, "lable"), (SECOND, "label")])
def test_an_unknown_key_is_named(dataset, key):
    wrong = batch(dataset, **{key: np.zeros((2, 8, 6, 1), np.int32)})
    with pytest.raises(UserError, match=f"Batch key {key} is unknown to the data set .*images, "):
        check_batch(wrong, dataset)


@pytest.mark.parametrize(
    ("dataset", "key", "values"),
    [
        (BRATS, "images", np.full((2, 8, 6, 4), 255.0, np.float32)),
        (BRATS, "images", np.full((2, 8, 6, 4), np.nan, np.float32)),
        (BRATS, "images", np.ones((2, 8, 6, 3), np.float32)),
        (BRATS, "images", np.ones((2, 8, 4), np.float32)),
        (SECOND, "images", np.ones((2, 8, 6, 4), np.float32)),
        (VOLUMES, "images", np.ones((2, 8, 6, 4), np.float32)),
        (BRATS, "images", np.ones((2, 4, 8, 6, 4), np.float32)),
        (BRATS, "label", np.full((2, 8, 6, 1), 5, np.int32)),
        (TWO_CLASSES, "label", np.full((2, 8, 6, 1), 2, np.int32)),
        (BRATS, "label", np.ones((2, 8, 6, 1), np.float32)),
        (VOLUMES, "label", np.ones((2, 8, 6, 1), np.int32)),
        (BRATS, "outside", np.ones((2, 8, 6), np.float32)),
        (BRATS, "structure", np.full((2, 8, 6, 1), 0.5, np.float32)),
        (BRATS, "unpaired_images", np.full((2, 8, 6, 4), -0.1, np.float32)),
        (BRATS, "random_structure", np.full((2, 8, 6, 1), 2.0, np.float32)),
        (BRATS, "random_outside", np.full((2, 8, 6, 1), np.nan, np.float32)),
        (BRATS, "random_label", np.full((2, 8, 6, 1), -1, np.int32)),
        (BRATS, "seed", np.ones((2, 2), np.int64)),
        (BRATS, "source", np.full((2, 2), -1, np.int32)),
    ],
)
def test_a_batch_that_breaks_it_is_refused_by_key(dataset, key, values):
    with pytest.raises(UserError, match=f"Batch key {key} must be"):
        check_batch(batch(dataset, **{key: values}), dataset)


def test_descriptions_need_no_tensorflow():
    code = "import sys, data.brats.dataset; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
