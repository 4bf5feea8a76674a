"""Volumes made of a user's label by a tiny run of MM-GAN: geometry, content, what is refused."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from data.volumes import read_volume, read_volume_and_grid, write_volume
from experiments import render
from experiments.engine.cli import main
from experiments.systems.mm_gan.stages import TRAIN_MM_GAN, TRAIN_MM_GAN_LIVER
from experiments.systems.mm_gan.synthesizing import VolumeSynthesizer
from utils.errors import UserError
from utils.runs.exits import exit_code

pytestmark = pytest.mark.slow
SHAPE = (60, 100, 90)
SPACING = (2.0, 2.0, 2.5)  # x, y, z in mm


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with generators of two modalities."""
    out = tmp_path_factory.mktemp("mm_gan") / "run"
    words = ("--preset", "tiny", "--modalities", "T1,Flair", "--out", str(out))
    assert main(TRAIN_MM_GAN, words) == 0
    return out


def label_volume() -> np.ndarray:
    """A brain off the volume's middle with a lesion of all classes, numbered as the run does."""
    label = np.zeros(SHAPE, np.uint8)
    label[10:55, 10:80, 20:80] = 3
    label[30:40, 20:40, 30:50] = 2
    label[32:38, 25:35, 35:45] = 1
    label[34:36, 28:32, 38:42] = 4
    return label


def write(path, array: np.ndarray) -> None:
    direction = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
    turned = array[:, ::-1, ::-1]
    write_volume(path, turned, spacing=SPACING, origin=(7.0, -3.0, 11.5), direction=direction)


def perform(monkeypatch, run, *words: object) -> int:
    words = ("render.py", "--run", run, *words)
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    return exit_code(render.main, render._after_interrupt)


def test_volumes_have_the_inputs_geometry(run, tmp_path, monkeypatch, capsys):
    write(tmp_path / "case.nii.gz", label_volume())
    words = ("--label", tmp_path / "case.nii.gz", "--out", tmp_path / "out")
    assert perform(monkeypatch, run, *words) == 0
    assert "Dice of the run's segmenter: T1 WT " in capsys.readouterr().out
    _, grid = read_volume_and_grid(tmp_path / "case.nii.gz")
    for name in ("T1", "Flair", "label"):
        volume, found = read_volume_and_grid(tmp_path / "out" / f"case_synthetic_{name}.nii.gz")
        assert str(found) == str(grid), name
        if name == "label":
            np.testing.assert_array_equal(volume.array, label_volume())
        else:
            assert 0 <= volume.array.min() and volume.array.max() <= 1000
            np.testing.assert_array_equal(volume.array[label_volume() == 0], 0)
            assert (volume.array[label_volume() > 0] > 0).mean() > 0.95


def test_on_the_runs_own_voxels_nothing_is_interpolated(run, tmp_path):
    synthesizer = VolumeSynthesizer(run)
    label = np.zeros((10, 16, 12), np.uint8)
    label[1:9, 2:14, 2:10] = 3
    label[4:6, 5:8, 4:7] = 2
    write_volume(tmp_path / "a.nii.gz", label, spacing=(10.0, 10.0, 10.0))
    seen = {}

    def made(batch: dict) -> dict:
        seen.update(batch)
        return {"images": np.where(batch["label"] > 0, batch["label"] / 10, 0).astype(np.float32)}

    synthesizer._made = dict.fromkeys(synthesizer.sequences, made)
    volumes = synthesizer.make(synthesizer.read(tmp_path / "a.nii.gz"), None).volumes
    assert seen["label"].shape == (1, 16, 24, 16, 1)
    np.testing.assert_array_equal(volumes["T1"], 100 * label.astype(int))


def test_slabs_are_as_the_whole(run, tmp_path):
    synthesizer = VolumeSynthesizer(run)
    write(tmp_path / "case.nii.gz", label_volume())
    source = synthesizer.read(tmp_path / "case.nii.gz")
    whole, slabs = (synthesizer.make(source, size).volumes for size in (None, 8))
    for name, volume in whole.items():
        assert np.abs(slabs[name] - volume).max() <= 1, name


def test_a_changed_lesion_is_drawn_and_written(run, tmp_path, monkeypatch):
    write(tmp_path / "case.nii.gz", label_volume())
    words = ("--label", tmp_path / "case.nii.gz", "--manipulate", "mirror")
    assert perform(monkeypatch, run, *words, "--out", tmp_path / "out") == 0
    found = read_volume(tmp_path / "out" / "case_synthetic_label.nii.gz").array
    lesion = np.isin(found, (1, 2, 4))
    own = np.isin(label_volume(), (1, 2, 4))
    assert lesion.sum() == own.sum() and not (lesion & own).any()
    np.testing.assert_array_equal(found > 0, label_volume() > 0)


def test_a_label_of_a_release_needs_the_brain(run, tmp_path):
    synthesizer, own = VolumeSynthesizer(run), label_volume()
    write(tmp_path / "brain.nii.gz", (own > 0).astype(np.uint8))
    write(tmp_path / "seg.nii.gz", np.where(own == 3, 0, own))
    source = synthesizer.read(tmp_path / "seg.nii.gz", tmp_path / "brain.nii.gz", "brats2020")
    np.testing.assert_array_equal(source.volume.array, own)
    with pytest.raises(UserError, match=r"seg.nii.gz has no brain \(value 3\) in it; .*--anatomy"):
        synthesizer.read(tmp_path / "seg.nii.gz")
    write(tmp_path / "nine.nii.gz", np.where(own == 1, 9, own))
    with pytest.raises(UserError, match="holds the value 9, which the run"):
        synthesizer.read(tmp_path / "nine.nii.gz")


def test_a_label_whose_brain_is_none_is_refused(run, tmp_path, capsys):
    synthesizer, own = VolumeSynthesizer(run), label_volume()
    # As export_nnunet.py writes it: 3 is the enhancing part, and there is no brain.
    write(tmp_path / "exported.nii.gz", np.array([0, 1, 2, 0, 3], np.uint8)[own])
    with pytest.raises(UserError, match="less brain than lesion, as if what it calls brain were"):
        synthesizer.read(tmp_path / "exported.nii.gz")
    outside = np.where(own == 3, 3, 0).astype(np.uint8)
    outside[2:6, 90:95, 2:8] = 1
    write(tmp_path / "outside.nii.gz", outside)
    with pytest.raises(UserError, match="120 of the 120 lesion voxels of the label .* lie outside"):
        synthesizer.read(tmp_path / "outside.nii.gz")
    write(tmp_path / "seg.nii.gz", np.where(own == 3, 0, own))
    write(tmp_path / "brain.nii.gz", (own > 0).astype(np.uint8))
    capsys.readouterr()
    synthesizer.read(tmp_path / "seg.nii.gz", tmp_path / "brain.nii.gz")
    assert "seg.nii.gz: values of brats2015, as --label_scheme names none" in (
        capsys.readouterr().out
    )


def test_finer_voxels_have_no_dark_rim(run, tmp_path):
    synthesizer = VolumeSynthesizer(run)
    synthesizer._made = dict.fromkeys(
        synthesizer.sequences, lambda batch: {"images": tf.cast(batch["label"] > 0, tf.float32)}
    )
    write(tmp_path / "case.nii.gz", label_volume())
    volumes = synthesizer.make(synthesizer.read(tmp_path / "case.nii.gz"), None).volumes
    shown = volumes["label"] > 0
    assert shown.any() and (volumes["T1"][shown] == 1000).all()
    assert (volumes["T1"][~shown] == 0).all()


def test_a_part_that_the_label_lacks_has_no_dice(run, tmp_path):
    synthesizer = VolumeSynthesizer(run)
    write(tmp_path / "a.nii.gz", np.where(label_volume() == 4, 1, label_volume()))
    scores = synthesizer.make(synthesizer.read(tmp_path / "a.nii.gz"), None).dice
    assert "T1 WT" in scores and "T1 ET" not in scores


def test_the_liver_keeps_its_body(tmp_path):
    run = tmp_path / "run"
    assert main(TRAIN_MM_GAN_LIVER, ("--preset", "tiny", "--out", str(run))) == 0
    synthesizer = VolumeSynthesizer(run)
    label = np.ones((20, 20, 20), np.uint8)
    label[5:12, 5:12, 5:12], label[7:9, 7:9, 7:9] = 2, 3
    write_volume(tmp_path / "a.nii.gz", label, spacing=(12.0, 12.0, 12.0))
    source = synthesizer.read(tmp_path / "a.nii.gz")
    assert set(np.unique(source.label)) == {0, 1, 2}
    healed = replace(source.volume, array=np.where(label == 3, 2, label))
    made = synthesizer.make(source._replace(label=np.minimum(source.label, 1)), None)
    np.testing.assert_array_equal(made.volumes["label"], healed.array)
    with pytest.raises(UserError, match="--anatomy is for runs on brains"):
        synthesizer.read(tmp_path / "a.nii.gz", tmp_path / "a.nii.gz")
