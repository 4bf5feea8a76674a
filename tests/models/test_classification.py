"""The classifier that guides: one step against the loss, its accuracy, its guidance at rest."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.structure_gan.classification import Classification, ClassificationConfig
from tests.models.harness import LONG, SystemTests
from tests.models.toys import random_batch, values
from utils.errors import UserError

SIZE = (64, 48)


def build(channels: int = 4, classes: int = 5, **options) -> Classification:
    config = ClassificationConfig(**{"width": 2, "learning_rate": 1e-3, **options})
    return Classification(config, channels, classes, total_steps=10)


def batch_of(samples: int = 2, seed: int = 0) -> dict:
    """Random images whose label maps are constant."""
    batch = random_batch(samples, seed, SIZE)
    classes = batch["label"][:, :1, :1]
    return {**batch, "label": tf.tile(classes, [1, *SIZE, 1])}


def plain_entropy(logits, label) -> tf.Tensor:
    shares = tf.exp(logits) / tf.reduce_sum(tf.exp(logits), -1, keepdims=True)
    right = tf.reduce_sum(shares * np.eye(5)[label[:, 0, 0, 0].numpy()].astype(np.float32), -1)
    return -tf.reduce_mean(tf.math.log(right))


class TestClassification(SystemTests):
    groups = {"G": ["G_l"]}
    # Of the table's 144,611 at n = 8, a sixteenth of the 3x3 weights but for the rows of the ends.
    parameters = {"G_l": 9 * 4 * 2 + 9 * 4 * (2 + 8 + 16 + 32 + 64 * 3) + 43 * 2 + 16 * 5 + 5}
    parameters["G_l"] += 4 * 43 * 2  # of the norms: scale, offset and two statistics
    rate, size, slow = 1.0, SIZE, LONG
    build = staticmethod(build)

    def batch(self, samples=2, seed=0):
        return batch_of(samples, seed)

    def reference(self, system, batch):
        logits = system.networks["G_l"](batch["images"], training=True)
        return {"G": {"G/lesion": plain_entropy(logits, batch["label"])}}


def test_dense_head_trains_by_the_seeds_of_the_batch():
    batch, losses = batch_of(), []
    system = build(width=1, head="fc", norm="none")
    start = system.networks["G_l"].get_weights()
    for seeds in (batch["seed"], batch["seed"], batch["seed"] + 1):
        system.networks["G_l"].set_weights(start)
        losses.append(float(system.train_step({**batch, "seed": seeds})["loss/G"]))
    assert losses[0] == losses[1] != losses[2]


def test_accuracy_is_the_share_of_right_classes():
    system, batch = build(), batch_of(4)
    found = system.networks["G_l"](batch["images"], training=True).numpy().argmax(-1)
    for shift, expected in (([0, 0, 0, 0], 1.0), ([0, 1, 1, 1], 0.25)):
        classes = (found + shift) % 5
        label = tf.tile(tf.constant(classes, tf.int32)[:, None, None, None], [1, *SIZE, 1])
        again = build()
        again.networks["G_l"].set_weights(system.networks["G_l"].get_weights())
        terms = again.train_step({**batch, "label": label})
        assert float(terms["accuracy/G_l"]) == expected


def test_guidance_reaches_the_image_and_changes_nothing():
    system, batch = build(), batch_of()
    system.train_step(batch)  # moves the statistics away from their start
    network, images = system.networks["G_l"], batch["images"]
    before = values(network.variables)
    with tf.GradientTape() as tape:
        tape.watch(images)
        terms = system.guidance(images, {"label": batch["label"]})
    assert set(terms) == {"G/lesion"}
    expected = plain_entropy(network(images, training=False), batch["label"])
    assert float(terms["G/lesion"]) == pytest.approx(float(expected), rel=1e-5)
    assert np.abs(tape.gradient(terms["G/lesion"], images)).max() > 1e-6
    assert all(map(np.array_equal, before, values(network.variables)))
    alone = system.guidance(images[:1], {"label": batch["label"][:1]})["G/lesion"]
    other = system.guidance(images[1:], {"label": batch["label"][1:]})["G/lesion"]
    assert float(alone + other) / 2 == pytest.approx(float(expected), rel=1e-4)


def test_labels_are_the_most_probable_classes_at_rest():
    system, batch = build(), batch_of()
    found = system.synthesize({"images": batch["images"]})
    assert found["labels"].shape == (2,) and found["labels"].dtype == tf.int32
    logits = system.networks["G_l"](batch["images"], training=False).numpy()
    np.testing.assert_array_equal(found["labels"], logits.argmax(-1))
    powers = np.exp(logits)
    shares = powers / powers.sum(-1, keepdims=True)
    np.testing.assert_allclose(found["probabilities"], shares, rtol=1e-5)


def test_training_tells_bright_from_dark():
    system = build(channels=1, classes=2, width=4, learning_rate=1e-2)
    step = tf.function(system.train_step, autograph=False)
    label = tf.constant([0, 1, 0, 1])[:, None, None, None] * tf.ones([4, *SIZE, 1], tf.int32)
    images = 0.2 + 0.5 * tf.cast(label, tf.float32) + 0.3 * batch_of(4)["images"][..., :1]
    batch = {"images": images, "label": label, "seed": batch_of(4)["seed"]}
    terms = [step(batch) for _ in range(15)]
    assert float(terms[-1]["loss/G"]) < 0.2 * float(terms[0]["loss/G"])
    assert float(terms[-1]["accuracy/G_l"]) == 1.0


@pytest.mark.parametrize(
    "options, named",
    [
        ({"width": 0}, "width is 0"),
        ({"head": "mean"}, "head is 'mean'; give one of gap, fc"),
        ({"norm": "instance"}, "norm is 'instance'; give one of none, batch"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(options, named):
    with pytest.raises(UserError, match=f"--classification.{named}"):
        ClassificationConfig(**options)
