"""SAMR's Fig. 3: which slices are shown, and what each column is."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from data.slice_sets import Slices
from experiments.engine.cli import main
from experiments.tables.samr.figure3 import COLUMNS, FIGURE3, changes, donor_of, largest
from utils.errors import UserError

TUMOUR = range(3, 5)


def label_with(rows: slice, columns: slice, value: int = 3) -> np.ndarray:
    label = np.zeros((40, 40), int)
    label[2:38, 4:36] = 1
    label[rows.start - 2 : rows.stop + 2, columns.start - 2 : columns.stop + 2] = 2
    label[rows, columns] = value
    return label


OWN = label_with(slice(10, 16), slice(10, 18))
DONOR = label_with(slice(28, 32), slice(24, 30), 4)
HEALTHY = np.minimum(OWN, 1)


def slices() -> Slices:
    """Patient 0: healthy, own lesion twice; patient 1: donor's lesion at another height."""
    label = np.stack([HEALTHY, OWN, np.where(OWN == 3, 2, OWN), DONOR, DONOR])
    images = np.zeros((5, 40, 40, 4))
    subjects, index = np.array([0, 0, 0, 1, 1]), np.array([70, 80, 81, 60, 77])
    return Slices(images, label, subjects=subjects, index=index)


def test_each_patient_is_shown_by_its_largest_tumour():
    assert largest(slices(), TUMOUR, 5) == [1, 3]
    assert largest(slices(), TUMOUR, 1) == [1]
    with pytest.raises(UserError, match="No held-out patient has a tumour"):
        largest(slices().choose(np.array([0, 2])), TUMOUR, 1)


def test_the_donor_is_another_patients_nearest_slice():
    assert donor_of(slices(), 1, 2, np.random.default_rng(0)) == 4
    alone = slices().choose(np.arange(3))
    assert donor_of(alone, 1, 2, np.random.default_rng(0)) == 1


def test_columns_are_what_they_say():
    maps = dict(zip(COLUMNS, changes(OWN, DONOR, TUMOUR, 2)))
    area = {name: np.isin(label, TUMOUR).sum() for name, label in maps.items()}
    np.testing.assert_array_equal(maps["own"], OWN)
    np.testing.assert_array_equal(maps["mirrored"], OWN[:, ::-1])
    assert area["enlarged"] == 2 * area["own"] and area["shrunk"] == area["own"] / 2
    np.testing.assert_array_equal(maps["replaced"], DONOR)
    places = [np.argwhere(np.isin(maps[name], TUMOUR)).mean(axis=0) for name in ("own", "moved")]
    assert np.abs(places[1] - places[0]).max() == 6 and area["moved"] == area["own"]
    np.testing.assert_array_equal(maps["combined"], np.maximum(OWN, DONOR))


def test_the_figure_has_a_column_for_each_change(samr_run, tmp_path):
    words = ("--preset", "tiny", "--run", str(samr_run), "--out", str(tmp_path / "out"))
    assert main(FIGURE3, words) == 0
    picture = tf.io.decode_png((tmp_path / "out" / "figure3_samr.png").read_bytes()).numpy()
    width, gap = 2 * 24, 2  # of the tiny preset's slices, enlarged
    titles = picture.shape[1] - 8 * (width + gap) + gap
    assert 20 < titles < 100 and picture.shape[0] > 5 * 2 * 32
    assert "mirrored" in (tmp_path / "out" / "figure3_samr.md").read_text()
