"""The phantom after an operation: its files, its labels, and how they look in each sequence."""

from __future__ import annotations

import numpy as np
import pytest

from data.brats.phantom_kinds import POSTSURGICAL
from data.brats.slices import SliceConfig
from data.nnunet.description import read_description
from data.nnunet.postsurgical import (
    CAVITY,
    DESCRIPTION,
    OEDEMA_LABEL,
    POSTSURGICAL_DATA,
    SEQUENCES,
    TUMOUR,
    postsurgical_subject,
)


@pytest.fixture(scope="module")
def subject() -> dict:
    return postsurgical_subject(0, 1, POSTSURGICAL)


def test_every_label_is_there_and_the_background_is_black(subject):
    label = subject["label"]
    assert set(np.unique(label)) == {0, 1, 2, 3, 4}
    for name in SEQUENCES:
        np.testing.assert_array_equal(subject[name] == 0, label == 0)
        assert subject[name].shape == (155, 240, 240)


def test_contrasts_are_those_of_such_sequences(subject):
    label = subject["label"]

    def ratio(name: str, value: int) -> float:
        return subject[name][label == value].mean() / subject[name][label == 1].mean()

    assert ratio("Gd-T1", TUMOUR) > ratio("T1", TUMOUR)
    assert ratio("FLAIR", OEDEMA_LABEL) > 1.3 and ratio("T2", OEDEMA_LABEL) > 1.1
    assert ratio("T2", CAVITY) > 1.3 and ratio("FLAIR", CAVITY) < 0.8 and ratio("T1", CAVITY) < 0.6
    assert ratio("APTw", TUMOUR) > 1.4 and ratio("APTw", OEDEMA_LABEL) < 1.3


def test_the_phantom_is_a_raw_folder_that_is_read(tmp_path):
    folder = POSTSURGICAL_DATA.phantoms["postsurgical"].make(tmp_path, 1, 0)
    assert read_description(folder) == DESCRIPTION
    (case,) = POSTSURGICAL_DATA.find(folder, SliceConfig())
    slices = POSTSURGICAL_DATA.prepare(case, SliceConfig())
    assert slices.images.shape == (50, 184, 144, 5) and set(np.unique(slices.label)) >= {0, 1, 3, 4}
    again = postsurgical_subject(0, 0, POSTSURGICAL)
    np.testing.assert_array_equal(slices.label, again["label"][55:105, 38:222, 48:192])
