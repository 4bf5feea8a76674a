"""Pre-training and adversarial training of G against the loss table, one network call per image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from models.structure_gan import synthesis
from models.structure_gan.config import AdversarialWeights, PretrainingConfig, SynthesisConfig
from models.structure_gan.synthesis import Pretraining, Synthesis, build_generator, fuse_noise
from tests.models.test_registration import tiny_registration
from tests.models.test_segmentation import (
    assert_all_learn,
    assert_step_equals,
    plain_lesion,
    random_batch,
    tiny_segmentation,
    values,
)

NOISE = 0.55  # a range without width: the expected numbers need no random draw


@pytest.fixture(autouse=True)
def seeded():
    tf.keras.utils.set_random_seed(0)


def tiny_config(**options) -> SynthesisConfig:
    defaults = {"width": 2, "discriminator_width": 2, "initializer": "he_normal"}
    return SynthesisConfig(**{**defaults, "noise": (NOISE, NOISE), **options})


def tiny_synthesis(**options) -> Synthesis:
    return Synthesis(tiny_config(**options), tiny_registration(), tiny_segmentation())


def tiny_pretraining(**options) -> Pretraining:
    return Pretraining(tiny_config(**options))


def mse(a, b) -> tf.Tensor:
    return tf.reduce_mean((a - b) ** 2)


def generated(network, structure, outside, label, with_label: bool = True) -> list:
    """The four images, each from a whole call of G on [s', one-hot + 0.1]."""
    one_hot = [tf.cast(label == c, tf.float32) + 0.1 for c in range(5)] if with_label else []
    fused = structure + NOISE * (1 - outside) * (1 - structure)
    x = tf.concat([fused, *one_hot], axis=-1)
    return [network(x, tf.one_hot([i] * len(label), 4)) for i in range(4)]


def maps(batch: dict, prefix: str = "") -> list:
    return [batch[prefix + key] for key in ("structure", "outside", "label")]


def plain_reconstruction(network, batch: dict, outside_weight: float = 5.0) -> tf.Tensor:
    """Eq. 18: 5 mse(x_g, x) + 5 mse(x_g m, x m) for every modality."""
    total = 0.0
    for i, image in enumerate(generated(network, *maps(batch))):
        real, mask = batch["images"][..., i : i + 1], batch["outside"]
        total += 5 * mse(image, real) + outside_weight * mse(image * mask, real * mask)
    return total


def plain_losses(system: Synthesis, batch: dict, with_label: bool = True) -> dict:
    """Table 2.4."""
    G, D, G_t = system.networks["G"], system.networks["D"], system.G_t
    code = [tf.one_hot([i] * len(batch["seed"]), 4) for i in range(4)]
    x_g = generated(G, *maps(batch, "random_"), with_label)
    loss_d, loss_g = 0.0, 0.0
    for i in range(4):
        valid, modality = D(batch["unpaired_images"][..., i : i + 1])
        loss_d += 5 * mse(valid, 1.0) + 5 * mse(modality, float(i))
        valid, modality = D(x_g[i])
        loss_d += 3 * mse(valid, 0.0)
        loss_g += 3 * mse(valid, 1.0) + 5 * mse(modality, float(i))
        translated = [G_t(x_g[j], code[i]) for j in range(4) if j != i]
        loss_g += sum(20 * mse(x_g[i], image) for image in translated)
        loss_g += sum(5 * mse(a, b) for a, b in itertools.combinations(translated, 2))
    networks = system.segmenters.networks.values()
    loss_g += plain_lesion(networks, tf.concat(x_g, -1), batch["random_label"])
    return {"G": loss_g, "D": loss_d}


@pytest.mark.parametrize("condition", ["concat", "conditional_instance_norm"])
def test_step_equals_the_plain_form(condition):
    system, batch = tiny_synthesis(condition=condition), random_batch()
    frozen = [system.G_t, *system.segmenters.networks.values()]
    before = [values(network.variables) for network in frozen]
    terms = assert_step_equals(system, batch, lambda: plain_losses(system, batch))
    expected = {"adversarial", "modality", "registration", "consistency", "lesion"}
    assert {name[2:] for name in terms if name.startswith("G/")} == expected
    assert {name for name in terms if name.startswith("D/")} == {"D/real", "D/fake", "D/modality"}
    for old, network in zip(before, frozen):
        for a, b in zip(old, values(network.variables)):
            np.testing.assert_array_equal(a, b)


def test_kept_reconstruction_equals_the_plain_form():
    system, batch = tiny_synthesis(reconstruction=0.5), random_batch()

    def plain():
        losses = plain_losses(system, batch)
        rebuilt = plain_reconstruction(system.networks["G"], batch)
        return {**losses, "G": losses["G"] + 0.5 * rebuilt}

    assert_step_equals(system, batch, plain)


def test_generator_without_label_equals_the_plain_form():
    system, batch = tiny_synthesis(label_input=False), random_batch()
    assert_step_equals(system, batch, lambda: plain_losses(system, batch, with_label=False))


def test_weights_of_the_guidance_multiply_its_terms():
    batch, factors = random_batch(1), {"registration": 2.0, "consistency": 3.0, "lesion": 5.0}
    tf.keras.utils.set_random_seed(1)
    ones = tiny_synthesis(**dict.fromkeys(factors, 1.0)).train_step(batch)
    tf.keras.utils.set_random_seed(1)
    weights = AdversarialWeights(modality_fake=1.0)
    terms = tiny_synthesis(**factors, adversarial=weights).train_step(batch)
    for name, factor in factors.items():
        assert float(terms[f"G/{name}"]) == pytest.approx(factor * float(ones[f"G/{name}"]))
    assert float(terms["D/modality_fake"]) == pytest.approx(float(terms["G/modality"]) / 5)


def test_every_variable_learns():
    assert_all_learn(tiny_synthesis(), random_batch())
    assert_all_learn(tiny_pretraining(), random_batch())


def test_groups_leave_out_the_guides():
    system = tiny_synthesis()
    assert system.groups == {"G": ["G"], "D": ["D"]}
    assert set(system.networks) == {"G", "D"}


def test_pretraining_step_equals_the_plain_form():
    system, batch = tiny_pretraining(), random_batch()
    network = system.networks["G"]
    assert_step_equals(system, batch, lambda: {"G": plain_reconstruction(network, batch)})


def test_weight_of_the_background_is_an_option():
    system = tiny_pretraining(pretraining=PretrainingConfig(outside=0.1))
    network, batch = system.networks["G"], random_batch()
    assert_step_equals(system, batch, lambda: {"G": plain_reconstruction(network, batch, 0.1)})


def test_pretraining_has_its_own_learning_rate():
    options = {"learning_rate": 1.0, "pretraining": PretrainingConfig(learning_rate=0.5)}
    assert float(tiny_pretraining(**options).optimizers["G"].learning_rate) == 0.5
    system = tiny_synthesis(**options)
    assert [float(o.learning_rate) for o in system.optimizers.values()] == [1.0, 1.0]


def test_pretraining_learns_on_one_batch():
    system, batch = tiny_pretraining(pretraining=PretrainingConfig(learning_rate=1e-2)), {}
    batch = random_batch(1)
    levels = [0.9, 0.5, 0.3, 0.1]  # each modality shows the lines at its own level
    batch["images"] = tf.concat([level * batch["structure"] for level in levels], -1)
    losses = [float(system.train_step(batch)["loss/G"]) for _ in range(30)]
    assert losses[-1] < 0.7 * losses[0]


def test_fused_map():
    # Outside the organ, on a line, inside, on a line outside.
    outside, structure = tf.constant([1.0, 0.0, 0.0, 1.0]), tf.constant([0.0, 1.0, 0.0, 1.0])
    fused = fuse_noise(structure, outside, tf.fill([4], 0.57))
    assert fused.numpy() == pytest.approx([0.0, 1.0, 0.57, 1.0])


class Eye:
    """Stands for G and shows what it is fed."""

    def __init__(self):
        self.input = None

    def encode(self, x):
        self.input = x.numpy()
        return x, {}

    def decode(self, codes, condition):
        return tf.repeat(codes[0][..., :1], 4, axis=0)


def test_generator_reads_noise_between_the_lines_and_the_label():
    batch, eye = random_batch(), Eye()
    config = tiny_config(noise=(0.5, 0.6))
    synthesis.generate(eye, config, *maps(batch), batch["seed"])
    structure, outside, label = (x.numpy()[..., 0] for x in maps(batch))
    fused, one_hot = eye.input[..., 0], eye.input[..., 1:]
    np.testing.assert_allclose(one_hot, np.eye(5)[label] + 0.1, rtol=1e-6)
    np.testing.assert_array_equal(fused[structure == 1], 1)
    np.testing.assert_array_equal(fused[(structure == 0) & (outside == 1)], 0)
    noise = fused[(structure == 0) & (outside == 0)]
    assert 0.5 <= noise.min() < 0.51 and 0.59 < noise.max() < 0.6
    assert len(np.unique(noise)) > 0.95 * noise.size  # drawn for every pixel
    inside = (structure == 0) & (outside == 0)
    both = inside[0] & inside[1]
    assert np.mean(fused[0][both] == fused[1][both]) < 0.05  # and for every sample


def test_images_come_from_the_random_maps_in_the_order_of_modalities():
    system, batch = tiny_synthesis(), random_batch()
    found = system.synthesize(batch)["images"]
    expected = generated(system.networks["G"], *maps(batch, "random_"))
    np.testing.assert_allclose(found, tf.concat(expected, -1), atol=2e-5)
    rebuilt = tiny_pretraining().synthesize(batch)["images"]
    assert rebuilt.shape == (2, 16, 16, 4)


def test_generator_channels():
    for with_label, channels in ((True, 6), (False, 1)):
        network = build_generator(tiny_config(label_input=with_label))
        assert network.encoder[0].convolution.kernel.shape[2] == channels


def test_default_generator_has_the_thesis_size():
    assert build_generator(SynthesisConfig()).count_params() == 4_333_507
    assert build_generator(SynthesisConfig(label_input=False)).count_params() == 4_330_627
