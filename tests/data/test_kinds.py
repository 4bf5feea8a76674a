"""Labels of whole images and boxes, and images of several channels, through cache and pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from data.augmentation import Augmentation
from data.boxes import painted
from data.contract import batch_shapes, check_batch
from data.pipeline import RandomMaps, training_batches
from data.shards import prepare_shards
from data.slice_sets import real_slices
from data.structure_maps.cutting import EACH, MapConfig, cut_maps
from tests.data.kinds import BOXED, CLASSES, COLOURS, MOST, SIDE, Side, boxes_of, cases
from utils.errors import UserError

PATIENTS = ("p0", "p1", "p2")


@pytest.fixture
def prepared(request, tmp_path):
    dataset = request.param
    return prepare_shards(dataset, cases(tmp_path, 3), Side(), tmp_path / "cache", progress=False)


def take(prepared, count=3, batch_size=2, **arguments) -> list[dict]:
    arguments = {"maps": None, **arguments}
    batches = training_batches(prepared, PATIENTS, seed=1, batch_size=batch_size, **arguments)
    return list(batches.take(count).as_numpy_iterator())


def expected_label() -> np.ndarray:
    """`boxes_of` by hand: 16 x 16 pixels, the small box over the large one on the second slice."""
    label = np.zeros((2, SIDE, SIDE), int)
    label[:, 4:12, 3:5] = 1  # the ellipse in rows 4..12 and columns 2..6
    label[:, 5:11, 2:6] = 1
    label[1, 7:9, 3:5] = 2  # of 2 x 2 pixels: a circle of 3 reaches no other centre
    return label


def test_lesions_are_painted_smallest_last_and_never_too_small():
    found = painted(tf.constant(boxes_of(0)[0]), (SIDE, SIDE)).numpy()[..., 0]
    np.testing.assert_array_equal(found, expected_label()[0])
    speck = tf.constant([[2.0, 0.5, 0.5, 0.001, 0.001], [0.0, 0.0, 0.0, 0.9, 0.9]])
    label = painted(speck, (9, 9)).numpy()[..., 0]
    expected = np.zeros((9, 9), int)
    expected[3:6, 3:6] = 2
    np.testing.assert_array_equal(label, expected)
    assert not painted(tf.zeros([MOST, 5]), (4, 4)).numpy().any()


@pytest.mark.parametrize("prepared", [CLASSES], indirect=True)
def test_a_class_of_an_image_is_its_label_everywhere(prepared):
    slices = real_slices(prepared, PATIENTS)
    assert [np.unique(one).tolist() for one in slices.label] == [[0], [0], [0], [1], [0], [2]]
    assert prepared.lesions_per_subject == (0, 1, 1)
    for batch in take(prepared, augmentation=Augmentation(mirror=True, rotation=40.0)):
        check_batch(batch, CLASSES, CLASSES.keys)
        assert all(len(np.unique(one)) == 1 for one in batch["label"])  # it does not move


@pytest.mark.parametrize("prepared", [BOXED], indirect=True)
def test_boxes_come_back_beside_the_label_that_they_paint(prepared):
    slices = real_slices(prepared, ["p1"])
    np.testing.assert_array_equal(slices.boxes, boxes_of(1))
    np.testing.assert_array_equal(slices.label, expected_label())
    assert prepared.lesions_per_subject == (2, 2, 2)
    (batch,) = take(prepared, 1)
    check_batch(batch, BOXED, BOXED.keys)
    with pytest.raises(UserError, match="the labels of boxed are boxes"):
        take(prepared, augmentation=Augmentation(rotation=9.0))


def test_the_contract_tells_boxes_and_several_maps():
    shapes = batch_shapes(BOXED, 2, (8, 8))
    assert shapes["boxes"] == ((2, MOST, 5), "float32") and shapes["random_boxes"]
    assert shapes["structure"][0] == (2, 8, 8, 3) and shapes["label"][0] == (2, 8, 8, 1)
    assert "boxes" not in batch_shapes(CLASSES, 2, (8, 8))


@pytest.mark.parametrize("prepared", [COLOURS], indirect=True)
def test_other_images_keep_their_channels_together(prepared):
    values = np.concatenate([batch["unpaired_images"] for batch in take(prepared, unpaired=True)])
    first = values[:, 0, 0]
    np.testing.assert_allclose(first[:, 1:] - first[:, :1], [[0.01, 0.02]] * len(first), atol=1e-4)


@pytest.mark.parametrize("prepared", [COLOURS, CLASSES, BOXED], indirect=True)
def test_random_maps_come_with_the_labels_of_their_kind(prepared):
    dataset = prepared.dataset
    maps = np.zeros((4, SIDE, SIDE, dataset.map_channels), np.uint8)
    random = {"structure": maps, "outside": maps}
    if dataset is CLASSES:
        constant = [np.full((SIDE, SIDE, 1), number, np.uint8) for number in range(3)]
        random.update(labels=np.stack(constant), match=False)
    if dataset is BOXED:
        rows = np.concatenate([boxes_of(0), np.zeros((1, MOST, 5), np.float32)])
        random.update(boxes=rows, fitting=np.array([[0, 1]] * 4, np.int32))
    batches = take(prepared, 12, random_maps=RandomMaps(**random))
    keys = {key for key in batches[0] if key.startswith("random_")}
    assert keys == {
        *("random_structure", "random_outside"),
        *(("random_label",) if dataset.has_label else ()),
        *(("random_boxes",) if dataset is BOXED else ()),
    }
    if dataset is CLASSES:
        found = [np.unique(one).tolist() for batch in batches for one in batch["random_label"]]
        assert {tuple(one) for one in found} == {(0,), (1,), (2,)}
    if dataset is BOXED:
        for batch in batches:
            for rows, label in zip(batch["random_boxes"], batch["random_label"]):
                assert any(np.array_equal(rows, each) for each in boxes_of(0))
                np.testing.assert_array_equal(label, painted(tf.constant(rows), (SIDE, SIDE)))


def test_each_channel_can_have_a_map_of_its_own():
    rng = np.random.default_rng(0)
    images = rng.random((SIDE, SIDE, 3)).astype(np.float32)
    label = painted(tf.constant(boxes_of(0)[0]), (SIDE, SIDE))
    example = {"images": tf.constant(images), "label": label, "seed": tf.constant([0, 0])}
    config = MapConfig(EACH, edge_threshold=0.1, structure_median=1, mask_zoom=0, mask_median=1)
    structure, outside = cut_maps(example, config, BOXED)
    assert structure.shape == outside.shape == (SIDE, SIDE, 3)
    grown = np.zeros((SIDE, SIDE), bool)
    grown[2:14, 1:7] = grown[3:13, 0:8] = True  # two pixels around the ellipse
    for k in range(3):
        alone = MapConfig("c0", edge_threshold=0.1, structure_median=1, mask_zoom=0, mask_median=1)
        one = {"images": tf.constant(images[..., k : k + 1]), "seed": example["seed"]}
        expected, mask = cut_maps(one, alone, CLASSES)
        np.testing.assert_array_equal(outside[..., k], mask[..., 0])
        np.testing.assert_array_equal(structure[..., k], np.where(grown, 0, expected[..., 0]))
    with pytest.raises(UserError, match="--maps.modality is 'c0'; give one of each"):
        alone.check(BOXED)
    with pytest.raises(UserError, match="--maps.modality"):
        config.check(COLOURS)


def test_a_class_of_an_image_erases_no_lines():
    rng = np.random.default_rng(0)
    images = tf.constant(rng.random((SIDE, SIDE, 1)), tf.float32)
    example = {"images": images, "seed": tf.constant([0, 0])}
    config = MapConfig("c0", edge_threshold=0.1, structure_median=1, mask_zoom=0, mask_median=1)
    without = cut_maps(example, config, CLASSES)[0]
    ill = {**example, "label": tf.fill([SIDE, SIDE, 1], 2)}
    np.testing.assert_array_equal(cut_maps(ill, config, CLASSES)[0], without)
    assert without.numpy().any()
