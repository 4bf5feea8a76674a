"""What the tests of all networks and systems share: inputs, plain readings, checks of a step."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from experiments.benchmarking.single_operations import single_operations
from models.blocks.convolution import ConvUnit
from models.lesions import Segmentation, SegmentationConfig
from models.system import GANSystem

CLASS_WEIGHTS = (2.5, 25.0, 125.0, 125.0, 125.0)


def random_image(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).random(shape), tf.float32)


def mse(a, b) -> tf.Tensor:
    return tf.reduce_mean((a - b) ** 2)


def capped(y):
    return tf.clip_by_value(y, 0, 100)


def apply_unit(unit: ConvUnit, x, stride: int = 1, activation=capped):
    """Convolution with bias, then norm and activation if the unit has a norm, spelled out."""
    y = tf.nn.conv2d(x, unit.convolution.kernel, stride, "SAME") + unit.convolution.bias
    if unit.norm is None:
        return y
    mean = tf.reduce_mean(y, [1, 2], keepdims=True)
    variance = tf.reduce_mean((y - mean) ** 2, [1, 2], keepdims=True)
    return activation(unit.norm.scale * (y - mean) / tf.sqrt(variance + 1e-5) + unit.norm.offset)


def record_units(monkeypatch) -> list:
    """Fills the list with every unit that runs: (name, kernel, stride, output shape, has norm)."""
    rows, call = [], ConvUnit.call

    @functools.wraps(call)
    def recording(self, x, skip=None, condition=None, training=False):
        y = call(self, x, skip, condition, training)
        conv = self.convolution
        norm = self.norm is not None
        rows.append((self.name, conv.kernel_size[0], conv.strides[0], tuple(y.shape[1:]), norm))
        return y

    monkeypatch.setattr(ConvUnit, "call", recording)
    return rows


def torch_convolution(x, layer) -> np.ndarray:
    """PyTorch's convolution with stride 2 and padding (k - 1) // 2, one kernel pixel at a time."""
    x, kernel = np.asarray(x, np.float64), layer.kernel.numpy()
    samples, height, width, _ = x.shape
    k = kernel.shape[0]
    margin = (k - 1) // 2
    padded = np.pad(x, [(0, 0), (margin, margin), (margin, margin), (0, 0)])
    y = np.zeros((samples, height // 2, width // 2, kernel.shape[3])) + layer.bias.numpy()
    for a in range(k):
        for b in range(k):
            seen = padded[:, a : a + height - 1 : 2, b : b + width - 1 : 2]
            y += seen @ kernel[a, b]
    return y


def torch_transposed(x, layer) -> np.ndarray:
    """PyTorch's transposed one: input pixel i goes to 2 i + a - padding for kernel pixels a."""
    x, kernel = np.asarray(x, np.float64), layer.kernel.numpy()
    samples, height, width, _ = x.shape
    margin = (kernel.shape[0] - 1) // 2
    y = np.zeros((samples, 2 * height, 2 * width, kernel.shape[2])) + layer.bias.numpy()
    for i, j, a, b in np.ndindex(height, width, *kernel.shape[:2]):
        row, column = 2 * i + a - margin, 2 * j + b - margin
        if 0 <= row < 2 * height and 0 <= column < 2 * width:
            y[:, row, column] += x[:, i, j] @ kernel[a, b].T
    return y


def random_batch(samples: int = 2, seed: int = 0, size: tuple = (32, 24)) -> dict:
    """Every key that a system may ask for: pixels of noise, masks, labels and seeds."""
    rng = np.random.default_rng(seed)
    batch = {"seed": rng.integers(0, 2**31, (samples, 2)).astype(np.int32)}
    for key in ("images", "unpaired_images"):
        batch[key] = rng.random((samples, *size, 4)).astype(np.float32)
    for key in ("structure", "outside", "random_structure", "random_outside"):
        batch[key] = rng.integers(0, 2, (samples, *size, 1)).astype(np.float32)
    for key in ("label", "random_label"):
        batch[key] = rng.integers(0, 5, (samples, *size, 1)).astype(np.int32)
    return {key: tf.constant(value) for key, value in batch.items()}


def descend(system: GANSystem, rate: float) -> None:
    """Exchanges Adam for plain descent: a step then shows the gradient itself."""
    for group in system.groups:
        system.optimizers[group] = tf.keras.optimizers.legacy.SGD(rate)


def values(variables) -> list:
    return [v.numpy() for v in variables]


def assert_step_equals(
    system: GANSystem, batch: dict, reference_terms, rate=1e3, precision=1e-4, in_turn=()
) -> None:
    """Compares one step with terms and gradients of `reference_terms()`, {group: {name: term}}.

    The reference is made of single operations. A high rate: weights lose what is far smaller than
    they are.

    Every group's gradient is taken at the old weights of all networks, so that a step in which one
    group sees the other's new weights fails. Groups that are updated `in_turn` are to see those of
    the groups before; the reference is then called for each of them, `reference_terms(group)`.
    """
    descend(system, rate)
    before = {group: values(system.variables(group)) for group in system.groups}
    report = system.train_step(batch)
    after = {group: values(system.variables(group)) for group in system.groups}
    for group in system.groups:  # back to the start
        assign(system, group, before[group])
    reference, losses = {}, {}
    for arguments in [(group,) for group in in_turn] or [()]:
        with tf.GradientTape(persistent=True) as tape, single_operations():
            found = reference_terms(*arguments)
            losses.update((g, tf.add_n(list(terms.values()))) for g, terms in found.items())
        for group in found:
            gradients = tape.gradient(losses[group], system.variables(group))
            steps = [(a - b) / rate for a, b in zip(before[group], after[group])]
            norm = tf.linalg.global_norm(gradients)
            error = tf.linalg.global_norm([a - b for a, b in zip(steps, gradients)])
            assert float(error / norm) < precision
            assert float(report[f"gradient_norm/{group}"]) == pytest.approx(
                norm, rel=min(precision, 1e-3)
            )
            assert_all_move(system, group, before[group], after[group])
        for group in arguments:
            assign(system, group, after[group])
        reference.update(found)
    assert set(reference) == set(system.groups)
    assert_terms_equal(report, reference, losses)


def assign(system: GANSystem, group: str, arrays: list) -> None:
    for variable, array in zip(system.variables(group), arrays):
        variable.assign(array)


def assert_all_move(system: GANSystem, group: str, before: list, after: list) -> None:
    """Of all variables only a bias in front of a norm has no effect, but for rounding errors."""
    networks = [system.networks[name] for name in system.groups[group]]
    units = [unit for net in networks for unit in net.submodules if isinstance(unit, ConvUnit)]
    idle = {u.convolution.bias.ref() for u in units if u.norm is not None and u.row.bias}
    moves = zip(system.variables(group), before, after)
    still = {v.ref() for v, a, b in moves if np.array_equal(a, b)}
    assert [reference.deref().name for reference in still - idle] == []


def assert_terms_equal(terms: dict, reference: dict, losses: dict) -> None:
    """The step reports all reference terms, their sum by group, gradient norms, nothing else.

    But for accuracies, which no gradient is taken of.
    """
    terms = {name: term for name, term in terms.items() if not name.startswith("accuracy/")}
    expected = {name: term for group in reference.values() for name, term in group.items()}
    expected.update({f"loss/{group}": loss for group, loss in losses.items()})
    assert set(terms) == set(expected) | {f"gradient_norm/{group}" for group in losses}
    found = {name: float(terms[name]) for name in expected}
    assert found == pytest.approx({k: float(v) for k, v in expected.items()}, rel=1e-4, abs=1e-7)


def reference_lesion(network, i: int, images, label) -> tf.Tensor:
    """Sum over the classes of w_c mse(one-hot l_c, G_l_i(x_i)_c)."""
    probabilities, total = network(images[..., i : i + 1]), 0.0
    for c, weight in enumerate(CLASS_WEIGHTS):
        target = tf.cast(label[..., 0] == c, tf.float32)
        total += weight * mse(target, probabilities[..., c])
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
