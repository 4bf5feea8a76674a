"""One step of the translator against the loss table, written with one network call per image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from experiments.benchmarking.reference import reference_translation_terms
from models.structure_gan.config import AdversarialWeights, RegistrationConfig
from models.structure_gan.registration import Registration
from tests.models.harness import LONG, SystemTests
from tests.models.toys import assert_step_equals, calm, random_batch


def tiny_registration(**options) -> Registration:
    config = RegistrationConfig(**{"width": 4, "initializer": "he_normal", **options})
    return calm(Registration(config))


# Table 2.2, corrected: D sees the translations, cycles return to their source.
PUBLISHED = RegistrationConfig(
    adversarial=AdversarialWeights(real=5.0, fake=3.0, modality=5.0),
    cycle=20.0,
    consistency=5.0,
    supervised=0.0,
)


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
