"""Figures of the stage "evaluate" against networks whose outputs are known."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from data.brats.dataset import BRATS
from data.slice_sets import Slices, real_slices
from experiments.systems.structure_gan import evaluation
from experiments.systems.structure_gan.evaluation import healthy_figures, translation_figures
from models.networks.modalities import TARGET, TRANSLATIONS
from tests.experiments.small_run import run_on
from utils.metrics.quality import frechet_texture
from utils.metrics.segmentation import dice, mean_and_count
from utils.metrics.sharpness import healthy_inside, relative_gradient
from utils.runs.environment import REPOSITORY

FACTORS = 1 - 0.02 * np.arange(1, 13, dtype=np.float32)  # of the twelve translations
LIMITS = 0.1 * np.arange(1, 5)  # above which each segmenter finds a lesion


def test_translations_are_measured_against_their_targets(tmp_path, monkeypatch):
    run = run_on(tmp_path, writes=False)
    images = real_slices(run.prepared, run.split.test)

    def translate(batch: dict) -> dict:
        targets = tf.gather(batch["images"], TARGET, axis=-1) * FACTORS
        return {"translations": tf.transpose(targets, [0, 3, 1, 2])[..., None]}

    translator = SimpleNamespace(synthesize=translate)
    monkeypatch.setattr(run, "trained", {"registration": translator}.__getitem__)
    figures = translation_figures(
        run, lambda b: {"labels": tf.cast(b["images"] > LIMITS, tf.int32)}, images
    )
    names = BRATS.channels
    scores = []
    for factor, (i, j) in zip(FACTORS, TRANSLATIONS):
        true = images.images[..., j]
        error = np.mean((1 - factor) ** 2 * true.astype(float) ** 2, axis=(1, 2))
        key = f"translation/{names[i]}_to_{names[j]}"
        psnr = float(np.mean(-10 * np.log10(error)))
        assert figures[f"{key}/psnr"] == pytest.approx(psnr, rel=1e-4)
        assert 0.9 < figures[f"{key}/ssim"] <= 1
        found = dice(factor * true > LIMITS[j], images.label > 0)
        scores.append(mean_and_count(found)[0])
        assert figures[f"{key}/dice_wt"] == pytest.approx(scores[-1], abs=1e-6)
    assert figures["translation/dice_wt"] == pytest.approx(np.mean(scores), abs=1e-6)


UNEVEN = """
import experiments._start
from dataclasses import replace
from types import SimpleNamespace
import numpy as np
import tensorflow as tf
from scipy import ndimage
from data.brats.dataset import BRATS
from data.slice_sets import Slices
from experiments.configs.brats import TINY
from experiments.systems.structure_gan import evaluation
from models.structure_gan.registration import Registration

images = np.random.default_rng(0).random((21, 32, 24, 4), np.float32)
run = SimpleNamespace(
    trained=lambda stage: Registration(TINY.registration, 1),
    config=replace(TINY, evaluation=replace(TINY.evaluation, batch_size=2)),
    prepared=SimpleNamespace(dataset=BRATS),
)
slices = Slices(images, np.ones((21, 32, 24), np.uint8))
find = lambda batch: {"labels": tf.cast(batch["images"] > 0.5, tf.int32)}
assert len(evaluation.translation_figures(run, find, slices)) == 39
"""


def test_slices_that_do_not_fill_the_last_batch_are_translated():
    """In a process of its own: tests run without the graph optimiser, which crashed."""
    done = subprocess.run(
        [sys.executable, "-c", UNEVEN], cwd=REPOSITORY, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_detector_learns_from_training_patients_and_is_tested_on_others(tmp_path, monkeypatch):
    run, seen = run_on(tmp_path, writes=False), []
    real, size = real_slices(run.prepared, run.split.test), run.prepared.size
    fake = Slices(np.random.default_rng(0).random((3, *size, 4), np.float32))
    monkeypatch.setattr(evaluation, "detection_accuracy", lambda *parts: seen.append(parts) or 0.7)
    figures = evaluation.texture_figures(run, real, fake)
    # One patient on each side: there are no two groups of them; three slices have no distance.
    assert figures == {"detectability/synthetic/accuracy": 0.7}
    ((training, test, config, _),) = seen
    (train_real, train_fake), (test_real, test_fake) = training, test
    of_training = real_slices(run.prepared, run.split.train).images
    assert len(train_real) == 3 and all(
        np.any((of_training == x).all((1, 2, 3))) for x in train_real
    )
    np.testing.assert_array_equal(test_real, real.images)
    np.testing.assert_array_equal(train_fake, fake.images[[0, 2]])
    np.testing.assert_array_equal(test_fake, fake.images[[1]])
    assert config == run.config.evaluation.detector


def test_the_texture_of_the_set_is_compared_with_held_out_slices(tmp_path, monkeypatch):
    run, rng = run_on(tmp_path, writes=False), np.random.default_rng(0)
    images = rng.random((2, 30, *run.prepared.size, 4))
    seen, real = (Slices(part, subjects=np.ones(30)) for part in images)
    blurred = ndimage.gaussian_filter(seen.images, (0, 1, 1, 0))
    monkeypatch.setattr(evaluation, "real_slices", lambda *arguments: seen)
    figures = evaluation.texture_figures(run, real, Slices(blurred))
    expected = frechet_texture(blurred, real.images)
    assert figures["texture/synthetic/T2/frechet"] == pytest.approx(expected[1])
    assert figures["texture/synthetic/frechet"] == pytest.approx(expected.mean())
    assert 0 < 10 * figures["texture/real/frechet"] < figures["texture/synthetic/frechet"]
    few = evaluation.texture_figures(run, real, Slices(blurred[:19]))  # as many as features
    assert not any(key.startswith("texture") for key in few)


def test_patients_are_divided_into_two_groups():
    images = np.arange(6)[:, None, None, None]
    groups = evaluation._two_groups(Slices(images, subjects=np.array([7, 7, 2, 9, 2, 5])))
    assert [group.ravel().tolist() for group in groups] == [[0, 1, 2, 4], [3, 5]]


def test_sharpness_is_measured_in_the_healthy_organ():
    rng = np.random.default_rng(0)
    outside = np.ones((2, 48, 48), np.uint8)
    outside[:, 6:42, 6:42] = 0
    label = np.zeros((2, 48, 48), np.uint8)
    label[:, 20:24, 20:24] = 1
    images = rng.random((2, 48, 48, 4), np.float32)
    slices = Slices(images, label, outside, structure=np.ones_like(label))
    figures = healthy_figures(BRATS, slices, "sharpness/real")
    gradients = relative_gradient(images, healthy_inside(outside, label))
    assert figures["sharpness/real/T1c/gradient"] == pytest.approx(gradients[2])
    assert figures["sharpness/real/gradient"] == pytest.approx(gradients.mean())
    assert figures["sharpness/real/lines"] == 1
    assert {"sharpness/real/spectrum_middle", "sharpness/real/T2/spectrum_low"} < set(figures)
    empty = healthy_figures(BRATS, Slices(images, label, np.ones_like(outside), label), "x")
    assert empty == {}
