"""GAN# and SkrGAN* against the loss table, one network call per image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from models.baselines.config import GAN_SHARP, SKRGAN_STAR, BaselineConfig
from models.baselines.system import Baseline
from tests.models.harness import LONG, SystemTests
from tests.models.toys import calm, mse, random_batch
from utils.errors import UserError
from utils.seeding import normal


def tiny_baseline(config: BaselineConfig = SKRGAN_STAR, **options) -> Baseline:
    small = {"width": 4, "discriminator_width": 4, "initializer": "he_normal"}
    return calm(Baseline(replace(config, **{**small, **options})))


def reference_terms(system: Baseline, batch: dict, inputs: list, weights: tuple) -> dict:
    """Table 2.8: weights are D real, D fake, G, reconstruction."""
    g = {"G/adversarial": 0.0, "G/reconstruction": 0.0}
    d = {"D/real": 0.0, "D/fake": 0.0}
    for i, (name, fed) in enumerate(zip("xyzw", inputs)):
        G, D = system.networks[f"G_{name}"], system.networks[f"D_{name}"]
        x, x_g = batch["images"][..., i : i + 1], G(fed)
        d["D/real"] += weights[0] * mse(D(x), 1.0)
        d["D/fake"] += weights[1] * mse(D(x_g), 0.0)
        g["G/adversarial"] += weights[2] * mse(D(x_g), 1.0)
        g["G/reconstruction"] += weights[3] * mse(x_g, x)
    if not weights[3]:
        del g["G/reconstruction"]
    return {"G": g, "D": d}


class TestSkrGAN(SystemTests):
    groups = {net: [f"{net}_{m}" for m in "xyzw"] for net in "GD"}
    # Without G_t's four conditions of conv10, 9 * 4 * 16.
    parameters = {f"{net}_{m}": n for net, n in (("G", 17_947 - 576), ("D", 1_773)) for m in "xyzw"}
    split_rate = 1e-5
    slow, build = LONG, staticmethod(tiny_baseline)

    def reference(self, system, batch):
        return reference_terms(system, batch, [1 - batch["structure"]] * 4, (5, 3, 3, 5))


class TestGANSharp(TestSkrGAN):
    rate = 0.01
    slow = ("networks", "step", *LONG)

    def build(self):
        return tiny_baseline(GAN_SHARP)

    def reference(self, system, batch):
        noise = [normal(batch["seed"], f"noise {m}", (32, 24, 1)) for m in "xyzw"]
        return reference_terms(system, batch, noise, (100, 70, 70, 0))


class TestSkrGANOfColours(SystemTests):
    """One image of three channels, from three maps."""

    groups = {"G": ["G_x"], "D": ["D_x"]}
    # Two more maps and outputs of G, and two more channels of D, at 3x3 and 5x5 pixels.
    parameters = {"G_x": 17_947 - 576 + 2 * 9 * 4 + 2 * (9 * 4 + 1 + 2), "D_x": 1_773 + 2 * 25 * 4}
    slow = LONG

    def build(self):
        small = {"width": 4, "discriminator_width": 4, "initializer": "he_normal"}
        return calm(Baseline(replace(SKRGAN_STAR, **small), 1, 3, 3))

    def batch(self, samples=2, seed=0):
        batch = random_batch(samples, seed, self.size)
        masks = (batch["structure"], batch["outside"], batch["random_structure"])
        maps = tf.concat(masks, axis=-1)
        return {**batch, "images": batch["images"][..., :3], "structure": maps}

    def reference(self, system, batch):
        images, fed = batch["images"], 1 - batch["structure"]
        fake = system.networks["G_x"](fed)
        real, made = (system.networks["D_x"](each) for each in (images, fake))
        g = {
            "G/adversarial": 3 * mse(made, 1.0),
            "G/reconstruction": 5 * mse(fake, images),
        }
        return {"G": g, "D": {"D/real": 5 * mse(real, 1.0), "D/fake": 3 * mse(made, 0.0)}}


def test_a_discriminator_judges_its_own_modality_alone():
    system, batch = tiny_baseline(), random_batch()
    images, generated = batch["images"], batch["unpaired_images"]
    changed = tf.concat([images[..., :2], images[..., 2:3] / 2, images[..., 3:]], axis=-1)
    kernels = [system.networks[f"D_{m}"].trainable_variables[0] for m in "xyzw"]
    gradients = []
    for real in (images, changed):
        with tf.GradientTape() as tape:
            loss = tf.add_n(list(system.terms(real, generated)[1].values()))
        gradients.append(tape.gradient(loss, kernels))
    same = [np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*gradients)]
    assert same == [True, True, False, True]


class Recorder:
    """Stands for a generator and keeps what it is fed."""

    def __call__(self, fed):
        self.input = fed.numpy()
        return fed


def inputs_of(system: Baseline, batch: dict) -> np.ndarray:
    system.networks.update({f"G_{m}": Recorder() for m in "xyzw"})
    system.synthesize(batch)
    return np.stack([system.networks[f"G_{m}"].input[..., 0] for m in "xyzw"], axis=-1)


def test_noise_is_normal_and_independent_over_modalities_and_samples():
    system, batch = tiny_baseline(GAN_SHARP), random_batch(8)
    noise = inputs_of(system, batch)
    assert noise.shape == (8, 32, 24, 4)
    assert abs(noise.mean()) < 0.03 and abs(noise.std() - 1) < 0.03
    correlation = np.corrcoef(np.moveaxis(noise, -1, 1).reshape(32, -1)) - np.eye(32)
    assert np.abs(correlation).max() < 0.2
    np.testing.assert_array_equal(noise, inputs_of(system, batch))  # a function of the seeds
    other = {**batch, "structure": 1 - batch["structure"]}
    np.testing.assert_array_equal(noise, inputs_of(system, other))
    assert not np.array_equal(noise, inputs_of(system, {**batch, "seed": batch["seed"] + 1}))


def test_every_skrgan_generator_reads_the_inverted_map():
    batch = random_batch()
    expected = np.repeat(1 - batch["structure"].numpy(), 4, axis=-1)
    np.testing.assert_array_equal(inputs_of(tiny_baseline(), batch), expected)


def test_synthesis_shows_each_modality_by_its_own_network():
    system, batch = tiny_baseline(learning_rate=0.25), random_batch()
    images = system.synthesize(batch)["images"].numpy()
    for i, name in enumerate("xyzw"):
        expected = system.networks[f"G_{name}"](1 - batch["structure"])
        np.testing.assert_allclose(images[..., i : i + 1], expected, atol=1e-6)
    assert 0 < images.min() and images.max() < 1
    assert {float(o.learning_rate) for o in system.optimizers.values()} == {0.25}


def test_networks_have_the_thesis_width():
    widths = {w for c in (GAN_SHARP, SKRGAN_STAR) for w in (c.width, c.discriminator_width)}
    assert widths == {64}
    colours = Baseline(SKRGAN_STAR, images=1, channels=3)
    sizes = {name: network.count_params() for name, network in colours.networks.items()}
    assert sizes == {"G_x": 4_322_569, "D_x": 404_033}


@pytest.mark.parametrize(
    "options", [{"generator_input": "map"}, {"width": 0}, {"reconstruction": -1}, {"real": np.nan}]
)
def test_impossible_settings_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        replace(GAN_SHARP, **options)
