"""Modalities by the paper's index, and S on each kind of input."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from data.brats.names import MODALITIES
from models.tc_mgan import modalities
from models.tc_mgan.config import EVALUATION, SegmenterConfig
from models.tc_mgan.segmenter import Segmenter
from tests.models.harness import LONG, SystemTests
from tests.models.toys import random_batch
from utils.images import to_unit

SIZE = (32, 32)


def batch_of(samples: int = 2, seed: int = 0) -> dict:
    return random_batch(samples, seed, SIZE)


def tiny_segmenter(inputs: str = "labelled_target", **options) -> Segmenter:
    return Segmenter(SegmenterConfig(**{"width": 2, **options}), inputs)


def reference_dice(probabilities, mask) -> tf.Tensor:
    """The mean over samples of 1 - (2 I + 1) / (A + B + 1)."""
    losses = []
    for p, m in zip(probabilities, mask):
        overlap, sizes = tf.reduce_sum(p * m), tf.reduce_sum(p) + tf.reduce_sum(m)
        losses.append(1 - (2 * overlap + 1) / (sizes + 1))
    return tf.reduce_mean(losses)


def tumour_of(batch: dict) -> tf.Tensor:
    return tf.constant((batch["label"].numpy() > 0).astype(np.float32))


def test_modalities_are_counted_as_in_the_paper():
    """FLAIR, T1ce, T1 from T2, whatever the order of the project's channels."""
    assert modalities.TARGETS == ("Flair", "T1c", "T1")
    assert [MODALITIES[c] for c in modalities.TARGET_CHANNELS] == list(modalities.TARGETS)
    assert MODALITIES[modalities.SOURCE_CHANNEL] == "T2"


def test_a_pair_holds_source_target_label_and_whole_tumour():
    batch = batch_of(4)
    index = [2, 0, 1, 2]
    x, y, c, tumour, label = modalities.pair_of(batch, tf.constant(index))
    images = batch["images"].numpy()
    np.testing.assert_allclose(x, 2 * images[..., [MODALITIES.index("T2")]] - 1, rtol=1e-6)
    names = ("T1", "Flair", "T1c", "T1")  # of the index
    for i, name in enumerate(names):
        expected = 2 * images[i, ..., MODALITIES.index(name)] - 1
        np.testing.assert_allclose(y[i, ..., 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(c, np.eye(3)[index])
    np.testing.assert_array_equal(tumour, tumour_of(batch))
    np.testing.assert_array_equal(label, batch["label"])
    np.testing.assert_allclose(to_unit(x), images[..., 1:2], atol=1e-6)


def test_targets_are_drawn_for_each_sample_by_its_seed():
    seeds = tf.constant(np.random.default_rng(0).integers(0, 2**31, (600, 2)), tf.int32)
    drawn = modalities.draw_targets(seeds).numpy()
    assert np.bincount(drawn).min() > 160 and drawn.max() == 2
    np.testing.assert_array_equal(drawn[300:], modalities.draw_targets(seeds[300:]))


def test_synthetic_modalities_take_the_places_of_the_real_ones():
    images, synthetic = batch_of()["images"], tf.reshape(tf.range(2.0 * 32 * 32 * 3), [2, *SIZE, 3])
    replaced = modalities.replace_targets(images, synthetic).numpy()
    np.testing.assert_array_equal(replaced[..., 1], images[..., 1])
    for i, name in enumerate(modalities.TARGETS):
        np.testing.assert_array_equal(replaced[..., MODALITIES.index(name)], synthetic[..., i])


def seen_by(inputs: str, batch: dict) -> tuple:
    """What S is given: image in [-1,1] and label."""
    if inputs == "labelled_target":
        pair = modalities.pair_of(batch, modalities.draw_targets(batch["seed"]))
        return pair.y, pair.c
    signed = 2 * batch["images"] - 1
    return (signed[..., 1:2] if inputs == "source" else signed), None


class TestSegmenter(SystemTests):
    groups, parameters = {"S": ["S"]}, {"S": 6_393}
    rate, size, inputs = 1.0, SIZE, "labelled_target"

    def build(self):
        return tiny_segmenter(self.inputs)

    def reference(self, system, batch):
        found = system.networks["S"](*seen_by(self.inputs, batch), training=True)
        return {"S": {"loss/S": reference_dice(found, tumour_of(batch))}}


class TestFourChannels(TestSegmenter):
    inputs, slow = "four_channel", LONG


class TestSource(TestSegmenter):
    inputs, parameters = "source", {"S": 6_393 - 9 * 3 * 2}  # no label
    slow = LONG


@pytest.mark.parametrize("inputs", ["labelled_target", "four_channel", "source"])
def test_synthesis_shows_the_whole_tumour(inputs):
    system, batch = tiny_segmenter(inputs), batch_of()
    found = system.synthesize(batch)
    expected = system.networks["S"](*seen_by(inputs, batch), training=False)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    np.testing.assert_array_equal(found["labels"], (expected.numpy() > 0.5).astype(np.int32))
    assert found["labels"].shape == (2, *SIZE, 1) and found["labels"].dtype == tf.int32


def test_a_compiled_segmenter_learns_a_bright_square():
    system, batch = tiny_segmenter("source", width=8, learning_rate=1e-2), batch_of(4)
    label = np.zeros((4, *SIZE, 1), np.int32)
    label[:, 8:20, 8:20] = 2
    images = 0.2 * batch["images"] + 0.7 * (label > 0)
    batch = {**batch, "images": images, "label": tf.constant(label)}
    step = tf.function(system.train_step, autograph=False)
    losses = [float(step(batch)["loss/S"]) for _ in range(40)]
    assert losses[0] > 0.5 and losses[-1] < 0.15


def test_optimisers():
    """S starts with the released code's rate, the evaluation nets with the paper's."""
    names = ("learning_rate", "beta_1", "beta_2", "epsilon")
    for config, rate in ((SegmenterConfig(width=1), 1e-4), (EVALUATION, 1e-3)):
        adam = Segmenter(SegmenterConfig(1, config.learning_rate)).optimizers["S"].get_config()
        assert [adam[n] for n in names] == pytest.approx([rate, 0.9, 0.999, 1e-8], rel=1e-6)
    assert EVALUATION.width == SegmenterConfig().width == 64
