"""One step of the translator against the loss table, written with one network call per image."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from experiments.benchmarking.reference import reference_translation_terms
from models.networks.adversarial import AdversarialWeights
from models.networks.modalities import to_rows, translate_to_others
from models.networks.settings import learning_rate
from models.structure_gan.config import RegistrationConfig
from models.structure_gan.registration import Registration
from tests.models.harness import LONG, SystemTests
from tests.models.toys import assert_step_equals, calm, random_batch
from utils.errors import UserError


def tiny_registration(**options) -> Registration:
    config = RegistrationConfig(**{"width": 4, "initializer": "he_normal", **options})
    return calm(Registration(config, 1))


# Table 2.2, corrected: D sees the translations, cycles return to their source.
PUBLISHED = RegistrationConfig(
    adversarial=AdversarialWeights(real=5.0, fake=3.0, modality=5.0),
    cycle=20.0,
    consistency=5.0,
    supervised=0.0,
)


SUPERVISED = {
    "condition": "conditional_instance_norm",
    "code": "translation",
    "registered": True,
    "adversarial": AdversarialWeights(fake=0.0, modality=0.0),
    "cycle": 0.0,
    "consistency": 0.0,
    "supervised": 3.0,
    "error": "absolute",
}


class TestRegistration(SystemTests):
    groups = {"G": ["G_t"], "D": ["D_t"]}
    parameters = {"G_t": 17_947, "D_t": 2_110}
    split_rate = 1e-5
    slow, build = LONG[1:], staticmethod(tiny_registration)

    def reference(self, system, batch):
        return reference_translation_terms(system, batch["unpaired_images"], PUBLISHED)


@pytest.mark.slow
def test_options_equal_the_reference_on_registered_images():
    weights = {"cycle": 2.0, "consistency": 900.0, "supervised": 7.0}
    weights["adversarial"] = AdversarialWeights(2.0, 4.0, 7.0, 3.0)
    options = {"condition": "conditional_instance_norm", "registered": True}
    system, batch = tiny_registration(**options, **weights), random_batch()
    config = RegistrationConfig(registered=True, **weights)
    images = batch["images"]
    assert_step_equals(system, batch, lambda: reference_translation_terms(system, images, config))


class TestSupervisedRegistration(SystemTests):
    """The code names source and target, absolute errors alone: no cycles, and no D_t."""

    groups = {"G": ["G_t"]}
    # No codes at conv10, and 11 more rows of scales and offsets for the decoder's 77 channels.
    parameters = {"G_t": 17_947 - 9 * 4 * 16 + 11 * 2 * 77}
    split_rate, slow = 1e-3, LONG

    def build(self):
        return tiny_registration(**SUPERVISED)

    def reference(self, system, batch):
        config = RegistrationConfig(**SUPERVISED)
        return reference_translation_terms(system, batch["images"], config)


def test_the_discriminator_is_chosen():
    system = tiny_registration(discriminator="vgg11")
    assert system.networks["D_t"].trunk[-1].name == "conv5_2"


def test_translations_are_ordered_by_source_then_target():
    system, images = tiny_registration(), random_batch()["images"]
    found = system.synthesize({"images": images})["translations"]
    assert found.shape == (2, 12, 32, 24, 1)
    for k, (i, j) in enumerate(itertools.permutations(range(4), 2)):
        expected = system.networks["G_t"](images[..., i : i + 1], tf.one_hot([j, j], 4))
        np.testing.assert_allclose(found[:, k], expected, atol=2e-5)


def test_supervision_needs_registered_images():
    with pytest.raises(ValueError, match="supervised .* needs --registration.registered true"):
        tiny_registration(supervised=1.0)


def test_something_has_to_train_the_translator():
    options = {**SUPERVISED, "supervised": 0.0}
    with pytest.raises(UserError, match="adversarial.fake, .* are all 0"):
        RegistrationConfig(**options)
    for weight in ("cycle", "consistency", "supervised"):
        RegistrationConfig(**{**options, weight: 1.0})
    for head in ("fake", "modality"):
        weights = replace(options["adversarial"], **{head: 1.0})
        assert RegistrationConfig(**{**options, "adversarial": weights}).adversarial == weights


def test_absolute_error_by_hand():
    """Of outputs 1/4 to slices 0, 1/2, 3/4 and 1: (3 * 1/4 + 3 * 1/4 + 3 * 1/2 + 3 * 3/4) * 2."""
    system = tiny_registration(**{**SUPERVISED, "supervised": 2.0})
    last = system.networks["G_t"].output_unit
    last.norm, last.convolution = None, lambda x: tf.fill([*x.shape[:3], 1], -np.log(3.0))
    levels = tf.ones([1, 32, 24, 1]) * [0.0, 0.5, 0.75, 1.0]
    rows = to_rows(levels)
    found = system._supervised_term(rows, translate_to_others(system.networks["G_t"], rows))
    assert float(found["G/supervised"]) == pytest.approx(10.5, rel=1e-5)


def test_the_code_names_source_and_target():
    """Tables of the norms have a row for each translation, and another row, another image."""
    system, images = tiny_registration(**SUPERVISED), random_batch()["images"]
    network = system.networks["G_t"]
    found = system.synthesize({"images": images})["translations"]
    for k, (i, _) in enumerate(itertools.permutations(range(4), 2)):
        source = images[..., i : i + 1]
        expected = network(source, tf.one_hot([k, k], 12))
        np.testing.assert_allclose(found[:, k], expected, atol=2e-5)
        other = network(source, tf.one_hot([(k + 1) % 12] * 2, 12))
        assert np.abs(found[:, k] - other).max() > 1e-3


def test_the_rate_is_constant_or_ends_at_zero():
    constant = tiny_registration(learning_rate=0.5)
    assert [float(o.learning_rate) for o in constant.optimizers.values()] == [0.5, 0.5]
    config = RegistrationConfig(learning_rate=0.5, decay="cosine")
    rate = learning_rate(config.learning_rate, config.decay, 100)
    assert [float(rate(k)) for k in (0, 50, 100)] == pytest.approx([0.5, 0.25, 0.0], abs=1e-6)
    optimizer = Registration(config, 100).optimizers["G"]
    optimizer.iterations.assign(25)
    assert float(optimizer.learning_rate(optimizer.iterations)) == pytest.approx(0.426777, rel=1e-5)
