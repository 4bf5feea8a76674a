"""Another data set than BRATS, three channels without label, on its way to training batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.augmentation import Augmentation
from data.contract import check_batch
from data.pipeline import (
    RandomMaps,
    evaluation_batches,
    lesion_labels,
    training_batches,
)
from data.shards import prepare_shards
from data.splits import split_subjects
from data.structure_maps.cutting import MapConfig
from data.structure_maps.extraction import structure_and_outside
from tests.data.second import PICTURES, SECOND, Window, prepare
from utils.errors import UserError

MOVED = Augmentation(mirror=True, rotation=10.0)
VOLUMES = replace(SECOND, rank=3)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Two visits of each of two patients."""
    cache = tmp_path_factory.mktemp("second")
    cases = SECOND.find(SECOND.phantoms["stripes"].make(cache, 4, 1), Window())
    return prepare_shards(SECOND, cases, Window(), cache, False)


def first(prepared, **options) -> dict[str, np.ndarray]:
    options = {"maps": MapConfig(), "seed": 3, "batch_size": 4, **options}
    batches = training_batches(prepared, prepared.subject_ids, **options)
    return next(batches.as_numpy_iterator())


def test_every_slice_is_read_as_it_was_prepared(prepared, tmp_path):
    cases = SECOND.find(SECOND.phantoms["stripes"].make(tmp_path, 4, 1), Window())
    assert prepared.subject_ids == ("p00-0", "p00-1", "p01-0", "p01-1")
    assert prepared.size == (16, 16) and prepared.slices_per_subject == (PICTURES,) * 4
    for number, case in enumerate(cases):
        (batch,) = evaluation_batches(prepared, [case.id], 8).as_numpy_iterator()
        np.testing.assert_allclose(batch["images"], prepare(case, Window()).images, atol=8e-6)
        assert batch["source"].tolist() == [[number, i] for i in range(PICTURES)]
        check_batch(batch, SECOND, ("images", "source"))
    split = split_subjects(prepared.subject_ids, 0.5, seed=0, patient_of=SECOND.patient_of)
    assert [len(split.train), len(split.test), len(split.unused)] == [2, 2, 0]
    assert {verdict.problems for verdict in SECOND.verify(cases, Window(), tmp_path)} == {()}


@pytest.mark.parametrize("modality", ["G", "random"])
def test_training_batches_have_maps_of_its_own_constants_and_no_label(prepared, modality):
    maps = MapConfig(modality=modality)
    batch = first(prepared, maps=maps, augmentation=MOVED, unpaired=True)
    assert set(batch) == {"images", "unpaired_images", "structure", "outside", "seed", "source"}
    check_batch(batch, SECOND)
    constants = maps.constants(SECOND)
    assert constants.mask_median == 17  # of DRIVE and FIRE
    channels = np.split(batch["images"], 3, axis=-1)
    cut = np.stack([structure_and_outside(x, None, constants)[0] for x in channels])
    same = (cut == batch["structure"]).all(axis=(2, 3, 4))  # [3,B]
    assert same.any(axis=0).all() and batch["structure"].any()
    assert modality == "random" or same[1].all()


def test_what_needs_a_label_is_refused(prepared):
    maps = RandomMaps(*(np.zeros((1, 16, 16, 1), np.uint8),) * 3, augment=False)
    for name, call in (
        ("random labels", lambda: first(prepared, random_maps=maps)),
        ("lesion labels", lambda: lesion_labels(prepared, prepared.subject_ids)),
    ):
        with pytest.raises(UserError, match=f"photographs has no label, which {name} need"):
            call()
    with pytest.raises(UserError, match="photographs has no class 'enhancing'"):
        first(prepared, repeats={"enhancing": 1})
    with pytest.raises(UserError, match="--maps.modality is 'T1'; give one of random, R, G, B"):
        first(prepared, maps=MapConfig(modality="T1"))


def test_volumes_pass_whole_and_nothing_is_cut_from_or_moved_in_them(tmp_path):
    dataset = replace(VOLUMES, size=lambda config: (PICTURES, config.side, config.side))
    dataset = replace(dataset, prepare=as_volume, most_slices=lambda config: 1)
    cases = SECOND.find(SECOND.phantoms["stripes"].make(tmp_path, 2, 1), Window())
    prepared = prepare_shards(dataset, cases, Window(), tmp_path, progress=False)
    batch = first(prepared, maps=None)
    assert batch["images"].shape == (4, PICTURES, 16, 16, 3)
    check_batch(batch, dataset, ("images", "seed", "source"))
    for options in ({"maps": MapConfig()}, {"maps": None, "augmentation": MOVED}):
        with pytest.raises(UserError, match="in two dimensions only, but the data set photographs"):
            first(prepared, **options)


def as_volume(case, config):
    slices = prepare(case, config)
    return slices._replace(images=slices.images[None], index=slices.index[:1])
