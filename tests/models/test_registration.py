"""One step of the translator against the loss table, written with one network call per image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from models.structure_gan.config import AdversarialWeights, RegistrationConfig
from models.structure_gan.registration import Registration, adversarial_terms
from tests.models.test_segmentation import assert_all_learn, assert_step_equals, random_batch


@pytest.fixture(autouse=True)
def seeded():
    tf.keras.utils.set_random_seed(0)


def tiny_registration(**options) -> Registration:
    return Registration(RegistrationConfig(**{"width": 2, "initializer": "he_normal", **options}))


def mse(a, b) -> tf.Tensor:
    return tf.reduce_mean((a - b) ** 2)


def plain_losses(system: Registration, images, supervised=0.0, modality_fake=0.0) -> dict:
    """Table 2.2 with the corrected logic: D sees the translations, cycles return to their source."""
    G_t, D_t = system.networks["G_t"], system.networks["D_t"]
    x = [images[..., i : i + 1] for i in range(4)]
    code = [tf.one_hot([i] * len(images), 4) for i in range(4)]
    loss_d = loss_g = 0.0
    for i in range(4):
        valid, modality = D_t(x[i])
        loss_d += 5 * mse(valid, 1.0) + 5 * mse(modality, float(i))
        cycles = []
        for j in {0, 1, 2, 3} - {i}:
            translated = G_t(x[i], code[j])
            valid, modality = D_t(translated)
            loss_d += 3 * mse(valid, 0.0) + modality_fake * mse(modality, float(j))
            loss_g += 3 * mse(valid, 1.0) + 5 * mse(modality, float(j))
            loss_g += supervised * mse(translated, x[j])
            cycles.append(G_t(translated, code[i]))
            loss_g += 20 * mse(x[i], cycles[-1])
        for first, second in itertools.combinations(cycles, 2):
            loss_g += 5 * mse(first, second)
    return {"G": loss_g, "D": loss_d}


@pytest.mark.parametrize("condition", ["concat", "conditional_instance_norm"])
def test_step_equals_the_plain_form(condition):
    system, batch = tiny_registration(condition=condition), random_batch()
    terms = assert_step_equals(system, batch, lambda: plain_losses(system, batch["images"]))
    assert {"G/cycle", "G/consistency", "G/adversarial", "G/modality"} < set(terms)
    assert "D/modality_fake" not in terms and "G/supervised" not in terms


def test_options_of_the_papers_equal_the_plain_form():
    weights = AdversarialWeights(modality_fake=2.0)
    options = {"registered": True, "supervised": 7.0, "adversarial": weights}
    system, batch = tiny_registration(**options), random_batch()
    terms = assert_step_equals(
        system, batch, lambda: plain_losses(system, batch["images"], 7.0, 2.0)
    )
    assert {"D/modality_fake", "G/supervised"} < set(terms)


def test_every_variable_learns():
    assert_all_learn(tiny_registration(), random_batch(1))


def test_groups():
    system = tiny_registration()
    assert system.groups == {"G": ["G_t"], "D": ["D_t"]}
    assert system.networks["G_t"].count_params() > 0
    assert len(system.variables("D")) == len(system.networks["D_t"].trainable_variables)


def test_translations_are_ordered_by_source_then_target():
    system, images = tiny_registration(), random_batch()["images"]
    found = system.synthesize({"images": images})["translations"]
    assert found.shape == (2, 12, 16, 16, 1)
    for k, (i, j) in enumerate(itertools.permutations(range(4), 2)):
        expected = system.networks["G_t"](images[..., i : i + 1], tf.one_hot([j, j], 4))
        np.testing.assert_allclose(found[:, k], expected, atol=2e-5)


def test_supervision_needs_registered_images():
    with pytest.raises(ValueError, match="supervised needs registration.registered"):
        tiny_registration(supervised=1.0)


def test_discriminator_trunk_is_chosen():
    system = tiny_registration(discriminator="vgg11")
    assert [unit.name for unit in system.networks["D_t"].trunk][-1] == "conv5_2"


def test_adversarial_terms_by_hand():
    """One sample, two real rows of modalities 0 and 1, three generated of modalities 1, 1 and 3."""

    def rows(*scores):
        return tf.reshape(tf.constant(scores), [-1, 1, 1, 1])

    scores = [(rows(1.0, 0.0), rows(1.0, 0.0, 3.0)), (rows(0.0, 3.0), rows(1.0, 2.0, 0.0))]
    weights = AdversarialWeights(real=2.0, fake=3.0, modality=5.0, modality_fake=7.0)
    terms_d, terms_g = adversarial_terms(scores, tf.constant(1), (0, 1), (1, 1, 3), weights)
    assert {name: float(term) for name, term in terms_d.items()} == pytest.approx(
        {
            "D/real": 2.0 * (0 + 1),
            "D/fake": 3.0 * (1 + 0 + 9),
            "D/modality": 5.0 * (0 + 4),
            "D/modality_fake": 7.0 * (0 + 1 + 9),
        }
    )
    assert {name: float(term) for name, term in terms_g.items()} == pytest.approx(
        {"G/adversarial": 3.0 * (0 + 1 + 4), "G/modality": 5.0 * (0 + 1 + 9)}
    )
