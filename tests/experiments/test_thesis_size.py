"""The sizes of the thesis: width 64, slices 184x144, maps 512x512, codes of 4096 numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from experiments.configs.brats import THESIS
from models.lesions import Segmentation
from models.structure_gan.guidance import brats_guides
from models.structure_gan.registration import Registration
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Pretraining, Synthesis
from tests.experiments.conftest import train

# The released networks' sizes, counted by hand from their layers.
PARAMETERS = {
    "E_s": 75_856_064,
    "G_s": 37_736_326,
    "G_m": 1_083_014,
    "D_z": 2_632_705,
    "D_s": 402_433,
    **{f"G_l{i}": 4_323_727 for i in range(4)},
    "G_t": 4_330_627,
    "D_t": 475_330,
    "G": 4_333_507,  # with the label as input
    "D": 475_330,
}
# The thesis has 4; 1 unless 4 are known to take less than a minute on two cores.
BATCH_SIZES = {"pretraining": 4}
SYSTEMS = {
    "structure": lambda: StructureGAN(THESIS.structure),
    "segmentation": lambda: Segmentation(THESIS.segmentation),
    "registration": lambda: Registration(THESIS.registration, 1),
    "pretraining": lambda: Pretraining(THESIS.synthesis),
    "synthesis": lambda: Synthesis(
        THESIS.synthesis,
        brats_guides(
            Registration(THESIS.registration, 1),
            Segmentation(THESIS.segmentation),
            THESIS.synthesis,
        ),
    ),
}


@pytest.mark.slow
def test_the_plan_tells_networks_weights_and_schedule(capsys):
    assert train("--preset", "thesis", "--dry-run") == 0
    text = capsys.readouterr().out
    table = dict(re.findall(r"^(\w+) +([\d,]+)   \w+ [GD]$", text, re.MULTILINE))
    assert {name: int(count.replace(",", "")) for name, count in table.items()} == PARAMETERS
    for line in ("cycle: 20.0", "map_discriminator: 25.0", "lesion: 1.0", "learning_rate: 1.0e-05"):
        assert re.search(rf"^ +{re.escape(line)}$", text, re.MULTILINE)
    assert "  synthesis     200 epochs of batch 4  " in text
    assert "  pretraining   200 epochs of batch 4  (left out: pretrain is false)\n" in text


def random_batch(size: int) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(0)
    shape = (size, 184, 144)
    batch = {
        "images": rng.random((*shape, 4), np.float32),
        "unpaired_images": rng.random((*shape, 4), np.float32),
        "label": rng.integers(0, 5, (*shape, 1), np.int32),
        "random_label": rng.integers(0, 5, (*shape, 1), np.int32),
        "seed": rng.integers(0, 1000, (size, 2), np.int32),
    }
    for name in ("structure", "outside", "random_structure", "random_outside"):
        batch[name] = rng.integers(0, 2, (*shape, 1)).astype(np.float32)
    return {name: tf.constant(array) for name, array in batch.items()}


@pytest.mark.slow
@pytest.mark.parametrize("stage", list(SYSTEMS))
def test_a_step_moves_every_network(stage):
    system = SYSTEMS[stage]()
    before = {name: network.get_weights() for name, network in system.networks.items()}
    terms = tf.function(system.train_step)(random_batch(BATCH_SIZES.get(stage, 1)))
    assert {f"loss/{group}" for group in system.groups} <= set(terms)
    assert all(np.isfinite(value) for value in terms.values())
    for name, network in system.networks.items():
        moved = [np.any(a != b) for a, b in zip(before[name], network.get_weights())]
        assert np.mean(moved) > 0.5, name
