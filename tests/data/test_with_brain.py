"""BRATS with normal brain as a class: which slices count as slices with a lesion."""

from __future__ import annotations

import numpy as np
import pytest

from data.brats.dataset import BRATS
from data.brats.slices import SliceConfig
from data.brats.with_brain import BRATS_WITH_BRAIN
from data.pipeline import lesion_labels
from data.shards import prepare_shards
from tests.data.trees import write_tree

SHAPE = (6, 26, 20)
SLICING = SliceConfig(slices=(1, 5), rows=(1, 25), columns=(2, 18), frame=SHAPE)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> dict:
    """The same tree as both data sets."""
    folder = tmp_path_factory.mktemp("brain")
    write_tree(folder / "data", "flat2015", shape=SHAPE)
    found = {}
    for data in (BRATS, BRATS_WITH_BRAIN):
        cases = data.find(folder / "data", SLICING)
        found[data.name] = prepare_shards(data, cases, SLICING, folder / "cache", progress=False)
    return found


def test_brain_is_no_lesion(prepared):
    plain, brain = prepared["brats"], prepared["brats_with_brain"]
    assert plain.directory != brain.directory
    assert brain.lesions_per_subject == plain.lesions_per_subject
    ids = plain.subject_ids
    assert len(lesion_labels(brain, ids)) == len(lesion_labels(plain, ids))


def test_lesions_lie_where_they_lay(prepared):
    ids = prepared["brats"].subject_ids
    plain, brain = (lesion_labels(found, ids) for found in prepared.values())
    np.testing.assert_array_equal(brain >= 2, plain >= 1)
    np.testing.assert_array_equal(brain == 2, plain == 2)
    np.testing.assert_array_equal(brain == 4, plain == 4)


def test_the_lesion_of_a_label_has_its_own_classes_alone():
    label = np.array([[0, 1, 2], [4, 1, 3]])
    np.testing.assert_array_equal(BRATS_WITH_BRAIN.lesion_of(label), [[0, 0, 2], [4, 0, 3]])
