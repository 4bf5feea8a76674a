"""The plain form of a whole step, with everything that the demonstration turns on."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from experiments.configs.brats import TINY
from models.structure_gan.plain import PLAIN_TERMS, plain_step, plain_terms
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


@pytest.mark.parametrize("kind", [LONG.get(kind, kind) for kind in PLAIN_TERMS])
def test_every_term_and_gradient_is_the_steps(kind):
    system, batch = build(kind), random_batch()
    assert_step_equals(system, batch, lambda: plain_terms(system, batch))


def test_the_plain_update_is_the_steps():
    batch, reached = random_batch(), []
    for step in (Pretraining.train_step, plain_step):
        tf.keras.utils.set_random_seed(0)
        system = build(Pretraining)
        descend(system, 1.0)
        start = values(system.variables("G"))
        report = step(system, batch)
        moves = [b - a for a, b in zip(start, values(system.variables("G")))]
        reached.append((float(report["loss/G"]), np.concatenate([m.ravel() for m in moves])))
    (loss, move), (plain_loss, plain_move) = reached
    assert plain_loss == pytest.approx(loss, rel=1e-5) and np.abs(move).max() > 0
    assert np.linalg.norm(plain_move - move) < 1e-3 * np.linalg.norm(move)
