"""A tiny run of MM-GAN on the phantom: what it leaves, and that a stop does not show."""

from __future__ import annotations

import numpy as np
import pytest

from data.brats.volumes import BRATS_VOLUMES
from data.liver_ct.dataset import LIVER_VOLUMES
from experiments.engine.cli import main
from experiments.systems.mm_gan.evaluation import slice_steps, volume_ssim
from experiments.systems.mm_gan.pictures import middle_of_lesion, montage, view_row, views
from experiments.systems.mm_gan.stages import TRAIN_MM_GAN, TRAIN_MM_GAN_LIVER
from tests.experiments.conftest import state_of
from utils.runs.files import read_json


def train(out, *words: object) -> int:
    fixed = ("--preset", "tiny", "--modalities", "T1,Flair", "--gan.constant_share", 1)
    return main(TRAIN_MM_GAN, [str(word) for word in (*fixed, "--out", out, *words)])


@pytest.mark.slow
def test_a_run_compares_volumes_and_a_stop_does_not_show(tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train(whole) == 0
    metrics = read_json(whole / "metrics.json")
    for modality in ("T1", "Flair"):
        assert -1 <= metrics[f"volumes/{modality}/ssim"] <= 1
        assert metrics[f"volumes/real/{modality}/step_depth"] > 0
        assert 0 <= metrics[f"volumes/synthetic/{modality}/dice_wt"] <= 1
    assert "volumes/T2/ssim" not in metrics
    page = (whole / "report.html").read_text("utf-8")
    assert "not medical data" in page and "Three views" in page and "gan_Flair" in page
    for name in ("volumes", "montage"):
        assert (whole / "samples" / f"gan_T1_{name}_0000020.png").exists()
    half = ("--schedule.gan.steps", "10", "--stages", "gan")
    assert train(stopped, *half) == 0
    words = ("--resume", "--allow-config-change", "--schedule.gan.steps", "20")
    assert train(stopped, *words) == 0
    for name in ("gan_T1", "gan_Flair"):
        states = [state_of(run, name) for run in (whole, stopped)]
        assert any("pool" in key for key in states[0])
        np.testing.assert_equal(*states)


@pytest.mark.slow
def test_a_run_on_the_liver_has_its_regions_and_its_note(tmp_path):
    assert main(TRAIN_MM_GAN_LIVER, ["--preset", "tiny", "--out", str(tmp_path)]) == 0
    metrics = read_json(tmp_path / "metrics.json")
    for kind in ("real", "synthetic"):
        assert 0 <= metrics[f"volumes/{kind}/CT/dice_liver"] <= 1
        assert metrics[f"volumes/{kind}/CT/step_depth"] > 0
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "abdominal CT (computed shapes, not medical data)" in page
    assert "the liver outside of the lesion" in page and "gan_CT" in page


def test_the_liver_has_one_modality(tmp_path, capsys):
    words = ["--modalities", "T1", "--out", str(tmp_path / "a")]
    assert main(TRAIN_MM_GAN_LIVER, words) == 2
    assert "give some of CT" in capsys.readouterr().err


def test_a_modality_that_there_is_not_is_refused(tmp_path, capsys):
    assert main(TRAIN_MM_GAN, ["--modalities", "T1,PD", "--out", str(tmp_path / "a")]) == 2
    assert "--modalities" in capsys.readouterr().err and not (tmp_path / "a").exists()


def test_similarity_of_volumes():
    volume = np.random.default_rng(0).random((8, 9, 10)).astype(np.float32)
    assert volume_ssim(volume, volume) == pytest.approx(1)
    assert volume_ssim(volume, 1 - volume) < 0


def test_steps_between_slices_count_pairs_inside_the_brain():
    volume, inside = np.zeros((3, 2, 2)), np.ones((3, 2, 2), bool)
    volume[1] = 1.0  # a flicker along the depth
    volume[2, 0, 0], inside[2, 0, 0] = 9.0, False
    assert slice_steps(volume, inside) == [pytest.approx(1), 0, 0]


@pytest.mark.parametrize("dataset, lesion", [(BRATS_VOLUMES, 4), (LIVER_VOLUMES, 3)])
def test_views_go_through_a_lesion(dataset, lesion):
    label = np.full((9, 9, 9), dataset.organ, np.uint8)
    assert middle_of_lesion(label, dataset) == (4, 4, 4)
    label[1:4, 1, 1] = label[8, 8, 8] = lesion  # the median of each axis lies in the first one
    assert middle_of_lesion(label, dataset) == (2, 1, 1)
    label[1:4] = dataset.organ
    label[1, 1, 1] = lesion  # between two lesions, one of them
    assert label[middle_of_lesion(label, dataset)] == lesion


def test_views_are_squares_with_the_head_up():
    volume = np.zeros((4, 6, 2))
    volume[3] = 1.0  # the highest slice
    axial, coronal, sagittal = views(volume, (2, 3, 1))
    assert {part.shape for part in (axial, coronal, sagittal)} == {(6, 6)}
    assert coronal[1, 2:4].all() and not coronal[2:].any() and sagittal[1].all()
    assert len(view_row(volume, (2, 3, 1))) == 3 and len(montage(volume, 5)) == 5
