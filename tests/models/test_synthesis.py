"""Pre-training and adversarial training of G against the loss table, one network call per image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from experiments.benchmarking.reference import (
    guide,
    reference_reconstruction_terms,
    reference_synthesis_terms,
    reference_versus,
    to_each_modality,
)
from models.networks.adversarial import AdversarialWeights
from models.structure_gan import synthesis
from models.structure_gan.config import PretrainingConfig, SynthesisConfig
from models.structure_gan.guidance import LesionGuide, RegistrationGuide, brats_guides
from models.structure_gan.synthesis import Pretraining, Synthesis, build_generator
from tests.models.harness import LONG, SystemTests
from tests.models.test_registration import tiny_registration
from tests.models.toys import (
    assert_step_equals,
    calm,
    mse,
    random_batch,
    reference_lesion,
    tiny_segmentation,
)
from utils.graphs import reached_operations

NOISE = 0.55  # a range without width: the expected numbers need no random draw


def tiny_config(**options) -> SynthesisConfig:
    defaults = {"width": 4, "discriminator_width": 4, "initializer": "he_normal"}
    return SynthesisConfig(**{**defaults, "noise": (NOISE, NOISE), **options})


def guided(config: SynthesisConfig, translator) -> Synthesis:
    return Synthesis(config, brats_guides(translator, tiny_segmentation(), config))


def tiny_synthesis(**options) -> Synthesis:
    return calm(guided(tiny_config(**options), tiny_registration()))


def tiny_pretraining(**options) -> Pretraining:
    return calm(Pretraining(tiny_config(**options)))


def generated(network, structure, outside, label) -> list:
    """The four images, each from a whole call of G on [s', one-hot + 0.1]."""
    one_hot = [tf.cast(label == c, tf.float32) + 0.1 for c in range(5)]
    fused = structure + NOISE * (1 - outside) * (1 - structure)
    return to_each_modality(network, tf.concat([fused, *one_hot], axis=-1))


def maps(batch: dict, prefix: str = "") -> list:
    return [batch[prefix + key] for key in ("structure", "outside", "label")]


def reference_reconstruction(network, batch: dict, inside=5.0, outside=5.0) -> dict:
    """Eq. 18: mse(x_g, x) and mse(x_g m, x m) for every modality."""
    return reference_reconstruction_terms(generated(network, *maps(batch)), batch, inside, outside)


# Table 2.4.
PUBLISHED = SynthesisConfig(
    adversarial=AdversarialWeights(real=5.0, fake=3.0, modality=5.0),
    registration=20.0,
    consistency=5.0,
)


def reference_terms(system: Synthesis, batch: dict, config: SynthesisConfig = PUBLISHED) -> dict:
    x_g = generated(system.networks["G"], *maps(batch, "random_"))
    terms = reference_synthesis_terms(system, x_g, batch, config)
    images, label = tf.concat(x_g, -1), batch["random_label"]
    networks = enumerate(guide(system, LesionGuide).segmenters.networks.values())
    lesions = [reference_lesion(network, i, images, label) for i, network in networks]
    terms["G"]["G/lesion"] = tf.add_n(lesions)
    return terms


class TestSynthesis(SystemTests):
    groups = {"G": ["G"], "D": ["D"]}
    parameters = {"G": 17_947 + 9 * 5 * 4, "D": 2_110}  # five channels more than G_t sees
    split_rate = 1e-6
    slow = LONG
    build, reference = staticmethod(tiny_synthesis), staticmethod(reference_terms)

    def guides(self, system):
        translator = guide(system, RegistrationGuide).translator
        segmenters = guide(system, LesionGuide).segmenters
        return [translator.networks["G_t"], *segmenters.networks.values()]


class TestPretraining(SystemTests):
    groups, parameters = {"G": ["G"]}, {"G": 18_127}
    split_rate, build = 1e-3, staticmethod(tiny_pretraining)

    def reference(self, system, batch):
        return {"G": reference_reconstruction(system.networks["G"], batch)}


class TestAdversarialPretraining(SystemTests):
    groups, parameters = {"G": ["G"], "D": ["D"]}, {"G": 18_127, "D": 2_110}
    split_rate, slow = 1e-6, LONG

    def build(self):
        options = PretrainingConfig(reconstruction=2.0, error="absolute", adversarial=0.5)
        return tiny_pretraining(pretraining=options)

    def reference(self, system, batch):
        """Table 2.4's terms of D on rebuilt slices, those of G halved, and absolute errors."""
        x_g = generated(system.networks["G"], *maps(batch))
        terms = reference_versus(system.networks["D"], batch["images"], x_g, PUBLISHED.adversarial)
        real = tf.split(batch["images"], 4, axis=-1)
        outside = batch["outside"]
        g = {name: 0.5 * term for name, term in terms["G"].items()}
        g["G/reconstruction"] = sum(2 * tf.reduce_mean(abs(a - b)) for a, b in zip(x_g, real))
        g["G/reconstruction_outside"] = sum(
            5 * mse(a * outside, b * outside) for a, b in zip(x_g, real)
        )
        return {"G": g, "D": terms["D"]}


def test_options_equal_the_reference():
    options = {"registration": 2.0, "consistency": 90.0, "lesion": 0.1, "reconstruction": 0.5}
    weights = AdversarialWeights(modality_fake=1.5)
    options.update(condition="conditional_instance_norm", adversarial=weights, outside=300.0)
    system, batch = tiny_synthesis(**options), random_batch()

    def reference():
        config = replace(PUBLISHED, registration=2.0, consistency=90.0, adversarial=weights)
        terms = reference_terms(system, batch, config)
        terms["G"]["G/lesion"] *= 0.1
        images = generated(system.networks["G"], *maps(batch, "random_"))
        energies = [mse(x * batch["random_outside"], 0.0) for x in images]
        terms["G"]["G/outside"] = 300.0 * tf.add_n(energies)
        terms["G"].update(reference_reconstruction(system.networks["G"], batch, 2.5, 2.5))
        return terms

    assert_step_equals(system, batch, reference)


@pytest.mark.slow
def test_a_translator_that_is_told_the_source_guides():
    translator = tiny_registration(code="translation", condition="conditional_instance_norm")
    system, batch = calm(guided(tiny_config(), translator)), random_batch()
    assert_step_equals(system, batch, lambda: reference_terms(system, batch))


@pytest.mark.slow
def test_networks_that_guide_get_no_gradients_of_their_weights():
    system = tiny_synthesis()
    batch = {name: tf.constant(value) for name, value in random_batch().items()}
    graph = tf.function(system.train_step, autograph=False).get_concrete_function(batch).graph
    found = [op.type for op in reached_operations(graph)].count("Conv2DBackpropFilter")
    kernels = {
        name: sum(v.shape.rank == 4 for v in network.trainable_variables)
        for name, network in system.networks.items()
    }
    # G has three kernels in two parts, for the skip and for what joins it. D judges twice, but
    # learns no modality from generated images: the two kernels of that head.
    assert found == kernels["G"] + 3 + 2 * kernels["D"] - 2


def test_weights_of_pretraining_are_options():
    system = tiny_pretraining(pretraining=PretrainingConfig(reconstruction=2.0, outside=0.1))
    arguments = system.networks["G"], random_batch(), 2.0, 0.1
    assert_step_equals(system, arguments[1], lambda: {"G": reference_reconstruction(*arguments)})


def test_pretraining_learns_on_one_batch():
    system = tiny_pretraining(pretraining=PretrainingConfig(learning_rate=1e-2))
    batch = random_batch(1)
    levels = [0.9, 0.5, 0.3, 0.1]  # each modality shows the lines at its own level
    batch["images"] = tf.concat([level * batch["structure"] for level in levels], -1)
    losses = [float(system.train_step(batch)["loss/G"]) for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0]


class Eye:
    """Stands for G and shows what it is fed."""

    def encode(self, x):
        self.input = x.numpy()
        return x, {}

    def decode(self, codes, condition):
        return tf.repeat(codes[0][..., :1], 4, axis=0)


def test_generator_reads_noise_between_the_lines_and_the_label():
    batch, eye = random_batch(), Eye()
    config = tiny_config(noise=(0.5, 0.6))
    synthesis.generate(eye, config, batch)
    structure, outside, label = (x.numpy()[..., 0] for x in maps(batch))
    fused, one_hot = eye.input[..., 0], eye.input[..., 1:]
    np.testing.assert_allclose(one_hot, np.eye(5)[label] + 0.1, rtol=1e-6)
    np.testing.assert_array_equal(fused[structure == 1], 1)
    np.testing.assert_array_equal(fused[(structure == 0) & (outside == 1)], 0)
    noise = fused[(structure == 0) & (outside == 0)]
    assert 0.5 <= noise.min() < 0.51 and 0.59 < noise.max() < 0.6
    assert len(np.unique(noise)) > 0.95 * noise.size  # drawn for every pixel
    synthesis.generate(eye, tiny_config(label_scale=0.18), batch)
    np.testing.assert_allclose(eye.input[..., 1:], 0.18 * np.eye(5)[label] + 0.1, rtol=1e-6)
    inside = (structure == 0) & (outside == 0)
    both = inside[0] & inside[1]
    assert np.mean(fused[0][both] == fused[1][both]) < 0.05  # and for every sample


def test_ablation_inputs_equal_their_formulas():
    batch = random_batch()
    structure, outside, label = (x.numpy() for x in maps(batch))

    def fed(**options) -> np.ndarray:
        config = tiny_config(**options)
        return synthesis.generator_input(config, *maps(batch), batch["seed"]).numpy()

    one_hot = np.eye(5)[label[..., 0]]
    fused = structure + NOISE * (1 - outside) * (1 - structure)
    found = fed(fusion="weighted")
    np.testing.assert_allclose(found, 0.8 * fused + 0.2 * one_hot, rtol=1e-6)
    plain = fed(fusion="weighted", noise=(0.0, 0.0))
    np.testing.assert_allclose(plain, 0.8 * structure + 0.2 * one_hot, rtol=1e-6)
    np.testing.assert_array_equal(fed(label_input=False, noise=(0.0, 0.0)), structure)
    noise = fed(fusion="noise").reshape(2, 4, -1)
    assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05
    rows = noise.reshape(8, -1)  # of every sample and modality its own
    assert np.abs(np.corrcoef(rows) - np.eye(8)).max() < 0.2


@pytest.mark.parametrize("fusion", ["weighted", "noise"])
def test_ablation_inputs_make_four_modalities(fusion):
    system, batch = tiny_synthesis(fusion=fusion), random_batch()
    network, code = system.networks["G"], [tf.one_hot([i] * 2, 4) for i in range(4)]
    arguments = (system.config, *maps(batch, "random_"), batch["seed"])
    fed = synthesis.generator_input(*arguments)
    rows = tf.reshape(fed, [2, 4, 32, 24, 1]) if fusion == "noise" else None
    inputs = [fed if rows is None else rows[:, i] for i in range(4)]
    expected = tf.concat([network(x, c) for x, c in zip(inputs, code)], -1)
    np.testing.assert_allclose(system.synthesize(batch)["images"], expected, atol=2e-5)


def test_guides_without_weight_are_left_out():
    system = tiny_synthesis(registration=0.0, consistency=0.0, lesion=0.0)
    terms = system.train_step(random_batch())
    assert [n for n in terms if n.startswith("G/")] == ["G/adversarial", "G/modality"]


def test_rates_and_images_of_the_random_maps():
    rates = {"learning_rate": 0.25, "discriminator_learning_rate": 0.5}
    system, batch = tiny_synthesis(**rates), random_batch()
    assert [float(o.learning_rate) for o in system.optimizers.values()] == [0.25, 0.5]
    found = system.synthesize(batch)["images"]
    expected = generated(system.networks["G"], *maps(batch, "random_"))
    np.testing.assert_allclose(found, tf.concat(expected, -1), atol=2e-5)
    own = PretrainingConfig(learning_rate=0.5)
    pretraining = tiny_pretraining(learning_rate=1.0, pretraining=own)
    assert float(pretraining.optimizers["G"].learning_rate) == 0.5
    assert pretraining.synthesize(batch)["images"].shape == (2, 32, 24, 4)


def test_default_generator_has_the_thesis_size():
    assert build_generator(SynthesisConfig()).count_params() == 4_333_507
    assert build_generator(SynthesisConfig(label_input=False)).count_params() == 4_330_627
