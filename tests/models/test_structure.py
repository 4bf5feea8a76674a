"""One step of the structure-map system against the loss table, and its random maps."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.structure_gan.config import StructureConfig, StructureWeights
from models.structure_gan.structure import StructureGAN, dropout_twice, to_binary, two_channels
from tests.models.test_segmentation import assert_all_learn, assert_step_equals, random_batch
from utils.seeding import dropout, normal

SIZE = (32, 24)


@pytest.fixture(autouse=True)
def seeded():
    tf.keras.utils.set_random_seed(0)


def tiny_structure(**options) -> StructureGAN:
    defaults = {"width": 4, "latent_size": 16, "map_size": SIZE, "halvings": 2}
    return StructureGAN(StructureConfig(**{**defaults, "initializer": "he_normal", **options}))


def enlarged(image: tf.Tensor) -> np.ndarray:
    """[B,16,16,1] at 32x24, output pixel i from input pixel floor(i * in / out)."""
    rows, columns = (np.arange(n) * 16 // n for n in SIZE)
    return image.numpy()[:, rows][:, :, columns]


def mse(a, b) -> tf.Tensor:
    return tf.reduce_mean((a - b) ** 2)


def plain_losses(system: StructureGAN, batch: dict, kl: float = 0.0) -> dict:
    """Table 2.1 (of the mask products the line channel only) with one network call per map."""
    E_s, G_s, G_m, D_z, D_s = (system.networks[k] for k in ("E_s", "G_s", "G_m", "D_z", "D_s"))
    seeds = batch["seed"]
    line, outside = enlarged(batch["structure"]), enlarged(batch["outside"])
    s, m = (np.concatenate([1 - x, x], -1) for x in (line, outside))
    mean, log_variance = E_s(dropout(tf.constant(line * 0.1 + 0.9), 0.85, seeds, "E_s"))
    std = tf.exp(log_variance / 2)
    code = mean + std * normal(seeds, "code", (16,))
    z = normal(seeds, "z", (16,))
    s_r, s_g = G_s(code), G_s(z)
    m_r = G_m(dropout(tf.constant(s), 0.9, seeds, "G_m/first"))
    m_g = G_m(dropout(s_g, 0.9, seeds, "G_m/second"))
    fake_map = D_s(dropout(s_g, 0.85, seeds, "D_s/second"))
    fake_code = D_z(code)
    loss_d = 10 * mse(D_z(z), 1.0) + 10 * mse(fake_code, 0.0) + 25 * mse(fake_map, 0.0)
    loss_d += 25 * mse(D_s(dropout(tf.constant(s), 0.85, seeds, "D_s/first")), 1.0)
    loss_g = 0.001 * mse(fake_code, 1.0) + 0.1 * mse(fake_map, 1.0)
    for sample in range(len(seeds)):  # one image per device in the original
        moments = tf.reduce_mean(mean[sample]) ** 2 + (tf.reduce_mean(std[sample]) - 1) ** 2
        loss_g += 0.001 * moments / len(seeds)
    loss_g += 25 * mse(s, s_r) + 10 * tf.reduce_mean(tf.abs(s - s_r)) + 15 * mse(m, m_r)
    for drawn in (s_r, s_g):
        loss_g += 0.0001 * tf.reduce_mean(drawn[..., 0] - drawn[..., 1])
    loss_g += tf.reduce_mean((m[..., 1] * s_r[..., 1]) ** 2)
    loss_g += tf.reduce_mean((m_g[..., 1] * s_g[..., 1]) ** 2)
    divergence = 0.5 * (mean**2 + std**2 - 2 * tf.math.log(std) - 1)
    return {"G": loss_g + kl * tf.reduce_mean(divergence), "D": loss_d}


def test_step_equals_the_plain_form():
    system, batch = tiny_structure(), random_batch()
    terms = assert_step_equals(system, batch, lambda: plain_losses(system, batch), rate=0.1)
    assert len(terms) == 4 + 9 + 4  # totals and norms, G's terms, D's terms
    assert float(terms["G/code_kl"]) == 0


def test_divergence_is_an_option():
    system, batch = tiny_structure(weights=StructureWeights(kl=0.3)), random_batch()
    assert_step_equals(system, batch, lambda: plain_losses(system, batch, 0.3), rate=0.1)


def test_every_variable_learns():
    assert_all_learn(tiny_structure(), random_batch())


def test_networks_and_groups():
    system = tiny_structure()
    assert system.groups == {"G": ["E_s", "G_s", "G_m"], "D": ["D_z", "D_s"]}
    assert system.networks["G_m"].spec.width == 2  # half of the others'
    channels = {k: system.networks[k].variables[0].shape[2] for k in ("E_s", "G_m", "D_z", "D_s")}
    assert channels == {"E_s": 1, "G_m": 2, "D_z": 1, "D_s": 2}


def test_one_hot_and_back():
    binary = tf.reshape(tf.constant([0.0, 1.0]), [1, 1, 2, 1])
    np.testing.assert_array_equal(two_channels(binary)[0, 0], [[1, 0], [0, 1]])
    probabilities = tf.reshape(tf.constant([[0.9, 0.8], [0.1, 0.2], [0.5, 0.5]]), [1, 1, 3, 2])
    np.testing.assert_array_equal(to_binary(probabilities)[0, 0, :, 0], [0, 1, 0])  # arg-max


def test_stacked_halves_drop_different_pixels():
    seeds = random_batch()["seed"]
    dropped = dropout_twice(tf.ones([4, 20, 20, 1]), 0.5, seeds, "name").numpy()
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert 0.4 < np.mean(dropped[:2] == dropped[2:]) < 0.6


def test_random_maps_need_no_input_but_seeds():
    system, seeds = tiny_structure(), random_batch(3)["seed"]
    maps = system.random_maps(seeds, (16, 16))
    s_g = system.networks["G_s"](normal(seeds, "z", (16,)))
    m_g = system.networks["G_m"](s_g)  # of the probabilities, without dropout
    rows, columns = np.arange(16) * 2, np.arange(16) * 24 // 16
    for found, source in ((maps["structure"], s_g), (maps["outside"], m_g)):
        expected = source.numpy().argmax(-1)[:, rows][:, :, columns]
        np.testing.assert_array_equal(found[..., 0], expected)
    assert np.any(maps["structure"][0] != maps["structure"][1])


def test_synthesis_has_no_dropout():
    system, batch = tiny_structure(), random_batch()
    found = system.synthesize(batch)
    assert set(found) == {"structure", "outside", "reconstructed"}
    line = enlarged(batch["structure"])
    mean, log_variance = system.networks["E_s"](line * 0.1 + 0.9)
    code = mean + tf.exp(log_variance / 2) * normal(batch["seed"], "code", (16,))
    decoded = system.networks["G_s"](code).numpy().argmax(-1)
    expected = decoded[:, np.arange(16) * 2][:, :, np.arange(16) * 24 // 16]
    np.testing.assert_array_equal(found["reconstructed"][..., 0], expected)


def test_default_sizes_are_the_thesis():
    config = StructureConfig()
    assert (config.width, config.latent_size, config.map_size) == (64, 4096, (512, 512))
    assert (config.halvings, config.learning_rate) == (6, 1e-5)
    assert config.initializer == "mean_filter"


def test_reconstruction_learns_on_one_batch():
    system, batch = tiny_structure(learning_rate=1e-2), random_batch(1)
    batch["structure"] = tf.constant(np.kron(np.eye(2), np.ones((8, 8))), tf.float32)
    batch["structure"] = tf.reshape(batch["structure"], [1, 16, 16, 1])
    terms = [system.train_step(batch)["G/map_squared_error"] for _ in range(12)]
    assert float(terms[-1]) < 0.7 * float(terms[0])
