"""The four segmenters: one step against the loss, their sizes, offsets and labels."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.lesions import Segmentation
from tests.models.harness import LONG, SystemTests
from tests.models.toys import assert_step_equals, random_batch, reference_lesion, tiny_segmentation

NAMES = [f"G_l{i}" for i in range(4)]


class TestSegmentation(SystemTests):
    groups = {"G": NAMES}
    # The table's 17,947 are for four conditions more, 9 * 4 * 16, four outputs less, 4 * (36 + 3).
    parameters = dict.fromkeys(NAMES, 17_947 - 576 + 156)
    split_rate = 1e-5
    slow, build = LONG, staticmethod(tiny_segmentation)

    def reference(self, system, batch):
        networks, data = system.networks.values(), (batch["images"], batch["label"])
        lesions = [reference_lesion(network, i, *data) for i, network in enumerate(networks)]
        return {"G": {f"G/lesion_{i}": lesion for i, lesion in enumerate(lesions)}}


def test_cross_entropy_trains_the_logits():
    system, batch = tiny_segmentation(loss="cross_entropy"), random_batch()
    weights = np.array([2.5, 25.0, 125.0, 125.0, 125.0], np.float32)

    def reference():
        label, terms = batch["label"][..., 0].numpy(), {}
        for i in range(4):
            powers = tf.exp(system.networks[f"G_l{i}"](batch["images"][..., i : i + 1]))
            shares = powers / tf.reduce_sum(powers, -1, keepdims=True)
            losses = -tf.math.log(tf.reduce_sum(shares * np.eye(5)[label], -1))
            terms[f"G/lesion_{i}"] = tf.reduce_mean(weights[label] * losses)
        return {"G": terms}

    assert_step_equals(system, batch, reference)


@pytest.fixture(scope="module")
def untrained() -> Segmentation:
    return tiny_segmentation()


def test_optimiser_of_the_thesis(untrained):
    adam = untrained.optimizers["G"].get_config()
    names = ("learning_rate", "beta_1", "beta_2", "epsilon", "decay")
    assert [adam[name] for name in names] == pytest.approx([1e-5, 0.5, 0.999, 1e-8, 0.0], rel=1e-6)


def test_output_offsets_of_the_classes(untrained):
    """The thesis starts all classes alike; a guess of their frequency is an option."""
    norm = untrained.networks["G_l3"].output_unit.norm
    assert list(norm.offset.numpy()) == [0.0] * 5
    guess = tiny_segmentation(output_offset=(2.0, -2.0, -3.0, -4.0, -5.0))
    offsets = [guess.networks[f"G_l{i}"].output_unit.norm.offset.numpy() for i in (0, 3)]
    np.testing.assert_array_equal(offsets, [[2.0, -2.0, -3.0, -4.0, -5.0]] * 2)


def test_labels_are_the_most_probable_classes(untrained):
    images = random_batch()["images"]
    labels = untrained.synthesize({"images": images})["labels"]
    assert labels.shape == (2, 32, 24, 4) and labels.dtype == tf.int32
    expected = untrained.networks["G_l2"](images[..., 2:3]).numpy().argmax(-1)
    np.testing.assert_array_equal(labels[..., 2], expected)


def test_one_network_may_see_all_modalities():
    system = Segmentation(tiny_segmentation().config, "four_channel")
    (network,) = system.networks.values()
    batch = random_batch()
    scores = system.class_scores(batch["images"])
    np.testing.assert_array_equal(scores[:, 0], network(batch["images"]))
    labels = system.synthesize(batch)["labels"]
    assert scores.shape == (2, 1, 32, 24, 5) and labels.shape == (2, 32, 24, 1)
    assert set(system.train_step(batch)) == {"loss/G", "G/lesion_0", "gradient_norm/G"}
