from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import tensorflow as tf

from data import pipeline
from data.augmentation import Augmentation
from data.brats.dataset import BRATS
from data.brats.names import MODALITIES
from data.contract import check_batch
from data.pipeline import (
    RandomMaps,
    RecordFile,
    class_files,
    distributed,
    evaluation_batches,
    lesion_labels,
    number_of_slices,
    training_batches,
)
from data.shards import parse_record
from data.structure_maps.cutting import MapConfig
from data.structure_maps.extraction import structure_and_outside
from tests.data.trees import case_files, prepare, tiny_case, write_case, write_tree
from tests.devices import mirrored_strategy
from utils.errors import UserError

# The tiny cases are noise; this threshold turns about half of their pixels into lines.
MAPS = MapConfig(modality="T1", edge_threshold=0.1, structure_median=1, mask_zoom=0)
CONSTANTS = MAPS.constants(BRATS)
MIRROR = Augmentation(mirror=True)
TWICE = {"enhancing": 2, "oedema": 0}
PATIENTS = tuple(f"brats_2013_pat000{number}_1" for number in (1, 2))
SLICES = [(subject, axial) for subject in (0, 1) for axial in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Two subjects of four slices 8x8."""
    folder = tmp_path_factory.mktemp("pipeline")
    return prepare(write_tree(folder / "data", "flat2015"), folder / "cache")


@pytest.fixture(scope="module")
def records(prepared) -> dict:
    """{(subject, axial): record} of every prepared slice."""
    files = tf.data.TFRecordDataset([str(path) for path in prepared.files])
    parsed = files.map(
        lambda record: parse_record(record, BRATS, prepared.size)
    ).as_numpy_iterator()
    return {tuple(record["source"].tolist()): record for record in parsed}


def take(prepared, count: int, *, maps=MAPS, seed=3, batch_size=3, **arguments) -> list[dict]:
    """The first `count` batches as arrays."""
    dataset = training_batches(prepared, PATIENTS, maps, seed, batch_size=batch_size, **arguments)
    return list(dataset.take(count).as_numpy_iterator())


def sources(batches) -> list[tuple[int, int]]:
    return [tuple(row) for batch in batches for row in batch["source"].tolist()]


def half_maps() -> RandomMaps:
    """Map 0 has its organ left, map 1 right; one lesion lies left, one right, one across."""
    outside = np.zeros((2, 8, 8, 1), np.uint8)
    outside[0, :, 4:], outside[1, :, :4] = 1, 1
    labels = np.zeros((3, 8, 8, 1), np.uint8)
    labels[0, 2:4, 1:3], labels[1, 2:4, 5:7], labels[2, 2:4, 3:5] = 1, 2, 3
    return RandomMaps(structure=1 - outside, outside=outside, labels=labels, augment=False)


def test_batches_keep_the_contract(prepared):
    (batch,) = take(prepared, 1, unpaired=True, random_maps=half_maps())
    assert {name: (array.shape, str(array.dtype)) for name, array in batch.items()} == {
        "images": ((3, 8, 8, 4), "float32"),
        "unpaired_images": ((3, 8, 8, 4), "float32"),
        "label": ((3, 8, 8, 1), "int32"),
        "random_label": ((3, 8, 8, 1), "int32"),
        "structure": ((3, 8, 8, 1), "float32"),
        "outside": ((3, 8, 8, 1), "float32"),
        "random_structure": ((3, 8, 8, 1), "float32"),
        "random_outside": ((3, 8, 8, 1), "float32"),
        "seed": ((3, 2), "int32"),
        "source": ((3, 2), "int32"),
    }
    for name in ("images", "unpaired_images"):
        assert 0 <= batch[name].min() < 0.1 and 0.9 < batch[name].max() <= 1
    for name in ("structure", "outside", "random_structure", "random_outside"):
        assert set(np.unique(batch[name])) <= {0, 1}
    assert set(np.unique(batch["label"])) == {0, 1, 2, 4}


def test_without_maps_none_are_cut(prepared):
    (whole,), (batch,) = (
        take(prepared, 1, augmentation=MIRROR),
        take(prepared, 1, maps=None, augmentation=MIRROR),
    )
    assert set(whole) - set(batch) == {"structure", "outside"}
    for name, array in batch.items():
        np.testing.assert_array_equal(array, whole[name], err_msg=name)
    check_batch(batch, BRATS, ("images", "label", "seed", "source"))
    with pytest.raises(UserError, match="structure is missing"):
        check_batch(batch, BRATS)


def test_examples_are_the_prepared_slices(prepared, records):
    for batch in take(prepared, 3):
        for image, label, source in zip(batch["images"], batch["label"], sources([batch])):
            np.testing.assert_array_equal(image, records[source]["images"])
            np.testing.assert_array_equal(label, records[source]["label"])


def test_mirrored_slices_keep_their_labels_and_their_maps(prepared, records):
    batches = take(prepared, 16, augmentation=MIRROR)
    mirrored = 0
    for batch in batches:
        structure, _ = structure_and_outside(batch["images"][..., :1], batch["label"], CONSTANTS)
        np.testing.assert_array_equal(batch["structure"], structure)
        for image, label, source in zip(batch["images"], batch["label"], sources([batch])):
            record = records[source]
            turned = not np.array_equal(image, record["images"])
            step = -1 if turned else 1
            np.testing.assert_array_equal(image, record["images"][:, ::step])
            np.testing.assert_array_equal(label, record["label"][:, ::step])
            mirrored += turned
    assert 12 <= mirrored <= 36  # of 48: half, within 3.5 standard deviations
    assert sources(batches) == sources(take(prepared, 16))


def test_slices_with_enhancing_tumour_are_repeated(tmp_path):
    for number, enhancing in ((1, (2, 4)), (2, ())):
        case = tiny_case(number)
        for axial in set(range(len(case.label))) - set(enhancing):
            case.label[axial][case.label[axial] == 4] = 2
        write_case(case_files(tmp_path / "data", "flat2015", number), case)
    prepared = prepare(tmp_path / "data", tmp_path / "cache")
    assert [file.keep.tolist() for file in class_files(prepared, PATIENTS, "enhancing")] == [
        [False, True, False, True]
    ]
    with pytest.raises(UserError, match="brats has no class 'cyst'; give one of background, nec"):
        class_files(prepared, PATIENTS, "cyst")
    batches = take(prepared, 12, maps=None, batch_size=1, repeats=TWICE)
    repeated = {source: 3 if source in ((0, 2), (0, 4)) else 1 for source in SLICES}
    assert Counter(sources(batches)) == repeated
    later = take(prepared, 2, maps=None, batch_size=1, repeats=TWICE, first_step=5)
    assert sources(later) == sources(batches)[5:7]


def test_starting_later_equals_skipping(prepared):
    options = {"maps": replace(MAPS, modality="random"), "augmentation": MIRROR, "unpaired": True}
    options["random_maps"] = replace(half_maps(), augment=True)
    whole = take(prepared, 8, **options)
    for first in (2, 6):  # a pass holds 8 slices: in the first pass, and in the third
        tf.random.set_seed(first)  # the order depends on nothing but the arguments
        later = take(prepared, 8 - first, first_step=first, **options)
        for expected, found in zip(whole[first:], later):
            for name in expected:
                np.testing.assert_array_equal(expected[name], found[name], err_msg=name)


def test_every_pass_sees_every_slice_once(prepared):
    order = sources(take(prepared, 9))
    passes = [order[first : first + 8] for first in (0, 8, 16)]
    assert [sorted(each) for each in passes] == [SLICES] * 3
    assert len(set(map(tuple, passes))) == 3


def test_only_the_chosen_subjects_are_used(prepared):
    dataset = training_batches(prepared, PATIENTS[1:], MAPS, 0, batch_size=4)
    assert {subject for subject, _ in sources(dataset.take(3).as_numpy_iterator())} == {1}


def test_seeds_decide_order_and_randomness(prepared):
    first, again, other = (take(prepared, 3, seed=seed) for seed in (3, 3, 4))
    assert sources(first) == sources(again) != sources(other)
    rows = [tuple(row) for batch in first + other for row in batch["seed"].tolist()]
    assert len(set(rows)) == 18  # no two examples share a seed


@pytest.mark.parametrize(("pipelines", "replicas"), [(1, 2), (2, 1), (2, 2)])
def test_shards_in_replica_order_are_the_whole_stream(prepared, pipelines, replicas):
    whole = take(prepared, 5, batch_size=4)
    shards = [
        iter(take(prepared, 5 * replicas, batch_size=4, shard=(index, pipelines, replicas)))
        for index in range(pipelines)
    ]
    for expected in whole:
        parts = [part for shard in shards for part in islice(shard, replicas)]
        assert all(len(part["source"]) == 4 // (pipelines * replicas) for part in parts)
        for name in expected:
            together = np.concatenate([part[name] for part in parts])
            np.testing.assert_array_equal(together, expected[name], err_msg=name)


def test_two_devices_get_the_two_halves(prepared):
    whole = take(prepared, 3, batch_size=4)
    strategy = mirrored_strategy()
    arguments = {"prepared": prepared, "subject_ids": PATIENTS, "maps": MAPS, "seed": 3}
    for expected, batch in zip(whole, distributed(strategy, 4, **arguments)):
        parts = strategy.experimental_local_results(batch["source"])
        np.testing.assert_array_equal(np.concatenate(parts), expected["source"])


def test_unpaired_modalities_have_orders_of_their_own(prepared, records):
    batches = take(prepared, 4, batch_size=4, unpaired=True)
    images = np.concatenate([batch["unpaired_images"] for batch in batches])
    origin = [
        [
            next(s for s, record in records.items() if (record["images"][..., i] == image).all())
            for image in images[..., i]
        ]
        for i in range(len(MODALITIES))
    ]
    for order in origin:
        assert sorted(order[:8]) == sorted(order[8:]) == SLICES
    assert len(set(map(tuple, origin))) == 4
    assert tuple(sources(batches)) not in set(map(tuple, origin))


def test_random_labels_fit_their_masks(prepared):
    maps = half_maps()
    batches = take(prepared, 8, random_maps=maps)
    drawn = []
    for batch in batches:
        for structure, outside, label in zip(
            *(batch[f"random_{name}"] for name in ("structure", "outside", "label"))
        ):
            number = int(outside[0, 0, 0])  # map 1 is empty on the left
            np.testing.assert_array_equal(outside, maps.outside[number])
            np.testing.assert_array_equal(structure, maps.structure[number])
            if label.any():  # 4 % of the time none of the 8 candidates fits
                np.testing.assert_array_equal(label, maps.labels[number])
                drawn.append(number)
    assert set(drawn) == {0, 1} and len(drawn) > 18


def test_a_map_without_fitting_label_gets_an_empty_one(prepared):
    maps = half_maps()
    (batch,) = take(prepared, 1, random_maps=replace(maps, labels=maps.labels[2:]))
    assert not batch["random_label"].any()


@pytest.mark.parametrize("augment", [False, True])
def test_labels_need_not_match(prepared, augment):
    maps = replace(half_maps(), match=False, augment=augment)
    batches = take(prepared, 8, random_maps=maps)
    labels = np.concatenate([batch["random_label"] for batch in batches])
    outside = np.concatenate([batch["random_outside"] for batch in batches])
    assert set(np.unique(labels)) <= {0, 1, 2, 3} and labels.any(axis=(1, 2, 3)).mean() > 0.5
    crossing = (labels * outside > 0).any(axis=(1, 2, 3)).mean()
    assert crossing > 0.4  # two of three labels do not fit a map


def test_random_labels_are_augmented_on_demand(prepared):
    maps = replace(half_maps(), outside=np.zeros((2, 8, 8, 1), np.uint8), augment=True)
    known = {label.tobytes() for label in maps.labels.astype(np.int32)}
    found = np.concatenate([b["random_label"] for b in take(prepared, 6, random_maps=maps)])
    assert any(label.tobytes() not in known for label in found)
    assert set(np.unique(found)) <= {0, 1, 2, 3}


@pytest.mark.parametrize("remove", [True, False])
def test_lines_under_a_lesion_go_on_demand(prepared, remove):
    batches = take(prepared, 3, maps=replace(MAPS, remove_tumour=remove))
    lines = [batch["structure"][batch["label"] > 0].sum() for batch in batches]
    assert (sum(lines) == 0) == remove
    assert sum(batch["structure"].sum() for batch in batches) > 20


@pytest.mark.parametrize("modality", MODALITIES)
def test_maps_are_cut_from_the_chosen_modality(prepared, modality):
    (batch,) = take(prepared, 1, maps=replace(MAPS, modality=modality))
    index = MODALITIES.index(modality)
    structure, outside = structure_and_outside(
        batch["images"][..., index : index + 1], batch["label"], CONSTANTS
    )
    np.testing.assert_array_equal(batch["structure"], structure)
    np.testing.assert_array_equal(batch["outside"], outside)


def test_a_random_modality_is_drawn_for_every_example(prepared):
    batches = take(prepared, 8, maps=replace(MAPS, modality="random"))
    chosen = set()
    for batch in batches:
        cut = np.stack(
            [
                structure_and_outside(batch["images"][..., i : i + 1], batch["label"], CONSTANTS)[0]
                for i in range(len(MODALITIES))
            ]
        )
        same = (cut == batch["structure"]).all(axis=(2, 3, 4))  # [4,B]
        assert same.any(axis=0).all()
        chosen |= set(same.argmax(axis=0).tolist())
    assert chosen == {0, 1, 2, 3}


def test_changes_of_constants_reach_the_algorithms():
    constants = MapConfig(variant="thesis", mask_zoom=6).constants(BRATS)
    untouched = MapConfig(variant="thesis").constants(BRATS)
    assert constants == replace(untouched, mask_zoom=6) != untouched


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("modality", "T3", "one of random, T1, T2, T1c, Flair"),
        ("variant", "book", "one of code, thesis, paper, paper_image_stage"),
        ("edge_threshold", 1.0, "0 or more and less than 1"),
        ("mask_zoom", -1, "0 or more"),
    ],
)
def test_maps_that_cannot_be_cut_are_refused(field, value, remedy):
    with pytest.raises(UserError, match=f"--maps.{field} is {value!r}; give {remedy}"):
        MapConfig(**{field: value}).check(BRATS)


def test_evaluation_is_complete_and_in_order(prepared, records):
    batches = list(evaluation_batches(prepared, PATIENTS, 3).as_numpy_iterator())
    assert [len(batch["label"]) for batch in batches] == [3, 3, 2]
    assert sources(batches) == SLICES
    images = np.concatenate([batch["images"] for batch in batches])
    np.testing.assert_array_equal(images, [records[source]["images"] for source in SLICES])
    second = evaluation_batches(prepared, PATIENTS[1:], 8).as_numpy_iterator()
    assert sources(second) == SLICES[4:]


def test_slices_are_counted_per_subject(prepared):
    assert [number_of_slices(prepared, PATIENTS[:n]) for n in (0, 1, 2)] == [0, 4, 8]


def test_labels_without_lesion_are_left_out(tmp_path):
    for number in (1, 2):
        case = tiny_case(number)
        case.label[:] = 0
        if number == 1:
            case.label[2, 5, 5], case.label[4, 5, 5] = 4, 2
        write_case(case_files(tmp_path / "data", "flat2015", number), case)
    prepared = prepare(tmp_path / "data", tmp_path / "cache")
    labels = lesion_labels(prepared, PATIENTS)
    assert labels.shape == (2, 8, 8, 1) and labels.dtype == np.uint8
    assert labels.max(axis=(1, 2, 3)).tolist() == [4, 2]
    with pytest.raises(UserError, match="No training slice has a lesion label"):
        lesion_labels(prepared, PATIENTS[1:])


def test_large_records_are_shuffled_in_small_windows(tmp_path):
    """A set of volumes never lies in memory; slices are shuffled by hundreds."""

    def window(size: int, records: int = 2) -> int:
        path = tmp_path / "records"
        with open(path, "wb") as file:
            file.truncate(size)
        return pipeline._window([RecordFile(path, np.ones(records, bool))])

    volume = 152 * 200 * 160 * 4 * 4  # bytes of four modalities as float32
    assert window(2 * volume) * volume <= 2**31 and window(2 * volume) == 27
    assert window(2 * 512 * 512 * 3 * 4) == 512
    assert window(2**33) == 1
