"""Mixed training sets: amounts, nesting, phases, and batches that are a function of the step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from data.brats.dataset import BRATS
from data.pipeline import RecordFile
from data.shards import serialize_record
from data.synthetic_sets.mixing import (
    Phase,
    Sources,
    mixed_batches,
    number_kept,
    pool,
    subset_ranks,
)
from utils.errors import UserError

SIZE = (16, 16)
SYNTHETIC = 9  # subject of synthetic slices


def write(path, subject: int, count: int, first: int = 0) -> RecordFile:
    """Slices whose grey value tells subject and number."""
    rng = np.random.default_rng([subject, first])
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(first, first + count):
            images = rng.random((*SIZE, 4))
            label = rng.integers(0, 5, SIZE).astype(np.uint8)
            writer.write(serialize_record(images, label, (subject, number)))
    return RecordFile(path, np.ones(count, bool))


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Sources:
    """Three patients of 4, 6 and 10 slices; 40 synthetic slices in files of 25 and 15."""
    folder = tmp_path_factory.mktemp("mixing")
    counts = [4, 6, 10]
    real = [write(folder / f"{i}.real", i, count) for i, count in enumerate(counts)]
    synthetic = [write(folder / f"{n}.syn", SYNTHETIC, n, at) for n, at in ((25, 0), (15, 25))]
    return Sources(real, synthetic, subset_ranks(counts, "slices", seed=1))


def test_pasted_slices_are_a_source_of_their_own(sources, tmp_path):
    pasted = [write(tmp_path / "pasted", 8, 20)]
    sources = replace(sources, pasted=pasted)
    files = pool(sources, real=1, pasted=0.5)
    assert number_kept(files) == 30 and files[-1].keep.sum() == 10 and not files[-1].tag
    with pytest.raises(UserError, match="2 more pasted slices than there are"):
        pool(sources, real=1, pasted=1.1)


def batches(phases, count: int, first_step: int = 0, **options) -> list[dict]:
    options.update(batch_size=4, first_step=first_step)
    dataset = mixed_batches(phases, BRATS, SIZE, 3, 7, **options)
    return list(dataset.take(count).as_numpy_iterator())


def seen(phases, count: int) -> list[tuple[int, int]]:
    """(subject, slice) of every example of so many batches."""
    return [tuple(row) for batch in batches(phases, count) for row in batch["source"].tolist()]


@pytest.mark.parametrize("rule", ["slices", "patients"])
def test_parts_of_the_real_data_are_nested_and_sized(sources, rule):
    counts = [len(file.keep) for file in sources.real]
    ranks = subset_ranks(counts, rule, 1)
    assert [len(each) for each in ranks] == counts
    assert sorted(np.concatenate(ranks)) == list(range(20))
    parts = [np.concatenate(ranks) < round(share * 20) for share in (0.1, 0.2, 0.5)]
    assert [part.sum() for part in parts] == [2, 4, 10]
    assert all((small <= large).all() for small, large in zip(parts, parts[1:]))
    assert not np.array_equal(np.concatenate(subset_ranks(counts, rule, 2)), np.concatenate(ranks))


def test_a_part_by_patients_opens_one_patient_after_the_other():
    for seed in range(5):
        ranks = subset_ranks([4, 6, 10], "patients", seed)
        spans = sorted((each.min(), each.max() + 1 - each.min()) for each in ranks)
        assert sorted(length for _, length in spans) == [4, 6, 10]  # each a range of its own


def test_an_unknown_rule_is_refused():
    with pytest.raises(UserError, match="give slices or patients"):
        subset_ranks([3], "cases", 0)


@pytest.mark.parametrize(
    ("amounts", "sizes"),
    [
        ({"real": 1}, (20, 0, 0)),
        ({"real": 0.1, "synthetic": 2}, (2, 40, 0)),
        ({"real": 0.2, "synthetic": 0.8}, (4, 16, 0)),
        ({"real": 1, "augmented": 0.5}, (20, 0, 10)),
        ({"real": 1, "augmented": 3}, (20, 0, 60)),
        ({"augmented": 1.2}, (0, 0, 24)),
    ],
)
def test_a_pass_holds_every_slice_of_the_mixture_once(sources, amounts, sizes):
    files = pool(sources, **amounts)
    assert number_kept(files) == sum(sizes)
    order = seen([Phase(files, 0)], sum(sizes) // 4)
    real = [pair for pair in order if pair[0] != SYNTHETIC]
    synthetic = sorted(number for subject, number in order if subject == SYNTHETIC)
    whole = len(order) // 4 * 4 == sum(sizes)
    assert len(order) == sum(sizes) // 4 * 4
    if whole:
        assert len(real) == sizes[0] + sizes[2] and synthetic == list(range(sizes[1]))
        copies = max(real.count(pair) for pair in set(real)) if real else 0
        assert copies == int(sizes[0] > 0) + int(np.ceil(amounts.get("augmented", 0)))


def test_mixtures_that_cannot_be_made_are_refused(sources):
    with pytest.raises(UserError, match="20 more synthetic slices than there are; draw more"):
        pool(sources, synthetic=3)
    with pytest.raises(UserError, match="holds no slice"):
        pool(sources, real=0.01)


def test_one_pool_is_shuffled_as_a_whole(sources):
    order = seen([Phase(pool(sources, real=1, synthetic=1), 0)], 10)
    origins = [subject == SYNTHETIC for subject, _ in order]
    assert 4 <= sum(origins[:20]) <= 16  # neither first


def test_the_second_phase_starts_at_its_step(sources):
    phases = [Phase(pool(sources, synthetic=2), 12), Phase(pool(sources, real=0.1), 8)]
    order = seen(phases, 9)
    subjects = [subject for subject, _ in order]
    assert set(subjects[:12]) == {SYNTHETIC} and SYNTHETIC not in subjects[12:]
    assert len(set(order[12:])) == 2  # again and again the two slices


def test_every_example_has_a_seed_of_its_own(sources):
    phases = [Phase(pool(sources, real=1), 0)]
    seeds = np.concatenate([batch["seed"] for batch in batches(phases, 6)])
    assert seeds.shape == (24, 2) and len(np.unique(seeds, axis=0)) == 24
    (later,) = batches(phases, 1, first_step=5)
    np.testing.assert_array_equal(later["seed"], seeds[20:])


def test_starting_later_equals_skipping(sources):
    phases = [
        Phase(pool(sources, synthetic=0.5), 14),  # the phases meet inside a batch
        Phase(pool(sources, real=0.5, augmented=1.5), 0),
    ]
    whole = batches(phases, 9)
    for first in (3, 7):
        tf.random.set_seed(first)
        for expected, found in zip(whole[first:], batches(phases, 9 - first, first)):
            for name in expected:
                np.testing.assert_array_equal(expected[name], found[name], err_msg=name)


def test_an_enhanced_copy_is_the_same_in_every_pass(sources):
    """And differs from its source and, unless both are plain flips, from the next copy."""
    versions: dict = {}
    for batch in batches([Phase(pool(sources, real=1, augmented=2), 0)], 45):
        for source, image in zip(batch["source"].tolist(), batch["images"]):
            versions.setdefault(tuple(source), []).append(image.tobytes())
    assert len(versions) == 20
    different = [len(set(each)) for each in versions.values()]
    assert max(different) == 3 and sum(different) > 2.7 * 20
    assert {len(each) for each in versions.values()} == {9}  # 45 * 4 / 20: three passes of three


def test_shards_in_replica_order_are_the_whole_stream(sources):
    phases = [Phase(pool(sources, synthetic=1), 10), Phase(pool(sources, real=1), 0)]
    whole = batches(phases, 4)
    shards = [batches(phases, 4, shard=(index, 2, 1)) for index in (0, 1)]
    for expected, *parts in zip(whole, *shards):
        together = np.concatenate([part["source"] for part in parts])
        np.testing.assert_array_equal(together, expected["source"])
