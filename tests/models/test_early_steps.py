"""The early paper's steps against its tables of terms, one network call per map and per image."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from losses.structure import soft_edges
from models.early_gan.config import (
    EarlyGANConfig,
    EarlyMapsConfig,
    LesionNetsConfig,
    MadeWeights,
    PretrainingConfig,
    RangeWeights,
    RealWeights,
)
from models.early_gan.images import EarlyGAN, Pretraining
from models.early_gan.lesions import LesionNets
from models.early_gan.maps import EarlyMaps
from models.networks.adversarial import AdversarialWeights, ValidityWeights
from tests.models.harness import LONG, SystemTests
from tests.models.toys import CLASS_WEIGHTS, calm, mse, random_batch, reference_lesion
from utils.seeding import normal, uniform

SMALL = EarlyGANConfig(width=4, discriminator_width=4, initializer="he_normal")
LESIONS = LesionNetsConfig(width=4, initializer="he_normal")
ALL = list(itertools.permutations(range(4), 2))
# The published weights (2.4, 2.6; original code, 7.5): of a term, or of each of its summands.
PUBLISHED = {
    "D/real": 100,
    "D/fake": 70,
    "D/modality": 100,
    "D/translated": 10,
    "D/code_real": 1,
    "D/code_fake": 4,
    "G/adversarial": 70,
    "G/modality": 100,
    "G/translated": 10,
    "G/translated_modality": 100,
    "G/code_adversarial": 4,
    "G/code_of_images": 1,
    "G/reconstruction": 5,
    "G/cycle": 10,
    "G/consistency": 2,
    "G/code": 5,
    "G/code_pairs": 1,
    "G/range_rebuilt": 0.5,
    "G/range_translated": 1,
    "G/registration": 20,
    "G/registration_pairs": 5,
    "G/made_code": 1,
    "G/made_code_pairs": 0.2,
    "G/range_made": 1.5,
    "G/edges": 15,
    "G/edge_pairs": 5,
    "G/lesion": 1,
}
# All different, each with the setting that it belongs to.
OTHERS = {
    "synthesis": EarlyGANConfig(
        width=4,
        discriminator_width=4,
        initializer="he_normal",
        all_targets=False,
        adversarial=AdversarialWeights(real=3.0, fake=5.0, modality=7.0),
        code=ValidityWeights(real=11.0, fake=13.0),
        real=RealWeights(reconstruction=17.0, validity=19.0, modality=23.0, cycle=29.0, code=31.0),
        made=MadeWeights(
            edges=37.0, edge_pairs=41.0, lesion=0.43, translation=47.0, code=53.0, code_pairs=59.0
        ),
        range=RangeWeights(made=61.0, translated=67.0, rebuilt=71.0),
    ),
    "weights": {
        "D/real": 3,
        "D/fake": 5,
        "D/modality": 7,
        "D/translated": 19,
        "D/code_real": 11,
        "D/code_fake": 13,
        "G/adversarial": 5,
        "G/modality": 7,
        "G/translated": 19,
        "G/translated_modality": 23,
        "G/code_adversarial": 13,
        "G/code_of_images": 11,
        "G/reconstruction": 17,
        "G/cycle": 29,
        "G/code": 31,
        "G/range_rebuilt": 71,
        "G/range_translated": 67,
        "G/registration": 47,
        "G/made_code": 53,
        "G/made_code_pairs": 59,
        "G/range_made": 61,
        "G/edges": 37,
        "G/edge_pairs": 41,
        "G/lesion": 0.43,
    },
}


class Calls:
    """The networks of an image stage, called for one image or map at a time."""

    def __init__(self, system: EarlyGAN, batch: dict):
        self.networks, self.batch = system.networks, batch
        self.pairs, self.times = ALL, 1  # translations, and for how many each stands
        if not system.config.all_targets:
            shift = 1 + int(uniform(batch["seed"][:1], "shift", (), 0.0, 3.0)[0])
            self.pairs, self.times = [(i, (i + shift) % 4) for i in range(4)], 3

    def code_of_map(self, prefix: str) -> tf.Tensor:
        structure, label = (self.batch[prefix + key] for key in ("structure", "label"))
        one_hot = [0.8 * structure + 0.2 * tf.cast(label == c, tf.float32) for c in range(5)]
        return self.networks["EC_R"](tf.concat(one_hot, axis=-1))

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        return self.networks["M"].encode(x)[0]

    def decode(self, code: tf.Tensor, i: int) -> tf.Tensor:
        return self.networks["M"].decode((code, {}), tf.one_hot([i] * code.shape[0], 4))

    def translate(self, codes: list) -> dict:
        return {(i, j): self.decode(codes[i], j) for i, j in self.pairs}

    def adversarial(self, x: list, x_g: list, code_g: tf.Tensor) -> dict:
        """Terms of D_M and FD_R, and what G does against them (2.2, 2.3), without weights."""
        D, FD, terms = self.networks["D_M"], self.networks["FD_R"], defaultdict(float)
        codes = [self.encode(image) for image in x]
        for i, (real, fake) in enumerate(zip(map(D, x), map(D, x_g))):
            terms["D/real"] += mse(real[0], 1.0)
            terms["D/modality"] += mse(real[1], float(i))
            terms["D/fake"] += mse(fake[0], 0.0)
            terms["G/adversarial"] += mse(fake[0], 1.0)
            terms["G/modality"] += mse(fake[1], float(i))
            terms["D/code_real"] += mse(FD(codes[i]), 1.0)
            terms["G/code_of_images"] += mse(FD(codes[i]), 0.0)
        for (_, j), image in self.translate(codes).items():
            valid, index = D(image)
            terms["D/translated"] += self.times * mse(valid, 0.0)
            terms["G/translated"] += self.times * mse(valid, 1.0)
            terms["G/translated_modality"] += self.times * mse(index, float(j))
        terms["D/code_fake"] = mse(FD(code_g), 0.0)
        terms["G/code_adversarial"] = mse(FD(code_g), 1.0)
        return terms

    def real(self, x: list) -> dict:
        """Reconstruction, translation and cycles (2.2, 2.4), without weights."""
        terms, codes = defaultdict(float), [self.encode(image) for image in x]
        there, black = self.translate(codes), [tf.cast(image == 0, tf.float32) for image in x]
        for i, image in enumerate(x):
            rebuilt = self.decode(codes[i], i)
            terms["G/reconstruction"] += mse(rebuilt, image)
            terms["G/range_rebuilt"] += mse(rebuilt * black[i], 0.0)
        again = {pair: self.encode(image) for pair, image in there.items()}
        back = {(i, j): self.decode(code, i) for (i, j), code in again.items()}
        for i, j in self.pairs:
            terms["G/cycle"] += self.times * mse(back[i, j], x[i])
            terms["G/code"] += self.times * mse(again[i, j], codes[i])
            terms["G/range_translated"] += self.times * mse(there[i, j] * black[i], 0.0)
        for a, b in itertools.combinations(self.pairs, 2):
            if a[0] == b[0]:
                terms["G/consistency"] += mse(back[a], back[b])
                terms["G/code_pairs"] += mse(again[a], again[b])
        return terms

    def made(self, x_g: list, code_g: tf.Tensor) -> dict:
        """Map and translations hold the four images together (2.3, 2.4), without weights."""
        outside, terms = self.batch["random_outside"], defaultdict(float)
        codes = [self.encode(image) for image in x_g]
        for (_, j), image in self.translate(codes).items():
            terms["G/registration"] += self.times * mse(image, x_g[j])
            terms["G/range_made"] += self.times * mse(image * outside, 0.0)
        there = self.translate(codes)
        for a, b in itertools.combinations(self.pairs, 2):
            if a[1] == b[1]:
                terms["G/registration_pairs"] += mse(there[a], there[b])
        healthy = tf.cast(self.batch["random_label"] == 0, tf.float32)
        edges = [soft_edges(image, 0.12, 0.02) * healthy for image in x_g]
        for image, code, found in zip(x_g, codes, edges):
            terms["G/range_made"] += mse(image * outside, 0.0)
            terms["G/made_code"] += mse(code, code_g)
            terms["G/edges"] += mse(found, self.batch["random_structure"] * healthy)
        for a, b in itertools.combinations(range(4), 2):
            terms["G/made_code_pairs"] += mse(codes[a], codes[b])
            terms["G/edge_pairs"] += mse(edges[a], edges[b])
        return terms


def by_group(terms: dict, weights: dict) -> dict:
    """{"G": .., "D": ..} of weighted terms; of those of pairs there are none for one target."""
    pairs = {"G/consistency", "G/code_pairs", "G/registration_pairs"}
    assert set(weights) - pairs <= set(terms) <= set(weights)
    return {group: {k: weights[k] * v for k, v in terms.items() if k[0] == group} for group in "GD"}


def rows(images: tf.Tensor) -> list:
    return tf.split(images, 4, axis=-1)


def reference_terms(system: EarlyGAN, batch: dict, weights: dict, lesion) -> dict:
    """`lesion`: from (image [B,H,W,4], label) to the summed term of the lesion nets."""
    calls, x = Calls(system, batch), rows(batch["unpaired_images"])
    code_g = calls.code_of_map("random_")
    x_g = [calls.decode(code_g, i) for i in range(4)]
    terms = {**calls.adversarial(x, x_g, code_g), **calls.real(x), **calls.made(x_g, code_g)}
    terms["G/lesion"] = lesion(tf.concat(x_g, axis=-1), batch["random_label"])
    return by_group(terms, weights)


def with_black(batch: dict) -> dict:
    """A third of the pixels of real images are black, others in each modality."""
    images = batch["unpaired_images"]
    kept = np.random.default_rng(1).random(images.shape) > 1 / 3
    return {**batch, "unpaired_images": images * tf.constant(kept, tf.float32)}


class TestEarlyGAN(SystemTests):
    groups = {"G": ["EC_R", "M"], "D": ["D_M", "FD_R"]}
    parameters = {"EC_R": 18_228, "M": 18_084 + 22_539, "D_M": 2_110, "FD_R": 7_045}
    split_rate = 1e-7
    slow = LONG

    def build(self):
        tf.keras.utils.set_random_seed(1)
        return calm(EarlyGAN(SMALL, calm(LesionNets(LESIONS))))

    def batch(self, samples=2, seed=0):
        return with_black(random_batch(samples, seed, self.size))

    def guides(self, system):
        return list(system.lesions.networks.values())

    def reference(self, system, batch):
        nets = list(system.lesions.networks.values())

        def lesion(images, label):
            return sum(reference_lesion(net, i, images, label) for i, net in enumerate(nets))

        return reference_terms(system, batch, PUBLISHED, lesion)


class TestJoint(SystemTests):
    """Lesion nets learn on, one translation of each image, and weights that all differ."""

    groups = {**TestEarlyGAN.groups, "L": ["L"]}
    parameters = {**TestEarlyGAN.parameters, "L": 39_627}
    split_rate = None  # each device draws a target of its own
    slow = LONG

    def build(self):
        tf.keras.utils.set_random_seed(1)
        lesions = LesionNets(replace(LESIONS, scheme="1seg"))
        return calm(EarlyGAN(OTHERS["synthesis"], lesions, joint=True))

    def batch(self, samples=2, seed=0):
        return with_black(random_batch(samples, seed, self.size))

    def reference(self, system, batch):
        """The lesion nets' weights are twice those of frozen ones, for both groups."""

        def lesions(images, label):
            net = system.networks["L"]
            return [2 * reference_lesion(net, i, images, label) for i in range(4)]

        groups = reference_terms(system, batch, OTHERS["weights"], lambda *x: sum(lesions(*x)))
        found = lesions(batch["images"], batch["label"])
        return {**groups, "L": {f"L/lesion_{i}": term for i, term in enumerate(found)}}


class TestPretraining(SystemTests):
    groups = TestEarlyGAN.groups
    parameters = TestEarlyGAN.parameters
    split_rate = 1e-7
    slow = LONG

    def build(self):
        tf.keras.utils.set_random_seed(1)
        own = PretrainingConfig(made=2.0, translation=3.0, outside=5.0, code=7.0, adversarial=0.5)
        return calm(Pretraining(replace(SMALL, pretraining=own)))

    def reference(self, system, batch):
        calls, x, terms = Calls(system, batch), rows(batch["images"]), defaultdict(float)
        code_g, outside = calls.code_of_map(""), batch["outside"]
        x_g = [calls.decode(code_g, i) for i in range(4)]
        versus = calls.adversarial(x, x_g, code_g)
        groups = by_group(versus, {k: PUBLISHED[k] for k in versus})
        codes = [calls.encode(image) for image in x]
        for i in range(4):
            terms["G/made"] += 2 * tf.reduce_mean(abs(x_g[i] - x[i]))
            terms["G/code"] += 7 * mse(codes[i], code_g)
            terms["G/outside"] += 5 * mse(x_g[i] * outside, 0.0)
        for (_, j), image in calls.translate(codes).items():
            terms["G/translation"] += 3 * tf.reduce_mean(abs(image - x[j]))
            terms["G/outside"] += 5 * mse(image * outside, 0.0)
        g = {name: 0.5 * term for name, term in groups["G"].items()}
        return {"G": {**g, **terms}, "D": groups["D"]}


MAPS = EarlyMapsConfig(width=4, latent_size=16, initializer="he_normal")


def both(binary: tf.Tensor) -> tf.Tensor:
    return tf.concat([1 - binary, binary], axis=-1)


def line(channels: tf.Tensor) -> tf.Tensor:
    return channels[..., 1:] / (channels[..., :1] + channels[..., 1:] + 1e-6)


class TestEarlyMaps(SystemTests):
    groups = {"G": ["EC_F", "DC_F"], "M": ["MASK"], "D": ["D_F", "FD_F"]}
    parameters = {"EC_F": 52_112, "DC_F": 81_362, "MASK": 39_510, "D_F": 20_241, "FD_F": 10_945}
    split_rate = 1e-6
    size = (40, 36)
    slow = LONG

    def build(self):
        tf.keras.utils.set_random_seed(1)
        return calm(EarlyMaps(MAPS, self.size))

    def reference(self, system, batch):
        """Weights of the original code, 7.3; its dead terms on soft maps (4 of the reference)."""
        EC_F, DC_F, MASK, D_F, FD_F = system.networks.values()
        f, m = batch["structure"], batch["outside"]
        mean, log_variance = EC_F(f)
        spread = tf.exp(log_variance / 2)
        z, noise = (normal(batch["seed"], name, (16,)) for name in ("z", "code"))
        code = mean + spread * noise
        f_r, f_g = DC_F(code), DC_F(z)
        hard = [tf.cast(x[..., 1:] > x[..., :1], tf.float32) for x in (f_r, f_g)]
        masks = [line(MASK(x)) for x in (f, *hard)]
        moments = mse(tf.reduce_mean(mean, 1), 0.0) + mse(tf.reduce_mean(spread, 1), 1.0)
        return {
            "G": {
                "G/code_adversarial": 0.1 * mse(FD_F(code), 1.0),
                "G/code_moments": 0.1 * moments,
                "G/map_adversarial": mse(D_F(line(f_g)), 1.0),
                "G/map": 50 * mse(f_r, both(f)),
                "G/lines_outside": 5 * mse(line(f_r) * m, 0.0),
            },
            "M": {
                "M/mask": 25 * mse(MASK(f), both(m)),
                "M/lines_outside_real": 5 * mse(f * masks[0], 0.0),
                "M/lines_outside_rebuilt": 5 * mse(line(f_r) * masks[1], 0.0),
                "M/lines_outside_random": 5 * mse(line(f_g) * masks[2], 0.0),
            },
            "D": {
                "D/code_real": 0.1 * mse(FD_F(z), 1.0),
                "D/code_fake": 0.1 * mse(FD_F(code), 0.0),
                "D/map_real": 0.01 * mse(D_F(f), 1.0),
                "D/map_fake": 0.01 * mse(D_F(line(f_g)), 0.0),
            },
        }


def test_the_codes_target_of_a_line_is_five():
    system = EarlyMaps(replace(MAPS, onehot_target=5.0), (40, 36))
    batch = random_batch(2, size=(40, 36))
    outputs = system.outputs(batch)
    found = system.terms(batch, outputs)["G"]["G/map"]
    f = batch["structure"].numpy()
    target = 5 * np.concatenate([1 - f, f], axis=-1)
    assert float(found) == pytest.approx(50 * np.mean((outputs["rebuilt"] - target) ** 2))


@pytest.mark.parametrize("scheme", ["1seg", "1seg_4channel", "1ecl_4dcl", "4seg"])
def test_class_weights_follow_the_scheme_unless_they_are_given(scheme):
    single = scheme.startswith("1seg")
    expected = (1, 15, 85, 85, 85) if single else (1, 5, 15, 15, 15)
    batch = random_batch(2)
    for given, weights in ((None, expected), (CLASS_WEIGHTS, CLASS_WEIGHTS)):
        system = LesionNets(replace(LESIONS, scheme=scheme, class_weights=given))
        p = system.class_scores(batch["images"]).numpy()
        target = np.eye(5)[batch["label"].numpy()[..., 0]]
        errors = ((p - target[:, None]) ** 2).mean(axis=(0, 2, 3))  # [networks, classes]
        report = system.train_step(batch)
        for i, error in enumerate(errors):
            assert float(report[f"G/lesion_{i}"]) == pytest.approx(error @ weights, rel=1e-4)


def test_joint_lesion_nets_keep_weights_of_their_own():
    batch = random_batch(2)
    for given, weights in ((None, 2 * np.array(CLASS_WEIGHTS)), ((1, 2, 3, 4, 5),) * 2):
        nets = LesionNets(replace(LESIONS, scheme="1seg_4channel", class_weights=given))
        system = EarlyGAN(SMALL, nets, joint=True)
        p = nets.class_scores(batch["images"]).numpy()[:, 0]
        error = ((p - np.eye(5)[batch["label"].numpy()[..., 0]]) ** 2).mean(axis=(0, 1, 2))
        found = system._lesion_nets_terms(batch)["L/lesion_0"]
        assert float(found) == pytest.approx(error @ weights, rel=1e-4)
