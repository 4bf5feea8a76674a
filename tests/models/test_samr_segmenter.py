"""SAMR's judge: soft Dice of all labels."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.samr.config import LabelNetConfig
from models.samr.segmenter import LabelNet
from tests.models.harness import LONG, SystemTests
from tests.models.test_samr import batch_of, reference_dice
from utils.errors import UserError


class TestLabelNet(SystemTests):
    groups, parameters, rate, slow = {"S": ["S"]}, {"S": 717}, 1e3, LONG

    def build(self):
        return LabelNet(LabelNetConfig(levels=2, width=2), 4, 5, total_steps=10)

    def batch(self, samples=2, seed=0):
        return batch_of(samples, seed)

    def reference(self, system, batch):
        found = system.networks["S"](2 * batch["images"] - 1, training=True)
        return {"S": {"S/dice": reference_dice(found, tf.one_hot(batch["label"][..., 0], 5))}}


def test_labels_are_the_most_probable_ones_at_rest():
    system, batch = TestLabelNet().build(), batch_of()
    found = system.synthesize(batch)["labels"]
    probabilities = system.networks["S"](2 * batch["images"] - 1, training=False)
    np.testing.assert_array_equal(found[..., 0], np.argmax(probabilities, -1))
    assert found.shape == (2, 32, 24, 1)


def test_settings_out_of_range_are_refused():
    with pytest.raises(UserError, match="--segmenter.levels is 1; give"):
        LabelNetConfig(levels=1)
