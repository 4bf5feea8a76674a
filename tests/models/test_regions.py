"""The segmenters of volumes: sizes, regions, what they see, and the system's standard."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.mm_gan_3d.regions import Regions, RegionsConfig
from models.networks.context_unet import ContextUNetSpec, build_context_unet
from tests.models.harness import LONG, SystemTests
from tests.models.test_mm_gan import volumes
from utils.errors import UserError

SIZE = (8, 16, 8)
REGIONS = ((1, 2, 4), (1, 4), (4,))
SMALL = RegionsConfig(width=2, levels=3, heads=2, drop=0.0)


class TestContext(SystemTests):
    groups = {"S": ["S"]}
    parameters = {"S": 8_054}
    split_rate = 0.1
    size = SIZE
    slow = LONG

    def build(self):
        return Regions(SMALL, (0,), REGIONS, total_steps=100)

    def batch(self, samples=2, seed=0):
        return volumes(samples, seed, SIZE)

    def reference(self, system, batch):
        found = system.networks["S"](2 * batch["images"] - 1, batch["seed"])
        probability = 1 / (1 + tf.exp(-found))
        label, dice = batch["label"][..., 0], []
        masks = ((label > 0), (label == 1) | (label == 4), (label == 4))
        for k, mask in enumerate(masks):
            m, p = tf.cast(mask, tf.float32), probability[..., k]
            axes = [1, 2, 3]
            both, sizes = tf.reduce_sum(m * p, axes), tf.reduce_sum(m + p, axes)
            dice.append((2 * both + 1e-5) / (sizes + 1e-5))
        return {"S": {"loss/S": 1 - tf.reduce_mean(tf.stack(dice))}}


def test_the_published_size():
    """Ellis' code for four modalities and three regions."""
    network = build_context_unet(ContextUNetSpec(), 4, "S")
    assert network.count_params() == 8_269_561


def test_the_network_made_like_the_generator_sees_its_modality_alone():
    config = RegionsConfig(network="generator", width=2)
    system = Regions(config, (2,), REGIONS, total_steps=10)
    batch = volumes(1, 0, SIZE)
    images = tf.concat([batch["images"]] * 4, axis=-1)
    other = images + tf.constant([0.5, 0.5, 0.0, 0.5])
    kept, seen, changed = (
        system.synthesize({"images": part})["regions"].numpy()
        for part in (images, other, images + tf.random.uniform(images.shape))
    )
    assert kept.shape == (1, *SIZE, 3) and set(np.unique(kept)) <= {0, 1}
    np.testing.assert_array_equal(kept, seen)
    assert np.any(kept != changed)


def test_training_zeroes_whole_channels_by_the_seed():
    network = build_context_unet(ContextUNetSpec(2, 2, 1, drop=0.5, outputs=1), 1, "S")
    x, seeds = tf.random.uniform([2, 4, 4, 4, 1]), tf.constant([[1, 2], [3, 4]])
    still, first, again = (network(x, seeds, training=on).numpy() for on in (False, True, True))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != still)
    other = network(x, seeds[::-1], training=True).numpy()
    assert np.any(other != first)


@pytest.mark.parametrize(
    "options", [{"heads": 5}, {"drop": 1.0}, {"levels": 1}, {"network": "v"}, {"width": 0}]
)
def test_impossible_settings_are_refused(options):
    with pytest.raises(UserError, match=f"--regions.{next(iter(options))}"):
        RegionsConfig(**options)
