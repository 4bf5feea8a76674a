"""One step of the translator against the loss table, written with one network call per image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from models.structure_gan.config import AdversarialWeights, RegistrationConfig
from models.structure_gan.registration import Registration, adversarial_terms
from tests.models.test_segmentation import assert_step_equals, calm, random_batch


@pytest.fixture(autouse=True)
def seeded():
    tf.keras.utils.set_random_seed(0)


def tiny_registration(**options) -> Registration:
    config = RegistrationConfig(**{"width": 4, "initializer": "he_normal", **options})
    return calm(Registration(config))


def mse(a, b) -> tf.Tensor:
    return tf.reduce_mean((a - b) ** 2)


def plain_terms(
    system: Registration, images, cycle=20.0, consistency=5.0, supervised=0.0, modality_fake=0.0
) -> dict:
    """Table 2.2, corrected: D sees the translations, cycles return to their source."""
    G_t, D_t = system.networks["G_t"], system.networks["D_t"]
    x = [images[..., i : i + 1] for i in range(4)]
    code = [tf.one_hot([i] * len(images), 4) for i in range(4)]
    names = ("adversarial", "modality", "cycle", "consistency", "supervised")
    g = {f"G/{name}": 0.0 for name in names if name != "supervised" or supervised}
    d = {f"D/{name}": 0.0 for name in ("real", "fake", "modality")}
    d.update({"D/modality_fake": 0.0} if modality_fake else {})
    for i in range(4):
        valid, modality = D_t(x[i])
        d["D/real"] += 5 * mse(valid, 1.0)
        d["D/modality"] += 5 * mse(modality, float(i))
        cycles = []
        for j in {0, 1, 2, 3} - {i}:
            translated = G_t(x[i], code[j])
            valid, modality = D_t(translated)
            d["D/fake"] += 3 * mse(valid, 0.0)
            g["G/adversarial"] += 3 * mse(valid, 1.0)
            g["G/modality"] += 5 * mse(modality, float(j))
            cycles.append(G_t(translated, code[i]))
            g["G/cycle"] += cycle * mse(x[i], cycles[-1])
            if supervised:
                g["G/supervised"] += supervised * mse(translated, x[j])
            if modality_fake:
                d["D/modality_fake"] += modality_fake * mse(modality, float(j))
        pairs = itertools.combinations(cycles, 2)
        g["G/consistency"] += sum(consistency * mse(a, b) for a, b in pairs)
    return {"G": g, "D": d}


def test_step_equals_the_plain_form_on_unpaired_images():
    system, batch = tiny_registration(), random_batch()
    assert_step_equals(system, batch, lambda: plain_terms(system, batch["unpaired_images"]))


def test_options_equal_the_plain_form_on_registered_images():
    weights = {"cycle": 2.0, "consistency": 900.0, "supervised": 7.0}
    options = {"condition": "conditional_instance_norm", "registered": True}
    options["adversarial"] = AdversarialWeights(modality_fake=2.0)
    system, batch = tiny_registration(**options, **weights), random_batch()

    def plain():
        return plain_terms(system, batch["images"], modality_fake=2.0, **weights)

    assert_step_equals(system, batch, plain)


def test_groups():
    system = tiny_registration()
    assert system.groups == {"G": ["G_t"], "D": ["D_t"]}
    assert system.networks["G_t"].count_params() > 0
    assert len(system.variables("D")) == len(system.networks["D_t"].trainable_variables)


def test_translations_are_ordered_by_source_then_target():
    system, images = tiny_registration(), random_batch()["images"]
    found = system.synthesize({"images": images})["translations"]
    assert found.shape == (2, 12, 32, 24, 1)
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
