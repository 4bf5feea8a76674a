"""The reference implementation of a whole step, with everything that the demonstration turns on."""

from __future__ import annotations

from collections import Counter

import pytest
import tensorflow as tf

from experiments.benchmarking.reference import reference_step, reference_terms
from experiments.benchmarking.single_operations import single_operations
from experiments.configs.brats import TINY
from experiments.configs.samr import TINY as SAMR_TINY
from models.lesions import Segmentation
from models.networks.unet import UNetSpec, build_unet
from models.samr.gan import SAMR
from models.samr.segmenter import LabelNet
from models.structure_gan.guidance import brats_guides
from models.structure_gan.registration import Registration
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Pretraining, Synthesis
from tests.models.toys import (
    assert_step_equals,
    calm,
    random_batch,
    random_image,
    tiny_segmentation,
)
from utils.graphs import reached_operations

SYSTEMS = {
    StructureGAN: lambda: StructureGAN(TINY.structure),
    Segmentation: tiny_segmentation,
    Registration: lambda: calm(Registration(TINY.registration, 1)),
    Pretraining: lambda: Pretraining(TINY.synthesis),
    Synthesis: lambda: Synthesis(
        TINY.synthesis,
        brats_guides(SYSTEMS[Registration](), tiny_segmentation(), TINY.synthesis),
    ),
    SAMR: lambda: SAMR(SAMR_TINY.samr, 4, 5, random_image(3, 32, 24, 4).numpy(), total_steps=10),
    LabelNet: lambda: LabelNet(SAMR_TINY.segmenter, 4, 5, total_steps=10),
}


SHORT = (Pretraining, SAMR, LabelNet)


# The others have tests of their own, with the published weights.
@pytest.mark.parametrize(
    "kind",
    [k if k in SHORT else pytest.param(k, marks=pytest.mark.slow) for k in SYSTEMS],
)
def test_every_term_and_gradient_is_the_steps(kind):
    system = calm(SYSTEMS[kind]())
    batch = {**random_batch(), "source": tf.constant([[0, 1], [1, 2]])}
    assert_step_equals(system, batch, lambda: reference_terms(system, batch))


def test_the_reference_makes_an_update():
    """By the gradients of its terms, which are the step's."""
    system, batch = calm(SYSTEMS[Pretraining]()), random_batch()

    def step(batch):
        terms = reference_terms(system, batch)
        return {**terms["G"], **terms["D"], **reference_step(system, batch)}

    system.train_step = step
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
    system, batch = SYSTEMS[StructureGAN](), random_batch()
    found = nodes(lambda batch: reference_terms(system, batch), batch)
    assert found["FusedBatchNormV3"] == found["Conv2DBackpropInput"] == 0
    assert found["LeakyRelu"] == found["Minimum"] > 50
