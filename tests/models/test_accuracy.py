"""Each system's report of how well its discriminators tell real from generated, counted plainly."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import tensorflow as tf

from models.baselines.system import Baseline
from models.lesions import Segmentation
from models.structure_gan.registration import Registration
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Pretraining, Synthesis
from models.tc_mgan.gan import TCMGAN
from tests.models.test_baselines import tiny_baseline
from tests.models.test_registration import tiny_registration
from tests.models.test_structure import tiny_structure
from tests.models.test_synthesis import tiny_synthesis
from tests.models.test_tc_mgan import batch_of, tiny_tc_mgan
from tests.models.toys import random_batch


class Known:
    """Stands for a discriminator: a row of real images scores 1, but every third one 0.

    Generated rows score 0. The first rows that it sees are the real ones.
    """

    def __init__(self, network, real: int):
        self.network, self.real = network, real

    def __call__(self, *inputs):
        judged = self.network(*inputs)
        rows = tf.range(tf.shape(inputs[0])[0])
        right = tf.logical_and(rows < self.real, rows % 3 < 2)
        self.real = 0
        scores = tf.cast(right, tf.float32)[:, None, None, None]
        if isinstance(judged, dict):
            return {**judged, "score": 0 * judged["score"] + scores}
        if isinstance(judged, tf.Tensor):
            return 0 * judged + scores
        return [0 * judged[0] + scores, *judged[1:]]


@pytest.mark.parametrize(
    ("make", "name", "real"),
    [
        (tiny_synthesis, "D", 2 * 4),
        (tiny_registration, "D_t", 2 * 4),
        (tiny_structure, "D_s", 2),
        (tiny_structure, "D_z", 2),
        (tiny_baseline, "D_z", 2),
        (lambda: tiny_tc_mgan("mgan"), "D", 2),
        (lambda: tiny_tc_mgan("pix2pix"), "D_T1c", 2),
    ],
)
def test_each_system_reports_its_discriminators(make, name, real):
    system = make()
    system.descend = lambda tape, losses: {f"gradient_norm/{k}": tf.constant(0.0) for k in losses}
    system.networks[name] = Known(system.networks[name], real)
    images = "tc_mgan" in type(system).__module__
    batch = batch_of(2) if images else random_batch()
    found = {k: float(v) for k, v in system.train_step(batch).items() if k.startswith("accuracy/")}
    right = np.mean(np.arange(real) % 3 < 2)
    assert found[f"accuracy/{name}"] == pytest.approx(right if images else (right + 1) / 2)
    judges = {k for k in system.networks if k.startswith("D")}
    assert set(found) == {f"accuracy/{judge}" for judge in judges}
    assert all(0 <= value <= 1 for value in found.values())
    assert set(system.monitored) in ({}.keys(), found.keys())


def test_samples_are_compared_with_what_they_are_to_be_like():
    batch, images = random_batch(), tf.zeros([2, 4, 4, 4])
    for kind in (Pretraining, Synthesis, Baseline):
        found, real = kind.collapse_pair(None, {"images": images}, batch)
        assert found is images and real is batch["images"]
    assert Segmentation.collapse_pair(None, {"labels": images}, batch) is None
    maps = StructureGAN.collapse_pair(None, {"structure": images}, batch)
    assert maps[0] is images and maps[1] is batch["structure"]
    found, real = TCMGAN.collapse_pair(None, {"images": images}, batch)
    assert found is images
    np.testing.assert_array_equal(real, batch["images"].numpy()[..., [3, 2, 0]])  # Flair, T1c, T1


def test_translations_are_compared_with_the_modality_that_they_show():
    images = random_batch()["images"]
    shown = [image for _, image in permutations(np.moveaxis(images.numpy(), -1, 0), 2)]
    translations = tf.constant(np.stack(shown, axis=1)[..., None])
    found, real = Registration.collapse_pair(
        None, {"translations": translations}, {"images": images}
    )
    np.testing.assert_array_equal(found, real)
