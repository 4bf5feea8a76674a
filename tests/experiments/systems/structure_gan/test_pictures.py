"""The grid of translations: which slice it shows, and where each translation stands."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from data.brats.dataset import BRATS
from data.slice_sets import Slices
from experiments.systems.structure_gan import pictures
from models.networks.modalities import TRANSLATIONS


def test_translations_stand_in_the_row_of_their_target_and_column_of_their_source(monkeypatch):
    images = np.zeros((3, 8, 6, 4), np.float32)
    images[1] = [0.1, 0.2, 0.3, 0.4]
    label = np.zeros((3, 8, 6), np.int32)
    label[0, 0, 0], label[1, :2, :2] = 1, 4
    values = 0.5 + 0.01 * np.arange(12, dtype=np.float32)

    def synthesize(batch: dict) -> dict:
        np.testing.assert_array_equal(batch["images"], images[1:2])  # the largest lesion
        shown = np.ones((1, 12, 8, 6, 1), np.float32) * values[:, None, None, None]
        return {"translations": tf.constant(shown)}

    shown = []
    monkeypatch.setattr(pictures, "grid", lambda rows, **titles: shown.append((rows, titles)))
    pictures.translations_of(synthesize, Slices(images, label), BRATS)
    ((rows, titles),) = shown
    assert titles["titles"] == BRATS.channels and len(titles["headers"]) == 5
    corner = np.array([[cell[-1, -1, 0] for cell in row] for row in rows]) / 255
    expected = np.repeat(images[1, 0, 0][:, None], 5, axis=1)
    for (source, target), value in zip(TRANSLATIONS, values):
        expected[target, 1 + source] = value
    np.testing.assert_allclose(corner, expected, atol=0.003)
