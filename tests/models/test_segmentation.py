"""The segmenters, and what the tests of all systems share: a random batch and a check of one step."""

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
        optimizer = tf.keras.optimizers.SGD(rate)
        optimizer.build(system.variables(group))
        system.optimizers[group] = optimizer


def values(variables) -> list:
    return [v.numpy() for v in variables]


def assert_step_equals(system: GANSystem, batch: dict, plain_losses, rate: float = 1.0) -> dict:
    """Compares one step with the losses and gradients of `plain_losses()` at the old weights.

    Every group's gradient is taken before anything changes, so that a step in which one group sees
    the other's new weights fails. Returns the terms of the step.
    """
    descend(system, rate)
    with tf.GradientTape(persistent=True) as tape:
        losses = plain_losses()
    gradients = {group: tape.gradient(losses[group], system.variables(group)) for group in losses}
    before = {group: values(system.variables(group)) for group in losses}
    terms = system.train_step(batch)
    assert set(losses) == set(system.groups)
    for group, loss in losses.items():
        found = [(a - b) / rate for a, b in zip(before[group], values(system.variables(group)))]
        assert float(terms[f"loss/{group}"]) == pytest.approx(float(loss), rel=1e-4)
        norm = tf.linalg.global_norm(gradients[group])
        assert float(terms[f"gradient_norm/{group}"]) == pytest.approx(float(norm), rel=1e-3)
        for variable, step, gradient in zip(system.variables(group), found, gradients[group]):
            tolerance = 1e-5 * max(1.0, float(norm))
            np.testing.assert_allclose(step, gradient, atol=tolerance, err_msg=variable.name)
    assert_consistent(terms, losses)
    return terms


def assert_consistent(terms: dict, groups) -> None:
    """All terms are finite numbers and a group's loss is the sum of its terms."""
    assert all(value.shape == () and np.isfinite(value) for value in terms.values())
    for group in groups:
        parts = [float(value) for name, value in terms.items() if name.startswith(f"{group}/")]
        assert float(terms[f"loss/{group}"]) == pytest.approx(sum(parts), rel=1e-5)


def assert_all_learn(system: GANSystem, batch: dict) -> None:
    """One step changes every variable; a bias in front of a norm has, but for rounding, no effect."""
    descend(system, 1.0)
    before = {group: values(system.variables(group)) for group in system.groups}
    system.train_step(batch)
    still = [
        variable.name
        for group in system.groups
        for variable, old in zip(system.variables(group), before[group])
        if "bias" not in variable.name and np.array_equal(variable.numpy(), old)
    ]
    assert still == []


def plain_lesion(networks, images, label) -> tf.Tensor:
    """Sum over modalities and classes of w_c mse(one-hot l_c, G_l_i(x_i)_c), one call each."""
    total = 0.0
    for i, network in enumerate(networks):
        probabilities = network(images[..., i : i + 1])
        for c, weight in enumerate(CLASS_WEIGHTS):
            target = tf.cast(label[..., 0] == c, tf.float32)
            total += weight * tf.reduce_mean((target - probabilities[..., c]) ** 2)
    return total


def tiny_segmentation(**options) -> Segmentation:
    return Segmentation(SegmentationConfig(**{"width": 2, "initializer": "he_normal", **options}))


def test_step_equals_the_plain_form():
    system, batch = tiny_segmentation(), random_batch()
    networks = [system.networks[f"G_l{i}"] for i in range(4)]

    def plain():
        return {"G": plain_lesion(networks, batch["images"], batch["label"])}

    terms = assert_step_equals(system, batch, plain)
    assert {f"G/lesion_{i}" for i in range(4)} < set(terms)


def test_every_variable_learns():
    assert_all_learn(tiny_segmentation(), random_batch())


def test_four_independent_networks():
    system = Segmentation(SegmentationConfig(width=4))
    assert list(system.networks) == ["G_l0", "G_l1", "G_l2", "G_l3"]
    assert len({id(v.handle) for v in system.variables("G")}) == 4 * len(
        system.networks["G_l0"].variables
    )
    # One input channel, five outputs: n = 64 has 4,323,727; here counted from the table by hand.
    per_row = [(1, 4), (4, 4), (4, 4), (4, 8), (8, 8), (8, 8), (8, 16), (16, 16), (16, 16)]
    per_row += [(16, 16), (16, 16), (32, 8), (8, 8), (8, 8), (16, 4), (4, 4), (4, 4), (8, 4), (4, 4)]
    expected = sum(9 * a * b + 3 * b for a, b in [*per_row, (4, 5)]) - 2 * 16  # conv9 has no norm
    assert {network.count_params() for network in system.networks.values()} == {expected}


def test_optimiser_of_the_thesis():
    adam = tiny_segmentation().optimizers["G"].get_config()
    assert adam["learning_rate"] == pytest.approx(1e-5)
    assert (adam["beta_1"], adam["beta_2"], adam["epsilon"]) == (0.5, 0.999, 1e-8)
    assert adam["weight_decay"] is None and not adam["use_ema"]


def test_labels_are_the_most_probable_classes():
    system, images = tiny_segmentation(), random_batch()["images"]
    labels = system.synthesize({"images": images})["labels"]
    assert labels.shape == (2, 16, 16, 4) and labels.dtype == tf.int32
    expected = system.networks["G_l2"](images[..., 2:3]).numpy().argmax(-1)
    np.testing.assert_array_equal(labels[..., 2], expected)


def test_lesion_terms_pass_gradients_to_the_images():
    system, batch = tiny_segmentation(), random_batch()
    with tf.GradientTape() as tape:
        tape.watch(batch["images"])
        terms = lesion_terms(system, batch["images"], batch["label"], CLASS_WEIGHTS)
        second = terms["G/lesion_2"]
    gradient = tape.gradient(second, batch["images"]).numpy()
    assert np.any(gradient[..., 2]) and not np.any(np.delete(gradient, 2, axis=-1))


def test_loss_falls_on_one_batch():
    system, batch = tiny_segmentation(learning_rate=1e-2), random_batch(1)
    image = np.kron(np.eye(2), np.ones((8, 8)))  # a label that the image shows
    batch["label"] = tf.constant(image.reshape(1, 16, 16, 1), tf.int32)
    batch["images"] = tf.tile(tf.cast(batch["label"], tf.float32), [1, 1, 1, 4])
    losses = [float(system.train_step(batch)["loss/G"]) for _ in range(12)]
    assert losses[-1] < 0.5 * losses[0]
