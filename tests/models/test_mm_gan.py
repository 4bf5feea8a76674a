"""MM-GAN: sizes of the networks, the losses by hand, the image pool, and the system's standard."""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from models.blocks.spectral import spectral_layers
from models.mm_gan_3d.config import MMGANConfig
from models.mm_gan_3d.gan import MMGAN, with_organ
from models.mm_gan_3d.networks import build_discriminator, build_generator
from models.mm_gan_3d.pool import ImagePool
from models.mm_gan_3d.slabs import generate_in_slabs
from tests.models.harness import LONG, SystemTests
from utils.errors import DiskFullError, UserError

SIZE = (16, 8, 24)
SMALL = MMGANConfig(width=2, discriminator_width=2)
CLASSES = {"classes": 5, "organ": 3}


def volumes(samples: int = 2, seed: int = 0, size: tuple = SIZE) -> dict:
    rng = np.random.default_rng(seed)
    label = rng.choice([0, 1, 2, 4], (samples, *size, 1))
    images = rng.random((samples, *size, 1)) * (rng.random((samples, *size, 1)) < 0.7)
    return {
        "images": tf.constant(images, tf.float32),
        "label": tf.constant(label, tf.int32),
        "seed": tf.constant(rng.integers(0, 2**31, (samples, 2)), tf.int32),
    }


def one_hot(label):
    return tf.one_hot(label[..., 0], 5)


class MMGANTests(SystemTests):
    pool, rebuilt = 3, 0.0
    groups = {"G": ["G"], "D": ["D"]}
    split_rate = 0.1
    size = SIZE
    slow = LONG
    # The weights and u of each convolution.
    parameters = {"G": 25_431 + 103, "D": 2_375 + 15}

    def build(self):
        config = replace(SMALL, pool=self.pool, reconstruction=self.rebuilt)
        return MMGAN(config, SIZE, total_steps=100, **CLASSES)

    def batch(self, samples=2, seed=0):
        return volumes(samples, seed)

    def reference(self, system, batch):
        G, D = system.networks["G"], system.networks["D"]
        organ = tf.cast((batch["label"] == 0) & (batch["images"] > 0), tf.int32)
        label = one_hot(batch["label"] + 3 * organ)
        made = tf.where(label[..., :1] > 0, -1.0, G(label))  # black outside of the organ
        volume = 2 * batch["images"] - 1
        real = D(tf.concat([label, volume], -1))
        fake = D(tf.concat([label, made], -1))  # the pool is not full: D sees the new pairs
        rebuilt = {"G/reconstruction": self.rebuilt * tf.reduce_mean(tf.abs(made - volume))}
        return {
            "G": {
                "G/adversarial": tf.reduce_mean((fake - 1) ** 2) / 2,
                **(rebuilt if self.rebuilt else {}),
            },
            "D": {
                "D/real": tf.reduce_mean((real - 1) ** 2) / 2,
                "D/fake": tf.reduce_mean(fake**2) / 2,
            },
        }


class TestMMGAN(MMGANTests):
    split_rate = None  # the pool holds what the first device made
    parameters = {**MMGANTests.parameters, "pool": 1 + 2 * 3 * 16 * 8 * 24}


class TestMMGANWithoutPool(MMGANTests):
    """And with a reconstruction term."""

    pool, rebuilt = 0, 2.0
    parameters = {**MMGANTests.parameters, "pool": 1}


@pytest.mark.parametrize(
    "network, expected",
    [
        (lambda: build_generator(8, 5, "tanh", "G"), 402_393),
        (lambda: build_generator(16, 5, "tanh", "G"), 1_606_577),
        (lambda: build_discriminator("patch", 32, 6, "D"), 368_225),
        (lambda: build_discriminator("simgan", 32, 6, "D"), 238_017),
    ],
)
def test_networks_have_the_published_sizes(network, expected):
    """Trained parameters; the vectors of the spectral normalisation are not."""
    built = network()
    assert sum(int(np.prod(v.shape)) for v in built.trainable_variables) == expected
    convolutions = [v for v in built.trainable_variables if v.shape.rank == 5]
    assert len(convolutions) == len(list(spectral_layers(built)))


def test_the_discriminator_scores_quarters_of_each_side():
    for kind in ("patch", "simgan"):
        found = build_discriminator(kind, 2, 6, "D").compute_output_shape([1, 200, 160, 152, 6])
        assert found == (1, 50, 40, 38, 1)


def test_generator_ends_in_tanh_or_in_any_number():
    x = tf.random.stateless_uniform([1, 8, 8, 8, 5], [1, 2]) * 1e3
    for head, limited in (("tanh", True), ("linear", False)):
        G = build_generator(2, 5, head, "G")
        G.units[-1].convolution.bias.assign([7.0])
        assert (np.abs(G(x)).max() <= 1) == limited


def test_gradient_checkpointing_changes_no_gradient():
    kept, again = (build_generator(2, 5, "tanh", "G", on) for on in (False, True))
    again.set_weights(kept.get_weights())
    label, found = one_hot(volumes(1)["label"]), []
    for network in (kept, again):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(network(label)))
        found.append(tape.gradient(loss, network.trainable_variables))
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-8)


def test_the_organ_is_the_fourth_class_outside_of_the_lesion():
    label = tf.constant([0, 0, 2, 4], tf.int32)
    volume = tf.constant([0.0, 0.3, 0.5, 0.0])
    assert with_organ(label, volume, 3).numpy().tolist() == [0, 3, 2, 4]


def test_the_data_set_tells_the_classes_and_the_organ():
    system = MMGAN(SMALL, (8, 8, 8), 10, classes=4, organ=2)
    shapes = [system.networks[name].units[0].convolution.kernel.shape[3] for name in ("G", "D")]
    assert shapes == [4, 5]
    # A label that has the body as class 1 has no place for the organ where its volume is 0.
    label = tf.constant([0, 1, 2, 3], tf.int32)
    volume = tf.constant([0.0, 0.1, 0.5, 0.4])
    assert with_organ(label, volume, 2).numpy().tolist() == [0, 1, 2, 3]
    made = system.synthesize({"label": tf.reshape(tf.repeat(label, 128), [1, 8, 8, 8, 1])})
    assert not made["images"][0, :2].numpy().any() and made["images"][0, 2:].numpy().all()


def test_losses_by_hand_as_mean_and_as_sum():
    scores = [tf.constant(v, tf.float32, shape=[1, 1, 1, 2, 1]) for v in ([0, 2], [1, 3], [1, 2])]
    system = MMGAN(SMALL, SIZE, 10, **CLASSES)
    terms = system.terms(*scores)
    # halves of the means of 1, 1; of 0, 4; of 1, 4
    assert [float(v) for v in terms.values()] == [0.5, 1.0, 1.25]
    system.config = replace(SMALL, reduction="sum")
    assert [float(v) for v in system.terms(*scores).values()] == [1.0, 2.0, 2.5]


def numbered(pool: ImagePool, number: int, seed: int = 0) -> tuple[int, int]:
    """Shows the pool the pair of a number; returns the numbers of volume and label it gives."""
    volume = tf.fill([1, 1, 1, 1, 1], float(number))
    given = pool.exchange(volume, tf.cast(volume, tf.int32) + 100, tf.constant([[seed, number]]))
    return tuple(int(part[0, 0, 0, 0, 0]) for part in given)


def test_the_pool_is_filled_first_and_then_gives_whole_pairs_back():
    pool = ImagePool(4, (1, 1, 1), 0.5)
    assert [numbered(pool, k)[0] for k in range(4)] == [0, 1, 2, 3]
    kept, shown = set(range(4)), []
    for number in range(4, 400):
        volume, label = numbered(pool, number)
        assert label == volume + 100 and volume in kept | {number}
        if volume != number:
            kept = kept - {volume} | {number}
        shown.append(volume == number)
        assert set(pool.volumes.numpy().ravel().astype(int)) == kept
    assert 0.4 < np.mean(shown) < 0.6


@pytest.mark.parametrize("probability, new", [(0.0, True), (1.0, False)])
def test_the_coin_has_the_probability_it_is_told(probability, new):
    pool = ImagePool(2, (1, 1, 1), probability)
    for k in range(2):
        numbered(pool, k)
    assert all((numbered(pool, k)[0] == k) == new for k in range(2, 30))


def test_a_volume_that_is_not_finite_is_shown_and_not_stored():
    pool, broken = ImagePool(2, (1, 1, 1), 1.0), tf.fill([1, 1, 1, 1, 1], np.nan)
    for count in range(3):
        before = pool.volumes.numpy()
        shown, _ = pool.exchange(broken, tf.ones_like(broken, tf.int32), tf.constant([[1, 1]]))
        assert np.isnan(shown).all() and int(pool.count) == count
        np.testing.assert_array_equal(pool.volumes, before)
        numbered(pool, count + 1)


def test_without_pool_every_pair_is_shown():
    pool = ImagePool(0, (1, 1, 1), 0.5)
    assert [numbered(pool, k) for k in range(5)] == [(k, k + 100) for k in range(5)]


def test_after_fifty_steps_every_kernel_as_applied_has_a_norm_of_one():
    system = MMGAN(SMALL, SIZE, 100, **CLASSES)
    step = tf.function(system.train_step)
    for seed in range(50):
        step(volumes(1, seed % 4))
    for network in ("G", "D"):
        for layer in spectral_layers(system.networks[network]):
            kernel = np.reshape(layer.kernel, [-1, layer.filters]) / float(layer.sigma())
            assert np.linalg.svd(kernel, compute_uv=False)[0] == pytest.approx(1, abs=0.05)


def test_a_system_learns_its_own_modality():
    data = volumes(1)
    first = MMGAN(replace(SMALL, pool=0), SIZE, 10, **CLASSES)
    second = MMGAN(replace(SMALL, pool=0), SIZE, 10, channel=1, **CLASSES)
    for name in ("G", "D"):
        second.networks[name].set_weights(first.networks[name].get_weights())
    both = {**data, "images": tf.concat([1 - data["images"], data["images"]], axis=-1)}
    found, expected = second.train_step(both), first.train_step(data)
    assert {k: float(v) for k, v in found.items()} == {k: float(v) for k, v in expected.items()}


def test_synthetic_volumes_are_zero_outside_and_take_the_label_as_it_is():
    system, batch = MMGAN(SMALL, SIZE, 10, **CLASSES), volumes()
    label = with_organ(batch["label"], batch["images"], 3)
    found = system.synthesize({"label": label})["images"].numpy()
    assert (found[label.numpy() == 0] == 0).all() and 0 <= found.min() and found.max() <= 1
    np.testing.assert_array_equal(found, system.synthesize(batch)["images"])


@pytest.mark.parametrize("options", [{"width": 0}, {"head": "relu"}, {"pool": -1}, {"beta_1": 1.0}])
def test_impossible_settings_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        replace(SMALL, **options)
    with pytest.raises(UserError, match="20x8x8 pixels; all sides must be divisible by 8"):
        MMGAN(SMALL, (20, 8, 8), 10, **CLASSES)


@pytest.mark.parametrize("slices", [8, 12, 64])
def test_a_volume_made_in_slabs_is_the_one_made_whole(slices):
    G = build_generator(3, 5, "tanh", "G")
    label = np.random.default_rng(0).integers(0, 5, (40, 16, 8))
    whole = G(tf.one_hot(label[None], 5))[0].numpy()
    found = generate_in_slabs(G, label, 5, slices)
    assert np.ptp(whole) > 0.5
    np.testing.assert_allclose(found, whole, atol=2e-5)


def test_a_full_disk_for_slabs_is_named_and_nothing_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    G, label = build_generator(2, 5, "tanh", "G"), np.zeros((16, 8, 8), int)
    taken, reserve = [], os.posix_fallocate

    def full(file: int, start: int, size: int) -> None:
        if len(taken) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken.append(size)
        reserve(file, start, size)

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFullError, match=f"The disk of {tmp_path}.* is full"):
        generate_in_slabs(G, label, 5, 8)
    assert taken and not list(tmp_path.iterdir())


def test_slabs_are_not_thinner_than_the_deepest_level_allows():
    with pytest.raises(UserError, match="--batch_size is 7, but a slab of MM-GAN needs 8 or more"):
        generate_in_slabs(build_generator(2, 5, "tanh", "G"), np.zeros((8, 8, 8), int), 5, 7)
