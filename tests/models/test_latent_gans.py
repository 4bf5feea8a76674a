"""DCGAN, ACGAN, WGAN and WGAN-GP: sizes of their networks, their terms by hand, their turns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from models.baselines.latent_config import (
    LATENT_GANS,
    ACGANConfig,
    DCGANConfig,
    WGANConfig,
    WGANGPConfig,
)
from models.baselines.latent_gan import ACGAN, DCGAN, WGAN, WGANGP, from_square, to_square
from models.baselines.latent_networks import (
    ResidualBlock,
    acgan_networks,
    dcgan_networks,
    wgan_gp_networks,
    wgan_networks,
)
from models.blocks.convolution import Row
from tests.devices import mirrored_strategy
from tests.models.harness import LONG, SystemTests, shards, state_of
from tests.models.toys import random_batch
from utils.errors import UserError
from utils.seeding import uniform

SIZE = (32, 24)
EVERY_STEP = {"critic_steps": 1, "long_steps": 1}


def cross_entropy(scores, target: float) -> float:
    p = 1 / (1 + np.exp(-np.asarray(scores, np.float64)))
    return float(-np.mean(target * np.log(p) + (1 - target) * np.log(1 - p)))


class TestDCGAN(SystemTests):
    groups = {"G": ["G"], "D": ["D"]}
    # Trained: 8 * 128 dense and its norm, 5x5 kernels, norms; and two moving numbers of each norm.
    parameters = {
        "G": 8 * 128 + 4 * 128 + 25 * (8 * 4 + 4 * 4) + 4 * 4,
        "D": 25 * (4 * 4 + 4 * 8) + 4 * 8 + 128,
    }
    size, rate = SIZE, 0.1
    slow = LONG

    def build(self):
        return DCGAN(DCGANConfig(size=16, width=4, latent=8), SIZE, 4)


class TestACGAN(SystemTests):
    groups = {"G": ["G"], "D": ["D"]}
    parameters = {
        "G": (12 + 1) * 48 + 25 * (48 * 24 + 24 * 16) + 4 * 40 + 64 * 16,  # 8 + 4 inputs
        "D": 9 * (2 + 8 + 32 + 128 + 512 + 2048) + 4 * 124 + 65 * 5,
    }
    size, rate = SIZE, 0.1
    slow = LONG

    def batch(self, samples=2, seed=0):
        """D ends in a single pixel, whose batch norm needs two samples."""
        return random_batch(max(samples, 2), seed, SIZE)

    def build(self):
        return ACGAN(ACGANConfig(size=32, width=4, latent=8, discriminator_width=2), SIZE, 4)


class TestWGAN(SystemTests):
    groups = {"G": ["G"], "D": ["D"]}
    parameters = {
        "G": 16 * (8 * 8 + 8 * 4 + 4 * 4) + 4 * 12,
        "D": 16 * (4 * 4 + 4 * 8 + 8) + 4 * 8,
        "turns": 4,
    }
    size, rate = SIZE, 0.1
    moments = 1
    slow = LONG

    def build(self):
        return WGAN(WGANConfig(size=16, width=4, latent=8, **EVERY_STEP), SIZE, 4)


class TestWGANGP(SystemTests):
    groups = {"G": ["G"], "D": ["D"]}
    size, rate = SIZE, 0.1
    slow = LONG

    # G: dense, up 4 and 2 wide, the image; two moving numbers of each of 16 channels' norms. D: the
    # first convolution, down 4 and 8 wide, dense.
    parameters = {
        "G": 9 * 128
        + (2 * 8 + 9 * 8 * 4 + 2 * 4 + 9 * 16 + 4 + 8 * 4 + 4)
        + (2 * 4 + 9 * 4 * 2 + 2 * 2 + 9 * 4 + 2 + 4 * 2 + 2)
        + (2 * 2 + 9 * 2 * 4 + 4)
        + 2 * (8 + 4 + 4 + 2 + 2),
        "D": (9 * 4 * 2 + 2)
        + (2 * 2 + 9 * 4 + 2 * 2 + 9 * 2 * 4 + 4 + 2 * 4 + 4)
        + (2 * 4 + 9 * 16 + 2 * 4 + 9 * 4 * 8 + 8 + 4 * 8 + 8)
        + 16 * 8
        + 1,
        "turns": 4,
    }

    def build(self):
        return WGANGP(WGANGPConfig(size=16, width=2, latent=8, critic_steps=1), SIZE, 4)

    def test_step(self, system):
        """All move but what is added to the scores of real and generated images alike."""
        before = [v.numpy() for group in "GD" for v in system.variables(group)]
        system.train_step(self.batch())
        after = [v.numpy() for group in "GD" for v in system.variables(group)]
        names = [v.name for group in "GD" for v in system.variables(group)]
        still = [n for n, a, b in zip(names, before, after) if np.array_equal(a, b)]
        last = system.networks["D"].units[-1]
        idle = (last.second, last.shortcut, system.networks["D"].heads[0])
        assert sorted(still) == sorted(layer.bias.name for layer in idle)


@pytest.mark.parametrize(
    "build, expected",
    [
        (lambda: dcgan_networks(DCGANConfig(), 1), (18_879_360, 17_226_368)),
        (lambda: dcgan_networks(DCGANConfig(size=128, width=64), 1), (19_082_688, 17_429_824)),
        (lambda: wgan_networks(WGANConfig(), 1), (3_574_656, 2_763_520)),
        (lambda: wgan_networks(WGANConfig(size=128), 1), (12_784_512, 11_162_368)),
        (lambda: wgan_networks(WGANConfig(size=256), 1), (47_981_440, 44_737_280)),
        (lambda: wgan_gp_networks(WGANGPConfig(), 1), (8_539_329, 7_490_689)),
        (lambda: acgan_networks(ACGANConfig(), 1, 4), (11_452_928, 2_006_101)),
    ],
)
def test_networks_have_the_published_sizes(build, expected):
    networks = build()
    counts = [sum(int(np.prod(v.shape)) for v in networks[n].trainable_variables) for n in "GD"]
    assert tuple(counts) == expected


@pytest.mark.parametrize("name", ["dcgan", "wgan", "wgan_gp", "acgan"])
@pytest.mark.parametrize("side", [32, 128])
def test_images_have_the_size_that_is_asked_for(name, side):
    config = replace(LATENT_GANS[name](), size=side, width=4, latent=6)
    build = {"dcgan": dcgan_networks, "wgan": wgan_networks, "wgan_gp": wgan_gp_networks}
    nets = acgan_networks(config, 2, 3) if name == "acgan" else build[name](config, 2)
    images = nets["G"](tf.zeros([3, 6 + 3 * (name == "acgan")]))
    score, *others = nets["D"](images)
    assert images.shape == (3, side, side, 2) and score.shape == (3, 1, 1, 1)
    assert [tuple(other.shape) for other in others] == [(3, 3)] * (name == "acgan")


def test_no_two_layers_begin_with_the_same_kernel():
    kernels = [
        v.numpy().ravel()[:8]
        for net in wgan_gp_networks(WGANGPConfig(width=4), 1).values()
        for v in net.trainable_variables
        if v.shape.rank > 1
    ]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)


def test_slices_become_squares_with_black_margins_and_come_back():
    ramp = np.linspace(0.1, 0.9, 32 * 24, dtype=np.float32).reshape(1, 32, 24, 1)
    square = to_square(tf.constant(ramp), 32).numpy()
    np.testing.assert_allclose(square[:, :, 4:28], ramp, atol=1e-6)
    assert (square[:, :, :4] == 0).all() and (square[:, :, 28:] == 0).all()
    np.testing.assert_allclose(from_square(tf.constant(square), SIZE), ramp, atol=1e-6)


def test_a_residual_block_by_single_operations():
    x = tf.random.stateless_normal([2, 4, 6, 3], [1, 2])
    block = ResidualBlock(Row("down", 5, resample="down"), 1, 3)
    block(x)
    for norm in block.norms:
        norm.gamma.assign(tf.constant([0.5, 1.0, 2.0]))
        norm.beta.assign(tf.constant([0.1, 0.0, -0.1]))

    def normalised(y):
        mean, variance = (f(y, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.var))
        return (y - mean) / np.sqrt(variance + 1e-5) * [0.5, 1, 2] + [0.1, 0, -0.1]

    def convolved(y, layer):
        y = tf.nn.conv2d(np.float32(y), layer.kernel, 1, "SAME").numpy()
        return y + (0 if layer.bias is None else layer.bias.numpy())

    def pooled(y):
        return y.reshape(2, 2, 2, 3, 2, -1).mean(axis=(2, 4))

    y = convolved(np.maximum(normalised(x.numpy()), 0), block.first)
    y = pooled(convolved(np.maximum(normalised(y), 0), block.second))
    expected = y + convolved(pooled(x.numpy()), block.shortcut)
    np.testing.assert_allclose(block(x), expected, rtol=1e-4, atol=1e-5)


def test_terms_of_dcgan_and_acgan_by_hand():
    batch = random_batch(4, 0, SIZE)
    system = DCGAN(DCGANConfig(size=16, width=4, latent=8, decay=0.1), SIZE, 4)
    D, real, fake = system.networks["D"], system.real(batch), system.generate(batch["seed"], "D")
    assert real.shape == (4, 16, 16, 4) and float(tf.reduce_min(real)) == -1  # the margins
    terms, _ = system.critic_terms(real, fake, batch)
    score = [D(images, training=True)[0] for images in (real, fake)]
    squares = sum(float(tf.reduce_sum(v**2)) for v in D.trainable_variables)
    expected = cross_entropy(score[0], 1), cross_entropy(score[1], 0), 0.05 * squares
    assert [float(term) for term in terms.values()] == pytest.approx(expected, rel=1e-4)
    found = system.generator_terms(fake, batch["seed"])
    squares = sum(np.sum(v.numpy() ** 2) for v in system.networks["G"].trainable_variables)
    assert float(found["G/adversarial"]) == pytest.approx(cross_entropy(score[1], 1), rel=1e-4)
    assert float(found["G/decay"]) == pytest.approx(0.05 * squares, rel=1e-4)

    config = ACGANConfig(size=32, width=4, latent=8, discriminator_width=2, drop=0.0)
    for nll in (False, True):
        system = ACGAN(replace(config, nll_of_softmax=nll), SIZE, 4)
        real, fake = system.real(batch), system.generate(batch["seed"], "G")
        terms = system.generator_terms(fake, batch["seed"])
        score, logits = system.networks["D"](fake, training=True)
        drawn = np.argmax(system.latent(batch["seed"], "G")[:, 8:], axis=1)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        true = p[np.arange(4), drawn]
        assert float(terms["G/class"]) == pytest.approx(
            -true.mean() if nll else -np.log(true).mean(), rel=1e-4
        )
        assert float(terms["G/adversarial"]) == pytest.approx(cross_entropy(score, 1), rel=1e-4)


def test_terms_of_the_critics_by_hand():
    batch = random_batch(4, 0, SIZE)
    config = WGANGPConfig(size=16, width=2, latent=8, penalty=7.0)
    for system in (WGAN(WGANConfig(size=16, width=4, latent=8), SIZE, 4), WGANGP(config, SIZE, 4)):
        real, fake = system.real(batch), system.generate(batch["seed"], "D")
        D = system.networks["D"]
        terms, _ = system.critic_terms(real, fake, batch)
        score = [D(images, training=True)[0].numpy() for images in (real, fake)]
        assert float(terms["D/real"]) == pytest.approx(-score[0].mean(), rel=1e-4)
        assert float(terms["D/fake"]) == pytest.approx(score[1].mean(), rel=1e-4)
        found = system.generator_terms(fake, batch["seed"])["G/adversarial"]
        assert float(found) == pytest.approx(-score[1].mean(), rel=1e-4)
    share = uniform(batch["seed"], "interpolation", (1, 1, 1))
    mixed = share * real + (1 - share) * fake
    with tf.GradientTape() as tape:
        tape.watch(mixed)
        total = tf.reduce_sum(D(mixed)[0])
    gradient = tape.gradient(total, mixed).numpy().reshape(4, -1)
    expected = 7 * np.mean((np.linalg.norm(gradient, axis=1) - 1) ** 2)
    assert float(terms["D/penalty"]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    "kind, config, low, spread",
    [
        (DCGAN, DCGANConfig(size=16, width=4), -1.0, 3**-0.5),  # U(-1,1)
        (WGAN, WGANConfig(size=16, width=4), -6.0, 1.0),  # N(0,1)
    ],
)
def test_random_vectors_have_their_methods_distribution(kind, config, low, spread):
    system = kind(config, SIZE, 1)
    seeds = np.stack([np.arange(200), np.zeros(200)], axis=1).astype(np.int32)
    z = system.latent(tf.constant(seeds), "G").numpy()
    assert z.shape == (200, 100) and low <= z.min() < -0.99 and z.max() <= -low
    assert abs(z.mean()) < 0.02 and z.std() == pytest.approx(spread, rel=0.02)


def test_both_classes_of_acgan_are_terms_of_its_discriminator():
    batch = random_batch(4, 0, SIZE)
    config = ACGANConfig(size=32, width=4, latent=8, discriminator_width=2, drop=0.0)
    system = ACGAN(config, SIZE, 4)
    real, fake = system.real(batch), system.generate(batch["seed"], "D")
    terms, _ = system.critic_terms(real, fake, batch)
    true = system._classes_of(batch), np.argmax(system.latent(batch["seed"], "D")[:, 8:], axis=1)
    for name, images, classes in zip(("real", "fake"), (real, fake), true):
        score, logits = (found.numpy() for found in system.networks["D"](images, training=True))
        target = {"real": 1, "fake": 0}[name]
        assert float(terms[f"D/{name}"]) == pytest.approx(cross_entropy(score, target), rel=1e-4)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        expected = -np.log(p[np.arange(4), np.asarray(classes)]).mean()
        assert float(terms[f"D/class_{name}"]) == pytest.approx(expected, rel=1e-4)


def test_a_bad_update_of_the_critic_is_no_turn():
    config = WGANConfig(size=16, width=4, latent=8, **EVERY_STEP)
    system, batch = WGAN(config, SIZE, 4), random_batch(2, 0, SIZE)
    before = [v.numpy() for v in state_of(system) if "moving" not in v.name]
    step = tf.function(system.train_step, autograph=False)
    step({**batch, "images": batch["images"] * np.nan})
    after = [v.numpy() for v in state_of(system) if "moving" not in v.name]
    for old, new in zip(before, after):
        if old.shape[-1:] != ():  # the clipping touches weights alone
            np.testing.assert_array_equal(np.clip(old, -0.01, 0.01), np.clip(new, -0.01, 0.01))
        else:
            assert old == new


def test_classes_of_acgan_are_modalities_or_those_of_images():
    batch = random_batch(16, 0, SIZE)
    config = ACGANConfig(size=32, width=4, latent=8, discriminator_width=2)
    system = ACGAN(config, SIZE, 4)
    modality = system._classes_of(batch).numpy()
    assert set(modality) == {0, 1, 2, 3}
    whole = 2 * to_square(batch["images"], 32).numpy() - 1
    expected = np.stack([whole[b, ..., m] for b, m in enumerate(modality)])[..., None]
    np.testing.assert_array_equal(system.real(batch), expected)
    made = system.synthesize(batch)["images"]
    assert made.shape == (16, *SIZE, 4) and np.ptp(made[..., 0] - made[..., 1]) > 0
    labelled = {**batch, "label": tf.ones([16, *SIZE, 1], tf.int32)}
    system = ACGAN(config, SIZE, 4, classes=3)
    assert system.networks["G"].count_params() and set(system._classes_of(labelled).numpy()) == {1}
    assert system.real(labelled).shape == (16, 32, 32, 4)


def test_the_critic_of_wgan_is_clipped_and_has_long_turns_at_the_start():
    config = WGANConfig(
        size=16, width=4, latent=8, critic_steps=2, long_steps=4, long_starts=2, long_every=4
    )
    system, moved = WGAN(config, SIZE, 4), []
    step = tf.function(system.train_step, autograph=False)
    for number in range(21):
        before = [v.numpy() for v in system.variables("G")]
        report = step(random_batch(2, number % 3, SIZE))
        changed = any((a != v.numpy()).any() for a, v in zip(before, system.variables("G")))
        moved += [number + 1] * changed
        assert max(float(tf.reduce_max(abs(v))) for v in system.variables("D")) <= 0.01
        assert float(report["gradient_norm/G"]) > 0 or not moved
    # Two long turns, two short ones, and a long one before the fourth update after the first.
    assert moved == [4, 8, 10, 12, 16, 18, 20]


def test_two_devices_keep_one_state():
    """What is assigned beside the optimisers is the same on both."""
    strategy = mirrored_strategy()
    with strategy.scope():
        config = WGANConfig(size=16, width=4, latent=8, critic_steps=2, long_starts=0, long_every=0)
        system = WGAN(config, SIZE, 4)
    step = tf.function(lambda batch: strategy.run(system.train_step, args=(batch,)))
    for seed in range(3):
        step(shards(strategy, random_batch(4, seed, SIZE)))
    assert system.networks["turns"].made.numpy() == 1
    for variable in state_of(system):
        if "moving" not in variable.name:  # batch norm has the statistics of each device alone
            first, second = strategy.experimental_local_results(variable)
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("dcgan", {"size": 48}, "size is 48; give a power of two, 16 or more"),
        ("acgan", {"size": 16}, "a power of two, 32 or more"),
        ("wgan", {"clip": 0.0}, "clip is 0.0; give a number above 0"),
        ("wgan_gp", {"critic_steps": 0}, "critic_steps is 0; give 1 or more"),
        ("pggan", {"batch_sizes": ()}, "batch_sizes is "),
    ],
)
def test_impossible_settings_are_refused(name, options, words):
    with pytest.raises(UserError, match=words):
        LATENT_GANS[name](**options)
