"""The segmenters, and what the tests of all systems share: a batch and a check of one step."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.structure_gan.config import SegmentationConfig
from models.structure_gan.segmentation import Segmentation, lesion_terms
from models.system import GANSystem

CLASS_WEIGHTS = (2.5, 25.0, 125.0, 125.0, 125.0)


@pytest.fixture(autouse=True)
def seeded():
    tf.keras.utils.set_random_seed(0)


def random_batch(samples: int = 2, seed: int = 0) -> dict:
    """Every key that a system may ask for: 32x24 pixels of noise, masks, labels and seeds."""
    rng = np.random.default_rng(seed)
    batch = {"seed": rng.integers(0, 2**31, (samples, 2)).astype(np.int32)}
    for key in ("images", "unpaired_images"):
        batch[key] = rng.random((samples, 32, 24, 4)).astype(np.float32)
    for key in ("structure", "outside", "random_structure", "random_outside"):
        batch[key] = rng.integers(0, 2, (samples, 32, 24, 1)).astype(np.float32)
    for key in ("label", "random_label"):
        batch[key] = rng.integers(0, 5, (samples, 32, 24, 1)).astype(np.int32)
    return {key: tf.constant(value) for key, value in batch.items()}


def descend(system: GANSystem, rate: float) -> None:
    """Exchanges Adam for plain descent: a step then shows the gradient itself."""
    for group in system.groups:
        system.optimizers[group] = tf.keras.optimizers.legacy.SGD(rate)


def values(variables) -> list:
    return [v.numpy() for v in variables]


def assert_step_equals(system: GANSystem, batch: dict, plain_terms, rate: float = 1.0) -> None:
    """Compares one step with terms and gradients of `plain_terms()`, {group: {name: term}}.

    Every group's gradient is taken at the old weights of all networks, so that a step in which one
    group sees the other's new weights fails.
    """
    descend(system, rate)
    with tf.GradientTape(persistent=True) as tape:
        plain = plain_terms()
        losses = {group: tf.add_n(list(terms.values())) for group, terms in plain.items()}
    before = {group: values(system.variables(group)) for group in plain}
    terms = system.train_step(batch)
    assert_terms_equal(terms, plain, losses)
    assert set(plain) == set(system.groups)
    for group, loss in losses.items():
        variables = system.variables(group)
        gradients = tape.gradient(loss, variables)
        steps = [(a - b) / rate for a, b in zip(before[group], values(variables))]
        norm = tf.linalg.global_norm(gradients)
        error = tf.linalg.global_norm([a - b for a, b in zip(steps, gradients)])
        assert float(error / norm) < 1e-3
        assert float(terms[f"gradient_norm/{group}"]) == pytest.approx(float(norm), rel=1e-3)
        # Of all variables only a bias in front of a norm has no effect.
        still = [v.name for v, step in zip(variables, steps) if not np.any(step)]
        assert [name for name in still if not name.endswith("conv/bias:0")] == []


def assert_terms_equal(terms: dict, plain: dict, losses: dict) -> None:
    """The step reports all of the plain terms, their sum by group, gradient norms, nothing else."""
    expected = {name: term for group in plain.values() for name, term in group.items()}
    expected.update({f"loss/{group}": loss for group, loss in losses.items()})
    assert set(terms) == set(expected) | {f"gradient_norm/{group}" for group in losses}
    found = {name: float(terms[name]) for name in expected}
    assert found == pytest.approx({k: float(v) for k, v in expected.items()}, rel=1e-4, abs=1e-7)


def plain_lesion(network, i: int, images, label) -> tf.Tensor:
    """Sum over the classes of w_c mse(one-hot l_c, G_l_i(x_i)_c)."""
    probabilities, total = network(images[..., i : i + 1]), 0.0
    for c, weight in enumerate(CLASS_WEIGHTS):
        target = tf.cast(label[..., 0] == c, tf.float32)
        total += weight * tf.reduce_mean((target - probabilities[..., c]) ** 2)
    return total


def calm(system: GANSystem) -> GANSystem:
    """Moves the ReLUs' inputs to 3 +- 1, where rounding cannot switch one off and on.

    Differences between two orders of the same sums then stay at 1e-6 in losses and gradients.
    """
    for network in system.networks.values():
        for variable in network.variables:
            if variable.name.endswith("/norm/offset:0") and "lastconv" not in variable.name:
                variable.assign(tf.fill(variable.shape, 3.0))
    return system


def tiny_segmentation(**options) -> Segmentation:
    config = SegmentationConfig(**{"width": 4, "initializer": "he_normal", **options})
    return calm(Segmentation(config))


def test_step_equals_the_plain_form():
    system, batch = tiny_segmentation(), random_batch()

    def plain():
        networks = [system.networks[f"G_l{i}"] for i in range(4)]
        data = batch["images"], batch["label"]
        return {"G": {f"G/lesion_{i}": plain_lesion(networks[i], i, *data) for i in range(4)}}

    assert_step_equals(system, batch, plain)


@pytest.fixture(scope="module")
def untrained() -> Segmentation:
    return tiny_segmentation()


def test_four_independent_networks(untrained):
    system = untrained
    assert list(system.networks) == ["G_l0", "G_l1", "G_l2", "G_l3"]
    assert len({id(v.handle) for v in system.variables("G")}) == 4 * len(
        system.networks["G_l0"].variables
    )
    # The table's 17,947 are for four conditions more, 9 * 4 * 16, four outputs less, 4 * (36 + 3).
    counts = {network.count_params() for network in system.networks.values()}
    assert counts == {17_947 - 576 + 156}


def test_optimiser_of_the_thesis(untrained):
    adam = untrained.optimizers["G"].get_config()
    names = ("learning_rate", "beta_1", "beta_2", "epsilon", "decay")
    assert [adam[name] for name in names] == pytest.approx([1e-5, 0.5, 0.999, 1e-8, 0.0], rel=1e-6)


def test_output_offsets_of_the_classes(untrained):
    """The thesis starts all classes alike; a guess of their frequency is an option."""
    norm = untrained.networks["G_l3"].output_unit.norm
    assert list(norm.offset.numpy()) == [0.0] * 5
    guess = tiny_segmentation(output_offset=(2.0, -2.0, -3.0, -4.0, -5.0))
    offsets = [guess.networks[f"G_l{i}"].output_unit.norm.offset.numpy() for i in (0, 3)]
    np.testing.assert_array_equal(offsets, [[2.0, -2.0, -3.0, -4.0, -5.0]] * 2)


def test_labels_are_the_most_probable_classes(untrained):
    images = random_batch()["images"]
    labels = untrained.synthesize({"images": images})["labels"]
    assert labels.shape == (2, 32, 24, 4) and labels.dtype == tf.int32
    expected = untrained.networks["G_l2"](images[..., 2:3]).numpy().argmax(-1)
    np.testing.assert_array_equal(labels[..., 2], expected)


def test_lesion_terms_pass_gradients_to_the_images(untrained):
    batch = random_batch()
    with tf.GradientTape() as tape:
        tape.watch(batch["images"])
        terms = lesion_terms(untrained, batch["images"], batch["label"], CLASS_WEIGHTS)
        second = terms["G/lesion_2"]
    gradient = tape.gradient(second, batch["images"]).numpy()
    assert np.any(gradient[..., 2]) and not np.any(np.delete(gradient, 2, axis=-1))


def test_loss_falls_on_one_batch():
    system, batch = tiny_segmentation(learning_rate=0.05), random_batch(1)
    label = np.kron(np.eye(2), np.ones((16, 12)))  # which the images show
    batch["label"] = tf.constant(label.reshape(1, 32, 24, 1), tf.int32)
    batch["images"] = tf.tile(tf.cast(batch["label"], tf.float32), [1, 1, 1, 4])
    losses = [float(system.train_step(batch)["loss/G"]) for _ in range(8)]
    assert losses[-1] < 0.8 * losses[0]
