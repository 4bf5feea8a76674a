"""The reference implementation of a whole step, with everything that the demonstration turns on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from experiments.benchmarking.reference import REFERENCE_TERMS, reference_step, reference_terms
from experiments.benchmarking.single_operations import single_operations
from experiments.configs.brats import TINY
from models.networks.unet import UNetSpec, build_unet
from models.structure_gan.registration import Registration
from models.structure_gan.segmentation import Segmentation
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Pretraining, Synthesis
from tests.models.toys import (
    assert_step_equals,
    calm,
    descend,
    random_batch,
    tiny_segmentation,
    values,
)
from utils.graphs import reached_operations


def build(kind: type):
    if kind is StructureGAN:
        return calm(StructureGAN(TINY.structure))
    if kind is Segmentation:
        return calm(tiny_segmentation())
    if kind is Registration:
        return calm(Registration(TINY.registration))
    if kind is Pretraining:
        return calm(Pretraining(TINY.synthesis))
    translator = calm(Registration(TINY.registration))
    return calm(Synthesis(TINY.synthesis, translator, tiny_segmentation()))


# Both also have tests of their own, with the published weights.
LONG = {kind: pytest.param(kind, marks=pytest.mark.slow) for kind in (Registration, Synthesis)}


@pytest.mark.parametrize("kind", [LONG.get(kind, kind) for kind in REFERENCE_TERMS])
def test_every_term_and_gradient_is_the_steps(kind):
    system, batch = build(kind), random_batch()
    assert_step_equals(system, batch, lambda: reference_terms(system, batch))


# Nodes of a U-Net's loss and gradients for one sample, by rows of its table: 20 of them, three
# up-sampling (a Conv2D in their gradient) and three joining (two); activations but the last and
# conv5's; norms but conv9's.
FAST = {"Relu6Grad": 17, "FusedBatchNormV3": 19, "FusedBatchNormGradV3": 19, "Conv2D": 20 + 3}
SINGLE = {"LeakyReluGrad": 17, "Rsqrt": 19, "ResizeNearestNeighbor": 3, "Conv2D": 20}


def nodes(function, *arguments) -> Counter:
    """The number of nodes that run, by type."""
    graph = tf.function(function, autograph=False).get_concrete_function(*arguments).graph
    return Counter(node.type for node in reached_operations(graph))


def test_only_the_reference_is_made_of_single_operations():
    """Every replacement takes place, in every row, and is taken back, also after an error."""
    network = build_unet(UNetSpec(2), 1, "G")

    def counts() -> dict:
        def loss_and_gradients(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(network(x))
            return loss, tape.gradient(loss, network.trainable_variables)

        found = nodes(loss_and_gradients, tf.ones([1, 16, 16, 1]))
        return {kind: found[kind] for kind in {**FAST, **SINGLE}}

    none = dict.fromkeys({**FAST, **SINGLE}, 0)
    with pytest.raises(KeyError), single_operations():
        with single_operations():
            assert counts() == {**none, **SINGLE}
        assert counts() == {**none, **SINGLE}
        raise KeyError
    assert counts() == {**none, **FAST}


def test_no_class_of_networks_bypasses_the_single_operations():
    """The maps' system has one network of each; each capping is one of a leaky ReLU."""
    system, batch = build(StructureGAN), random_batch()
    found = nodes(lambda batch: reference_terms(system, batch), batch)
    assert found["FusedBatchNormV3"] == found["Conv2DBackpropInput"] == 0
    assert found["LeakyRelu"] == found["Minimum"] > 50


def test_the_reference_update_is_the_steps():
    batch, reached = random_batch(), []
    for step in (Pretraining.train_step, reference_step):
        tf.keras.utils.set_random_seed(0)
        system = build(Pretraining)
        descend(system, 1.0)
        start = values(system.variables("G"))
        report = step(system, batch)
        moves = [b - a for a, b in zip(start, values(system.variables("G")))]
        reached.append((float(report["loss/G"]), np.concatenate([m.ravel() for m in moves])))
    (loss, move), (reference_loss, reference_move) = reached
    assert reference_loss == pytest.approx(loss, rel=1e-5) and np.abs(move).max() > 0
    assert np.linalg.norm(reference_move - move) < 1e-3 * np.linalg.norm(move)
