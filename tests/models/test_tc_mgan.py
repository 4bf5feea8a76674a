"""The four variants of TC-MGAN: order of the updates, losses and gradients, decay, synthesis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from models.tc_mgan.config import VARIANTS, SegmenterConfig, TCMGANConfig, TCMGANWeights
from models.tc_mgan.gan import TCMGAN, learning_rate
from models.tc_mgan.modalities import TARGETS, draw_targets, pair_of
from tests.models.harness import LONG, SystemTests
from tests.models.test_tc_mgan_segmenter import SIZE, batch_of, reference_dice, tiny_segmenter
from tests.models.toys import values
from utils.errors import UserError
from utils.seeding import uniform


def tiny_tc_mgan(variant="tc_mgan", segmenter=None, total_steps=10, **options) -> TCMGAN:
    small = {"image_size": SIZE, "width": 2, "critic_width": 2}
    config = TCMGANConfig(variant, **{**small, **options})
    return TCMGAN(config, segmenter or tiny_segmenter(), total_steps)


def reference_penalty(D, y, fake, x, share) -> tf.Tensor:
    """Sample by sample: (norm of the gradient of the summed map - 1)^2."""
    losses = []
    for i in range(len(y)):
        mixed = share[i] * y[i : i + 1] + (1 - share[i]) * fake[i : i + 1]
        with tf.GradientTape() as tape:
            tape.watch(mixed)
            score = tf.reduce_sum(D(mixed, x[i : i + 1])["score"])
        losses.append((tf.norm(tape.gradient(score, mixed)) - 1) ** 2)
    return tf.reduce_mean(losses)


def reference_entropy(logits, c) -> tf.Tensor:
    p = tf.sigmoid(logits)
    return -tf.reduce_sum(c * tf.math.log(p) + (1 - c) * tf.math.log(1 - p)) / len(c)


def reference_terms(system: TCMGAN, batch: dict, group: str) -> dict:
    """The objective of one network at the weights that all have now (paper eq. 4-7)."""
    net, suffix = system.networks, group[1:]
    index = [TARGETS.index(suffix[1:])] * 4 if suffix else draw_targets(batch["seed"])
    x, y, c, tumour, _ = pair_of(batch, tf.constant(index))
    labelled = system.config.variant != "pix2pix"
    fake = net[f"G{suffix}"](x, c if labelled else None)
    if group == "S":
        S = net["S"]
        return {
            "S/fake": 0.7 * reference_dice(S(tf.stop_gradient(fake), c, training=True), tumour),
            "S/real": 0.3 * reference_dice(S(y, c, training=True), tumour),
        }
    D = net[f"D{suffix}"]
    real_score, fake_score = (tf.reduce_sum(D(image, x)["score"]) / 4 for image in (y, fake))
    if group[0] == "D":
        share = uniform(batch["seed"], f"interpolation{suffix}", (1, 1, 1))
        penalty = reference_penalty(D, y, tf.stop_gradient(fake), x, share)
        terms = {"real": -real_score, "fake": fake_score, "penalty": 100 * penalty}
        if labelled:
            terms["modality"] = 10 * reference_entropy(D(y, x)["modality"], c)
    else:
        weight = np.take(system.config.weights.l1_labels, batch["label"])
        error = tf.reduce_sum(weight * tf.abs(fake - y)) / 4
        terms = {"adversarial": -fake_score, "l1": 0.1 * error}
        if labelled:
            terms["modality"] = 10 * reference_entropy(D(fake, x)["modality"], c)
        if system.variant.tumour:
            found = system.S(fake, c, training=system.variant.trains_segmenter)
            terms["tumour"] = 50 * reference_dice(found, tumour)
    return {f"{group}/{name}": term for name, term in terms.items()}


class TestTCMGAN(SystemTests):
    """D, then G against the new D; the rate falls after each update."""

    variant, in_turn, groups = "tc_mgan", ("D", "G"), {"D": ["D"], "G": ["G"]}
    parameters = {"G": 16_525, "D": 11_390}
    rate, precision, split_rate, size = 1e-3, 3e-3, 1e-3, SIZE
    slow = LONG[1:]

    def build(self):
        return tiny_tc_mgan(self.variant, total_steps=3)

    def batch(self, samples=4, seed=0):
        return batch_of(samples, seed)

    def reference(self, system, batch, group):
        return {group: reference_terms(system, batch, group)}

    def guides(self, system):
        return [] if system.S is None or "S" in system.networks else [system.S]


class TestTCMGANbw(TestTCMGAN):
    """S follows, on images of the new G; its batch norm takes each device's statistics alone."""

    variant, in_turn, groups = "tc_mgan_bw", ("D", "G", "S"), {**TestTCMGAN.groups, "S": ["S"]}
    parameters = {**TestTCMGAN.parameters, "S": 6_393}
    split_rate, slow = None, ("dry_run",)


class TestMGAN(TestTCMGAN):
    variant, slow = "mgan", LONG


class TestLabelWeights(TestMGAN):
    """The absolute error of each label counts by a factor of its own."""

    def build(self):
        weights = TCMGANWeights(l1_labels=(1.0, 0.0, 2.0, 0.5, 8.0))
        return tiny_tc_mgan(self.variant, total_steps=3, weights=weights)


class TestPix2pix(TestTCMGAN):
    """Models one after the other; without labels, 16 * 3 * 2 in G and a head of 32 * 3 in D."""

    variant, slow = "pix2pix", LONG
    in_turn = tuple(f"{net}_{target}" for target in TARGETS for net in "DG")
    groups = {name: [name] for name in in_turn}
    parameters = dict(zip(in_turn, [11_390 - 96, 16_525 - 96] * 3))


def test_bw_trains_a_copy_of_the_segmenter():
    segmenter, batch = tiny_segmenter(), batch_of()
    segmenter.train_step(batch)
    given = values(segmenter.networks["S"].variables)
    system = tiny_tc_mgan("tc_mgan_bw", segmenter)
    for a, b in zip(given, values(system.S.variables)):
        np.testing.assert_array_equal(a, b)
    system.train_step(batch)
    for a, b in zip(given, values(segmenter.networks["S"].variables)):
        np.testing.assert_array_equal(a, b)  # statistics too


SLOW = pytest.mark.slow  # each variant is a graph of its own to build


@pytest.mark.parametrize(
    "variant", [pytest.param(v, marks=() if v == "tc_mgan_bw" else SLOW) for v in VARIANTS]
)
def test_compiled_steps_stay_finite(variant):
    system, batch = tiny_tc_mgan(variant, learning_rate=1e-3), batch_of()
    step = tf.function(system.train_step, autograph=False)
    reports = [step(batch) for _ in range(5)]
    assert all(np.isfinite(float(v)) for report in reports for v in report.values())
    l1 = [name for name in reports[0] if name.endswith("/l1")]
    assert all(float(reports[-1][name]) < float(reports[0][name]) for name in l1)


@pytest.mark.parametrize("variant", ["pix2pix", "mgan"])
def test_synthesis_shows_all_targets_of_t2(variant):
    system, batch = tiny_tc_mgan(variant), batch_of()
    for network in system.networks.values():
        for v in network.trainable_variables:
            v.assign(np.random.default_rng(v.shape[-1]).normal(0, 0.3, v.shape))
    images = system.synthesize({"images": batch["images"]})["images"].numpy()
    assert images.shape == (2, *SIZE, 3) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1 and images.std() > 0.01
    x = 2 * batch["images"][..., 1:2] - 1
    for i, name in enumerate(TARGETS):
        if variant == "pix2pix":
            made = system.networks[f"G_{name}"](x)
        else:
            made = system.networks["G"](x, tf.one_hot([i, i], 3))
        np.testing.assert_allclose(images[..., i : i + 1], (made + 1) / 2, atol=1e-5)
    if variant == "mgan":
        assert np.abs(images[..., 0] - images[..., 2]).max() > 0.01


def test_learning_rate_falls_by_shares_of_the_training():
    """The paper's epochs 30, 60 and 90 of 100, in steps of 7 and in a training of 10 steps."""
    expected = [2e-4] * 30 + [1e-4] * 30 + [5e-5] * 30 + [1e-5] * 10
    rate = learning_rate(TCMGANConfig(), 700)
    found = [float(rate(step)) for step in range(700)]
    np.testing.assert_allclose(found, np.repeat(expected, 7), rtol=1e-6)
    short = [float(learning_rate(TCMGANConfig(), 10)(step)) for step in range(10)]
    np.testing.assert_allclose(short, expected[::10], rtol=1e-6)
    constant = TCMGANConfig(decay_shares=(), decay_factors=())
    assert learning_rate(constant, 700) == 2e-4
    adam = tiny_tc_mgan("mgan").optimizers["G"].get_config()
    names = ("beta_1", "beta_2", "epsilon")
    assert [adam[name] for name in names] == pytest.approx([0.9, 0.999, 1e-8], rel=1e-6)


def test_a_guided_variant_needs_a_segmenter():
    config = TCMGANConfig(image_size=SIZE, width=1, critic_width=1)
    with pytest.raises(UserError, match="variant is tc_mgan, which needs a trained segmenter"):
        TCMGAN(config, None, 10)
    TCMGAN(replace(config, variant="mgan"), None, 10)


@pytest.mark.parametrize(
    ("config", "arguments", "named"),
    [
        (TCMGANConfig, {"variant": "cyclegan"}, "--gan.variant .* one of pix2pix, mgan, tc_mgan"),
        (TCMGANConfig, {"image_size": (128, 100)}, "--gan.image_size has 128x100 pixels"),
        (TCMGANConfig, {"critic_width": 0}, "--gan.critic_width"),
        (TCMGANConfig, {"learning_rate": 0.0}, "--gan.learning_rate"),
        (TCMGANConfig, {"beta_1": 1.0}, "--gan.beta_1"),
        (TCMGANConfig, {"decay_shares": (0.6, 0.3, 0.9)}, "decay_shares .* in ascending order"),
        (TCMGANConfig, {"decay_shares": (0.3, 0.6, 1.0)}, "decay_shares .* between 0 and 1"),
        (TCMGANConfig, {"decay_factors": (0.5,)}, "decay_factors has 1 numbers; .* of the 3"),
        (TCMGANConfig, {"decay_factors": (0.5, 0.0, 1.0)}, "decay_factors .* above 0"),
        (TCMGANWeights, {"penalty": -1.0}, "--gan.weights.penalty"),
        (TCMGANWeights, {"l1_labels": (1.0,) * 4}, "--gan.weights.l1_labels .* give 5 numbers"),
        (TCMGANWeights, {"l1_labels": (1.0, 1.0, 1.0, 1.0, -1.0)}, "l1_labels .* 0 or more"),
        (SegmenterConfig, {"width": 0}, "width is 0"),
    ],
)
def test_settings_that_no_training_can_have_are_refused(config, arguments, named):
    with pytest.raises(UserError, match=named):
        config(**arguments)
