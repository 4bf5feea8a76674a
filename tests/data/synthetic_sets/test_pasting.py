"""Copy-paste augmentation: where the region ends, who is the donor, what stays."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from data.brats.dataset import BRATS
from data.shards import parse_record
from data.slice_sets import Slices
from data.synthetic_sets.pasting import NEAR, carve, pasted_files, pasted_slice

SIZE = (24, 24)


def disc(radius: float) -> np.ndarray:
    rows, columns = np.indices(SIZE) - 12
    return np.hypot(rows, columns) <= radius


@pytest.fixture(scope="module")
def slices() -> Slices:
    """Three patients of 4 slices, the last without lesion; the grey value tells the slice."""
    label = np.zeros((12, *SIZE), np.int32)
    label[[1, 2, 5, 7], 8:16, 8:16] = [[[1]], [[2]], [[3]], [[4]]]
    images = np.ones((12, *SIZE, 4)) * np.arange(12).reshape(12, 1, 1, 1) / 16
    index = np.array([60, 61, 62, 63, 61, 62, 80, 90, 60, 61, 62, 63])
    return Slices(images, label, subjects=np.repeat([0, 1, 2], 4), index=index)


def test_the_region_is_the_outline_moved_by_half_to_one_depth():
    label = disc(6)
    areas = [carve(label, np.random.default_rng(seed)).sum() for seed in range(200)]
    assert min(areas) >= disc(2).sum() and max(areas) <= disc(13).sum()
    narrower = np.mean([area < label.sum() for area in areas])
    assert 0.2 < narrower < 0.65  # less than half: small moves leave a disc of pixels as it is
    nested = sorted((carve(label, np.random.default_rng(seed)) for seed in range(9)), key=np.sum)
    assert all((large | ~small).all() for small, large in zip(nested, nested[1:]))


def test_the_smallest_lesion_gives_a_region():
    label = np.zeros(SIZE, int)
    label[3, 3] = 2
    assert all(carve(label, np.random.default_rng(seed))[3, 3] for seed in range(50))


def test_images_and_label_come_from_one_donor_inside_the_region(slices):
    for seed in range(20):
        images, label = pasted_slice(slices, 0, np.random.default_rng(seed))
        assert label.dtype == np.uint8
        values, donors = np.unique(label), np.unique(np.rint(images * 16).astype(int))
        assert donors.tolist() == [0, 5]  # of patient 1 only slice 5 is near enough
        assert set(values) == {0, 3}
        moved = images[..., 0] != slices.images[0, ..., 0]
        assert (label[moved] == slices.label[5][moved]).all() and not label[~moved].any()


def test_a_receiver_keeps_its_own_lesion_outside_the_region(slices):
    found = [pasted_slice(slices, 1, np.random.default_rng(seed))[1] for seed in range(40)]
    assert any({1, 3} <= set(np.unique(label)) for label in found)  # a narrow region
    assert any(set(np.unique(label)) == {0, 3} for label in found)  # a wide one


def test_without_a_near_donor_any_other_patient_gives_and_one_alone_gives_itself(slices):
    assert abs(slices.index[7] - slices.index[6]) > NEAR
    images, _ = pasted_slice(slices, 7, np.random.default_rng(0))
    assert {1, 2} & set(np.unique(np.rint(images * 16).astype(int)))
    alone = slices.choose(np.arange(4))
    images, _ = pasted_slice(alone, 3, np.random.default_rng(0))
    assert {1, 2} & set(np.unique(np.rint(images * 16).astype(int)))


def test_files_hold_a_pasted_slice_for_each_real_one_and_repeat_themselves(slices, tmp_path):
    (file,) = pasted_files(slices, tmp_path / "a", 9, seed=1)
    parsed = [parse_record(r, BRATS, SIZE) for r in tf.data.TFRecordDataset(str(file.path))]
    assert [tuple(each["source"].numpy()) for each in parsed] == [(9, i) for i in range(12)]
    assert all((each["label"].numpy() > 0).any() for each in parsed)
    (again,) = pasted_files(slices, tmp_path / "b", 9, seed=1)
    (other,) = pasted_files(slices, tmp_path / "c", 9, seed=2)
    assert file.path.read_bytes() == again.path.read_bytes() != other.path.read_bytes()
