"""G, D and their guides on single images: sizes of the networks, how a class enters, the step."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.networks.adversarial import ValidityWeights
from models.networks.maps import to_binary, two_channels
from models.structure_gan.config import Content, GeneratorConfig
from models.structure_gan.guidance import JudgeGuide
from models.structure_gan.structure import StructureGAN
from models.structure_gan.structure_config import StructureConfig
from models.structure_gan.synthesis import (
    Pretraining,
    Synthesis,
    build_discriminator,
    build_generator,
    generate,
    generator_input,
)
from tests.models.toys import calm

XRAY = Content(classes=3, of_image=True)
CT = Content()
RETINA = Content(channels=3)
TIANCHI = Content(channels=3, classes=5, maps=3)
PARAMETERS = {  # of G by width 64, 16, 8
    "xray": (XRAY, 4_323_139, 272_083, 68_651),
    "ct": (CT, 4_321_411, 271_651, 68_435),
    "retina": (RETINA, 4_322_569, 271_945, 68_585),
    "tianchi": (TIANCHI, 4_326_601, 272_953, 69_089),
}


def batch(content: Content, samples: int = 2, side: int = 32) -> dict:
    rng = np.random.default_rng(0)
    size = (samples, side, side)
    found = {"seed": rng.integers(0, 2**31, (samples, 2)).astype(np.int32)}
    for key in ("images", "unpaired_images"):
        found[key] = rng.random((*size, content.channels)).astype(np.float32)
    for prefix in ("", "random_"):
        outside = (rng.random((*size, content.maps)) < 0.3).astype(np.float32)
        lines = (rng.random((*size, content.maps)) < 0.1).astype(np.float32)
        found[f"{prefix}outside"], found[f"{prefix}structure"] = outside, lines * (1 - outside)
        if content.of_image:
            classes = rng.integers(0, content.classes, (samples, 1, 1, 1))
            found[f"{prefix}label"] = np.broadcast_to(classes, (*size, 1)).astype(np.int32)
        elif content.classes:
            found[f"{prefix}label"] = rng.integers(0, content.classes, (*size, 1)).astype(np.int32)
    return {key: tf.constant(value) for key, value in found.items()}


def small(**options) -> GeneratorConfig:
    defaults = {"width": 4, "discriminator_width": 4, "initializer": "he_normal"}
    return GeneratorConfig(**{**defaults, "noise": (0.55, 0.55), **options})


@pytest.mark.parametrize("name", PARAMETERS)
def test_generators_have_the_published_sizes(name):
    content, *counts = PARAMETERS[name]
    for width, count in zip((64, 16, 8), counts):
        assert build_generator(GeneratorConfig(width=width), content).count_params() == count


@pytest.mark.parametrize(
    ("content", "counts"), [(CT, (400_833, 25_713)), (RETINA, (404_033, 26_513))]
)
def test_discriminators_have_one_head_and_the_published_sizes(content, counts):
    for width, count in zip((64, 16), counts):
        network = build_discriminator(GeneratorConfig(discriminator_width=width), content)
        assert network.count_params() == count and len(network.heads) == 1


def test_the_mask_network_of_three_maps_has_the_published_size():
    config = StructureConfig(map_size=(64, 64), halvings=3, latent_size=16)
    networks = StructureGAN(config, maps=3).networks
    assert networks["G_m"].count_params() == 1_085_330
    assert networks["D_s"].count_params() == 408_833
    assert StructureGAN(config).networks["G_m"].count_params() == 1_083_014


def test_channels_of_several_maps_and_back():
    maps = tf.constant(np.random.default_rng(0).integers(0, 2, (2, 4, 4, 3)), tf.float32)
    channels = two_channels(maps).numpy()
    np.testing.assert_array_equal(channels[..., :3], 1 - maps.numpy())
    np.testing.assert_array_equal(channels[..., 3:], maps)
    np.testing.assert_array_equal(to_binary(channels), maps)


@pytest.mark.parametrize("content", [XRAY, CT, RETINA, TIANCHI])
def test_one_step_and_its_terms(content):
    system = calm(Synthesis(small(outside=2.0, reconstruction=0.5), content=content))
    data = batch(content)
    terms = system.train_step(data)
    assert [name for name in terms if name.startswith("G/")] == [
        *("G/adversarial", "G/outside"),
        *("G/reconstruction", "G/reconstruction_outside"),
    ]
    assert [name for name in terms if name.startswith("D/")] == ["D/real", "D/fake"]
    images = system.synthesize(data)["images"]
    assert images.shape == (2, 32, 32, content.channels)
    assert 0 < images.numpy().min() and images.numpy().max() < 1


def test_adversarial_terms_equal_their_formulas():
    config = small(adversarial=ValidityWeights(real=2.0, fake=7.0))
    system, data = calm(Synthesis(config, content=RETINA)), batch(RETINA)
    D = system.networks["D"]
    fake = D(system.synthesize(data)["images"]).numpy()
    real = D(data["unpaired_images"]).numpy()
    terms = system.train_step(data)
    np.testing.assert_allclose(terms["D/real"], 2 * np.mean((real - 1) ** 2), rtol=1e-4)
    np.testing.assert_allclose(terms["D/fake"], 7 * np.mean(fake**2), rtol=1e-4)
    np.testing.assert_allclose(terms["G/adversarial"], 7 * np.mean((fake - 1) ** 2), rtol=1e-4)


def test_pretraining_rebuilds_colours():
    system, data = calm(Pretraining(small(), RETINA)), batch(RETINA)
    made = system.synthesize(data)["images"].numpy()
    error, outside = made - data["images"].numpy(), data["outside"].numpy()
    terms = system.train_step(data)
    np.testing.assert_allclose(terms["G/reconstruction"], 5 * np.mean(error**2), rtol=1e-4)
    expected = 5 * np.mean((error * outside) ** 2)
    np.testing.assert_allclose(terms["G/reconstruction_outside"], expected, rtol=1e-4)


def test_a_class_enters_as_maps_or_by_the_norms():
    data = batch(XRAY)
    maps = data["structure"], data["outside"], data["label"], data["seed"], XRAY
    concat = generator_input(small(), *maps).numpy()
    assert concat.shape[-1] == 4
    one_hot = np.eye(3)[data["label"].numpy()[..., 0]] + 0.1
    np.testing.assert_allclose(concat[..., 1:], one_hot, rtol=1e-6)
    by_norm = small(condition="conditional_instance_norm")
    assert generator_input(by_norm, *maps).shape[-1] == 1
    assert build_generator(by_norm, XRAY).spec.conditions == 3
    assert build_generator(small(), XRAY).spec.conditions == 0


def test_by_the_norms_the_class_reaches_every_pixel():
    """Constant maps are subtracted by the first instance norm, but for the image's borders."""
    data = batch(XRAY, 1, side=96)
    classes = [{**data, "label": tf.fill(data["label"].shape, k)} for k in range(2)]
    G = build_generator(small(), XRAY)
    names = ("structure", "outside", "label", "seed")
    inputs = [generator_input(small(), *(one[name] for name in names), XRAY) for one in classes]
    first, second = (G.encoder[0](x).numpy()[:, 8:-8, 8:-8] for x in inputs)
    assert np.abs(first - second).mean() < 0.15 * first.std()  # what leaks in from the borders
    config = small(condition="conditional_instance_norm")
    network = build_generator(config, XRAY)
    for variable in network.trainable_variables:
        if "norm" in variable.name:  # that differ by class, as after training
            variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, [1, 2]))
    images = [generate(network, config, one, content=XRAY).numpy() for one in classes]
    assert np.abs(images[0] - images[1])[:, 40:56, 40:56].mean() > 0.01


class Judge:
    """Asks for bright images of class 1."""

    def __init__(self):
        self.asked = []

    def guidance(self, images, labels):
        self.asked.append(sorted(labels))
        wanted = tf.cast(labels["label"] == 1, tf.float32)
        return {"G/lesion": tf.reduce_mean((images - wanted) ** 2)}


def test_a_judge_guides_with_its_weight():
    judge, data = Judge(), batch(XRAY)
    system = calm(Synthesis(small(), [JudgeGuide(judge, 0.5)], XRAY))
    images = system.synthesize(data)["images"]
    expected = judge.guidance(images, {"label": data["random_label"]})["G/lesion"]
    terms = system.train_step(data)
    np.testing.assert_allclose(terms["G/lesion"], 0.5 * expected, rtol=1e-4)
    assert judge.asked[-1] == ["label"]
    silent = Synthesis(small(), [JudgeGuide(judge, 0.0)], XRAY)
    assert "G/lesion" not in silent.train_step(data)
