"""PGGAN: sizes, equalised layers, the fade against NumPy, its phases, and the system's standard."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.baselines.latent_config import PGGANConfig
from models.baselines.pggan import PGGAN, Progress, shrunk
from models.baselines.pggan_networks import (
    EqualizedConv2D,
    EqualizedDense,
    GrowingCritic,
    GrowingGenerator,
    pixel_norm,
    with_deviation,
)
from tests.devices import mirrored_strategy
from tests.models.harness import LONG, SystemTests, shards, state_of
from tests.models.toys import descend, random_batch
from utils.seeding import uniform

SIZE = (32, 24)
# Eight images at 4x4 pixels, eight while 8x8 fade in.
SMALL = PGGANConfig(
    size=8, latent=6, width=4, stable_images=0.008, fade_images=0.008, batch_sizes=(0,)
)


def halved(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))


def doubled(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


class TestPGGAN(SystemTests):
    """In the middle of a fade, where all weights take part."""

    groups = {"G": ["G"], "D": ["D"]}
    parameters = {
        "G": 6 * 64 + 4 + 3 * (9 * 16 + 4) + 2 * 20,
        "D": 2 * 20 + 2 * (9 * 16 + 4) + 9 * 20 + 4 + 64 * 4 + 4 + 5,
        "progress": 2,
    }
    parameters["G_mean"] = parameters["G"]
    size = SIZE
    slow = LONG

    def build(self):
        system = PGGAN(SMALL, SIZE, 4)
        system.networks["progress"].shown.assign(12)
        return system


@pytest.mark.parametrize(
    "size, channels, expected",
    [
        (128, 1, (22_928_518, 22_936_449)),
        pytest.param(256, 1, (23_039_303, 23_047_361), marks=pytest.mark.slow),
        pytest.param(512, 1, (23_067_048, 23_075_169), marks=pytest.mark.slow),
        (1024, 3, (23_079_115, 23_087_249)),
    ],
)
def test_networks_have_the_published_sizes(size, channels, expected):
    config = PGGANConfig(size=size)
    networks = GrowingGenerator(config, channels, "G"), GrowingCritic(config, channels)
    counts = [sum(int(np.prod(v.shape)) for v in n.trainable_variables) for n in networks]
    assert tuple(counts) == expected


def test_equalised_layers_scale_their_kernels():
    x = tf.random.stateless_normal([2, 4, 4, 3], [0, 1])
    layer = EqualizedConv2D(5, 3)
    y = layer(x)
    scaled = layer.kernel * np.sqrt(2 / 27)
    np.testing.assert_allclose(y, tf.nn.conv2d(x, scaled, 1, "SAME"), rtol=1e-5, atol=1e-6)
    assert 0.8 < float(tf.math.reduce_std(layer.kernel)) < 1.2
    flat, dense = tf.reshape(x, [2, -1]), EqualizedDense(7, gain=1.0)
    found = dense(flat)
    np.testing.assert_allclose(found, flat @ (dense.kernel / np.sqrt(48)), rtol=1e-4, atol=1e-5)


def test_pixel_norm_and_deviation_of_the_batch_against_numpy():
    x = np.random.default_rng(0).normal(size=(8, 2, 3, 4)).astype(np.float32)
    expected = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-8)
    np.testing.assert_allclose(pixel_norm(tf.constant(x)), expected, rtol=1e-5)
    found = with_deviation(tf.constant(x)).numpy()
    np.testing.assert_array_equal(found[..., :4], x)
    for first in (0, 1):  # samples 0, 2, 4, 6 are a group, and 1, 3, 5, 7
        group = x[first::2]
        deviation = np.sqrt(group.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(found[first::2, ..., 4], deviation, rtol=1e-5)
    assert with_deviation(tf.constant(x[:6])).shape == (6, 2, 3, 5)


def convolved(x: np.ndarray, layer: EqualizedConv2D, gain: float = 2**0.5) -> np.ndarray:
    """A convolution with a scaled kernel and zeros around the image, one kernel pixel at a time."""
    kernel = layer.kernel.numpy() * gain / np.sqrt(np.prod(layer.kernel.shape[:-1]))
    side, (height, width) = kernel.shape[0], x.shape[1:3]
    x = np.pad(x, [(0, 0), (side // 2, side // 2), (side // 2, side // 2), (0, 0)])
    offsets = np.ndindex(side, side)
    return layer.bias.numpy() + sum(
        x[:, a : a + height, b : b + width] @ kernel[a, b] for a, b in offsets
    )


def leaky(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.2 * x)


def normed(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-8)


def with_random_biases(network: tf.keras.Model) -> tf.keras.Model:
    for k, v in enumerate(v for v in network.trainable_variables if v.shape.rank == 1):
        v.assign(tf.random.stateless_normal(v.shape, [k, 7]))
    return network


def test_a_fading_generator_by_numpy():
    """The gain of the dense layer is a quarter of that of others, and 1 of those to the image."""
    G = with_random_biases(GrowingGenerator(SMALL, 2, "G"))
    z = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    x = normed(z) @ (G.dense.kernel.numpy() * 2**0.5 / 4 / 6**0.5)
    x = normed(leaky(x.reshape(3, 4, 4, 4) + G.bias.numpy()))
    before = normed(leaky(convolved(x, G.blocks[0][0])))
    x = doubled(before)
    for layer in G.blocks[1]:
        x = normed(leaky(convolved(x, layer)))
    high, low = convolved(x, G.to_image[1], 1.0), convolved(before, G.to_image[0], 1.0)
    expected = 0.3 * high + 0.7 * doubled(low)
    np.testing.assert_allclose(G(tf.constant(z), 1, tf.constant(0.3)), expected, atol=1e-4)


def test_a_fading_critic_by_numpy():
    """The lower size joins with 1 - share; the gain of the score is 1."""
    D = with_random_biases(GrowingCritic(SMALL, 2))
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 2)).astype(np.float32)
    first, second = D.blocks[1]
    x = leaky(convolved(leaky(convolved(images, D.from_image[1])), first))
    x = leaky(halved(convolved(x, second)))
    x = 0.3 * x + 0.7 * leaky(convolved(halved(images), D.from_image[0]))
    deviation = np.full((4, 4, 4, 1), np.sqrt(x.var(axis=0) + 1e-8).mean())
    x = leaky(convolved(np.concatenate([x, deviation], axis=-1), D.blocks[0][0])).reshape(4, -1)
    scale = (2 / 64) ** 0.5
    x = leaky(x @ (scale * D.dense.kernel.numpy()) + D.dense.bias.numpy())
    expected = x @ (D.score.kernel.numpy() / 4**0.5) + D.score.bias.numpy()
    found = D(tf.constant(images), 1, tf.constant(0.3))
    np.testing.assert_allclose(np.reshape(found, [4, 1]), expected, rtol=1e-4, atol=1e-4)


def test_the_generator_climbs_the_critics_score():
    system, batch = PGGAN(SMALL, SIZE, 4), random_batch(4, 0, SIZE)
    descend(system, 1e-3)
    z, share = system.latent(batch["seed"], "G"), tf.constant(0.5)

    def score() -> float:
        return float(np.mean(system.networks["D"](system.networks["G"](z, 1, share), 1, share)))

    before = score()
    report = system._generator_step(batch, tf.constant(1), share)
    assert float(report["G/adversarial"]) == pytest.approx(-before, rel=1e-4)
    assert score() > before


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_images_fade_in_as_by_numpy(share):
    """At 0 it is the lower network, at 1 the higher one."""
    config = PGGANConfig(size=16, latent=6, width=4)
    G, D = GrowingGenerator(config, 2, "G"), GrowingCritic(config, 2)
    z, a = tf.random.stateless_normal([4, 6], [3, 4]), tf.constant(share)
    one, zero = tf.constant(1.0), tf.constant(0.0)
    lower, full = G(z, 1, one).numpy(), G(z, 2, one).numpy()
    found = G(z, 2, a).numpy()
    np.testing.assert_allclose(found, share * full + (1 - share) * doubled(lower), atol=1e-6)
    assert np.abs(full - doubled(lower)).max() > 0.01
    real = np.random.default_rng(0).random((4, 16, 16, 2)).astype(np.float32)
    expected = share * real + (1 - share) * doubled(halved(real))
    np.testing.assert_allclose(shrunk(tf.constant(real), 0, a), expected, atol=1e-6)
    np.testing.assert_allclose(shrunk(tf.constant(real), 2, a), halved(halved(real)), atol=1e-6)
    if share == 0:
        np.testing.assert_allclose(D(real, 2, zero), D(halved(real), 1, one), atol=1e-6)
    if share == 1:
        below = D.from_image[1].kernel
        score = D(real, 2, one).numpy()
        below.assign(below + 1.0)
        np.testing.assert_array_equal(D(real, 2, one), score)


def test_terms_by_hand():
    system, batch = PGGAN(SMALL, SIZE, 4), random_batch(4, 0, SIZE)
    share, D = tf.constant(0.5), system.networks["D"]
    found = [float(term) for term in system._judged(batch, 1, share)[:4]]
    real = shrunk(system.real(batch), 0, share)
    fake = system.networks["G"](system.latent(batch["seed"], "D"), 1, share)
    score = [D(images, 1, share).numpy() for images in (real, fake)]
    mixing = uniform(batch["seed"], "interpolation", (1, 1, 1))
    mixed = mixing * real + (1 - mixing) * fake
    with tf.GradientTape() as tape:
        tape.watch(mixed)
        total = tf.reduce_sum(D(mixed, 1, share))
    norm = np.linalg.norm(tape.gradient(total, mixed).numpy().reshape(4, -1), axis=1)
    penalty, drift = 10 * np.mean((norm - 1) ** 2), 1e-3 * np.mean(score[0] ** 2)
    expected = [-score[0].mean(), score[1].mean(), penalty, drift]
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_updates_are_those_that_grow_it_to_the_end():
    config = PGGANConfig(
        size=16, stable_images=0.01, fade_images=0.004, batch_sizes=(4, 3, 2), latent=4, width=2
    )
    # 4x4: 3 updates of four show 12, two more than ten. Then 14 and 24, 28 and 38 are the ends.
    assert config.updates(8, 0) == 3 and config.updates(8, 1) == 3 + 1 + 3
    assert config.updates(8) == 7 + 2 + 5
    progress, shown = Progress(config), 0
    for _ in range(config.updates(8)):
        level = int(progress.now()[0])
        shown += config.batch_size(level, 8)
        progress.shown.assign(shown)
    assert int(progress.now()[2]) == 4 and shown >= 3 * 10 + 2 * 4


def test_phases_follow_each_other():
    progress, found = Progress(PGGANConfig(size=16, stable_images=0.01, fade_images=0.004)), []
    for shown in (0, 9, 10, 12, 13, 14, 23, 24, 27, 28, 99):
        progress.shown.assign(shown)
        level, share, phase = (value.numpy() for value in progress.now())
        found.append((shown, int(level), float(share), int(phase)))
    assert found == [
        (0, 0, 1.0, 0),
        (9, 0, 1.0, 0),
        (10, 1, 0.0, 1),
        (12, 1, 0.5, 1),
        (13, 1, 0.75, 1),
        (14, 1, 1.0, 2),
        (23, 1, 1.0, 2),
        (24, 2, 0.0, 3),
        (27, 2, 0.75, 3),
        (28, 2, 1.0, 4),
        (99, 2, 1.0, 4),
    ]


def test_optimisers_begin_anew_with_a_phase_and_samples_are_of_the_mean():
    system = PGGAN(SMALL, SIZE, 4)
    step = tf.function(system.train_step, autograph=False)
    counts, G, mean = [], system.networks["G"], system.networks["G_mean"]
    for seed in range(6):
        before = [v.numpy() for v in mean.trainable_variables]
        step(random_batch(4, seed, SIZE))
        counts.append(int(system.optimizers["G"].iterations))
        for old, new, now in zip(before, mean.trainable_variables, G.trainable_variables):
            np.testing.assert_allclose(new, 0.999 * old + 0.001 * now, atol=1e-7)
    assert counts == [1, 2, 1, 2, 1, 2]  # two updates of four images in each phase
    batch = random_batch(2, 0, SIZE)
    images = system.synthesize(batch)["images"]
    G.set_weights([np.zeros_like(w) for w in G.get_weights()])
    np.testing.assert_array_equal(system.synthesize(batch)["images"], images)
    mean.set_weights(G.get_weights())
    assert np.abs(system.synthesize(batch)["images"] - images).max() > 0


def test_an_update_takes_no_more_images_than_its_size_allows():
    config = PGGANConfig(
        size=8, latent=6, width=4, stable_images=0.006, fade_images=0.006, batch_sizes=(3, 2)
    )
    system, shown = PGGAN(config, SIZE, 4), []
    step = tf.function(system.train_step, autograph=False)
    for seed in range(4):
        step(random_batch(4, seed, SIZE))
        shown.append(int(system.networks["progress"].shown))
    assert shown == [3, 6, 8, 10]


@pytest.mark.slow
def test_two_devices_keep_one_state_and_count_all_images():
    strategy = mirrored_strategy()
    with strategy.scope():
        system = PGGAN(SMALL, SIZE, 4)
    step = tf.function(lambda batch: strategy.run(system.train_step, args=(batch,)))
    for seed in range(3):
        step(shards(strategy, random_batch(4, seed, SIZE)))
    assert system.networks["progress"].shown.numpy() == 12
    for variable in state_of(system):
        first, second = strategy.experimental_local_results(variable)
        np.testing.assert_array_equal(first, second)


def test_progress_ends_at_the_full_size_however_many_images_were_shown():
    progress = Progress(PGGANConfig(size=16, stable_images=0.002, fade_images=0.002))
    progress.shown.assign(4 * (2**31 + 5))  # more phases than an int32 holds
    level, share, phase = progress.now()
    assert (int(level), float(share), int(phase)) == (2, 1.0, 4)
