"""More workers than files: all read the same files, each decodes its own share of the slices."""

from __future__ import annotations

from itertools import islice

import pytest

from data.pipeline import training_batches
from data.structure_maps.cutting import MapConfig
from tests.data.trees import prepare, write_tree


@pytest.fixture(scope="module")
def one_file(tmp_path_factory):
    """Prepared slices of which the first patient's file is used."""
    folder = tmp_path_factory.mktemp("sharding")
    return prepare(write_tree(folder / "data", "flat2015"), folder / "cache")


def batches(prepared, workers: int, index: int, count: int) -> list[dict]:
    maps = MapConfig(modality="T1", structure_median=1, mask_zoom=0)
    patient = prepared.subject_ids[:1]
    arguments = {"batch_size": 6, "shard": (index, workers, 1)}
    dataset = training_batches(prepared, patient, maps, 3, **arguments)
    return list(islice(dataset.as_numpy_iterator(), count))


@pytest.mark.parametrize("workers", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_one_file_feeds_any_number_of_workers(one_file, workers):
    steps = 4
    whole = batches(one_file, 1, 0, steps)
    shares = [batches(one_file, workers, index, steps) for index in range(workers)]
    assert len({tuple(row) for batch in whole for row in batch["source"].tolist()}) == 4
    for step in range(steps):
        for name in ("source", "seed"):
            dealt = [row for share in shares for row in share[step][name].tolist()]
            assert dealt == whole[step][name].tolist()
