"""GAN# and SkrGAN* against the loss table, one network call per image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from models.baselines.config import GAN_SHARP, SKRGAN_STAR, BaselineConfig
from models.baselines.system import Baseline
from tests.models.toys import assert_step_equals, calm, mse, random_batch
from utils.errors import UserError


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


def test_skrgan_step_equals_the_reference():
    system, batch = tiny_baseline(), random_batch()
    inputs = [1 - batch["structure"]] * 4
    assert_step_equals(system, batch, lambda: reference_terms(system, batch, inputs, (5, 3, 3, 5)))


@pytest.mark.slow
def test_gan_sharp_step_equals_the_reference(monkeypatch):
    rng = np.random.default_rng(0)
    noise = {f"noise {m}": tf.constant(rng.normal(size=(2, 32, 24, 1)), tf.float32) for m in "xyzw"}
    drawn = "models.baselines.system.normal"
    monkeypatch.setattr(drawn, lambda seeds, name, shape: tf.ensure_shape(noise[name], [2, *shape]))
    system, batch = tiny_baseline(GAN_SHARP), random_batch()
    inputs = list(noise.values())
    weights = (100, 70, 70, 0)
    assert_step_equals(system, batch, lambda: reference_terms(system, batch, inputs, weights), 0.01)


def test_a_discriminator_judges_its_own_modality_alone():
    system, batch = tiny_baseline(), random_batch()
    images, generated = batch["images"], batch["unpaired_images"]
    changed = tf.concat([images[..., :2], images[..., 2:3] / 2, images[..., 3:]], axis=-1)
    kernels = [system.networks[f"D_{m}"].trainable_variables[0] for m in "xyzw"]
    gradients = []
    for real in (images, changed):
        with tf.GradientTape() as tape:
            loss = tf.add_n(list(system._terms(real, generated)[1].values()))
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


def test_networks_have_the_thesis_size():
    system = Baseline(GAN_SHARP)
    sizes = {name: network.count_params() for name, network in system.networks.items()}
    # One output in place of a segmenter's five: 4 kernels of 3x3x64, biases and norms fewer.
    unet = 4_323_727 - 4 * (9 * 64 + 3)
    assert unet == 4_321_411
    assert sizes == {**{f"G_{m}": unet for m in "xyzw"}, **{f"D_{m}": 400_833 for m in "xyzw"}}
    assert GAN_SHARP.discriminator_width == SKRGAN_STAR.width == 64


@pytest.mark.parametrize(
    "options", [{"generator_input": "map"}, {"width": 0}, {"reconstruction": -1}, {"real": np.nan}]
)
def test_impossible_settings_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        replace(GAN_SHARP, **options)
