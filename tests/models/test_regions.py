"""The segmenters of volumes: sizes, regions, what they see, and the system's standard."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from data.brats.volumes import BRATS_VOLUMES
from data.cropping import volume_size
from data.liver_ct.dataset import LIVER_VOLUMES
from experiments.configs import mm_gan, mm_gan_tables
from models.mm_gan_3d.regions import Regions, RegionsConfig
from models.networks.cascade import build_cascade, seen_as
from models.networks.context_unet import ContextUNetSpec, build_context_unet
from tests.models.harness import LONG, SystemTests
from tests.models.test_mm_gan import volumes
from utils.errors import UserError

SIZE = (8, 16, 8)
PUBLISHED = {
    "brain": (mm_gan_tables.TABLE1, mm_gan.PRESETS, BRATS_VOLUMES),
    "liver": (mm_gan_tables.TABLE2, mm_gan.LIVER_PRESETS, LIVER_VOLUMES),
}
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


class TestCascade(SystemTests):
    groups = {"S": ["S"]}
    # A view of n = 2: 2 channels in; kernels, biases, scales and offsets.
    parameters = {"S": 9 * (42 + 42 + 18 + 84 + 156 + 60 + 78 + 78 + 3)}
    split_rate = 0.1
    size = SIZE
    slow = LONG

    def build(self):
        return Regions(RegionsConfig(network="cascade", width=2), (0,), REGIONS, total_steps=100)

    def batch(self, samples=2, seed=0):
        return volumes(samples, seed, SIZE)


def test_a_cascade_finds_nested_regions_and_learns_inside_of_the_true_one():
    network = build_cascade(2, 1, 2, "S")
    x = tf.random.normal([1, 4, 6, 8, 1])
    found = network(x).numpy()
    assert found.shape == (1, 4, 6, 8, 2) and np.any(found[..., 0] > 0.5)
    assert not found[..., 1][found[..., 0] <= 0.5].any()
    masks = np.zeros((1, 4, 6, 8, 2), np.float32)
    masks[0, 1:3, 2:4, 3:6, 0] = 1
    inner = network(x, tf.constant(masks))[..., 1].numpy()
    np.testing.assert_array_equal(inner > 0, masks[..., 0] > 0)


def test_the_views_of_a_cascade_are_those_of_the_turned_volume():
    """The coronal network finds in a volume what it finds as the axial one of the turned volume."""
    network = build_cascade(1, 1, 1, "S")
    coronal, axial = network.views[0]["coronal"], network.views[0]["axial"]
    x = tf.random.normal([1, 4, 6, 8, 2])
    expected = tf.transpose(tf.sigmoid(coronal(tf.transpose(x, [0, 2, 1, 3, 4]))), [0, 2, 1, 3, 4])
    np.testing.assert_allclose(seen_as(coronal, x, (2, 1, 3)), expected)
    np.testing.assert_allclose(seen_as(axial, x, (1, 2, 3)), tf.sigmoid(axial(x)))
    sagittal = seen_as(axial, x, (3, 1, 2))
    turned = tf.transpose(x, [0, 3, 1, 2, 4])
    np.testing.assert_allclose(tf.transpose(sagittal, [0, 3, 1, 2, 4]), tf.sigmoid(axial(turned)))


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


def test_sides_that_a_deep_network_cannot_halve_are_filled_up():
    deep = Regions(RegionsConfig(width=2, levels=5, heads=2), (0,), REGIONS, 10)
    even = volumes(1, 0, (32, 16, 16))
    odd = {key: value[:, :24] if value.shape.rank == 5 else value for key, value in even.items()}
    assert deep.synthesize(odd)["regions"].shape == (1, 24, 16, 16, 3)
    assert np.isfinite(deep.train_step(odd)["loss/S"])
    black = tf.concat([odd["images"], tf.zeros([1, 8, 16, 16, 1])], axis=1)
    np.testing.assert_allclose(deep._find(odd["images"]), deep._find(black)[:, :24], rtol=1e-5)


@pytest.mark.parametrize("segmenter", ["unet", "cascade"])
def test_segmenters_of_the_tables_take_volumes_of_every_preset(segmenter):
    for name, (table, source, dataset) in PUBLISHED.items():
        for preset, config in table.items():
            regions = list(dataset.regions.values())
            channels = range(len(dataset.channels))
            S = Regions(getattr(config, segmenter), channels, regions, 10)
            size = volume_size(source[preset].slicing)
            images = tf.TensorSpec([1, *size, len(channels)])
            traced = tf.function(S.synthesize).get_concrete_function({"images": images})
            assert traced.output_shapes["regions"] == (1, *size, len(regions)), (name, preset)
