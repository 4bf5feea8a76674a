"""Sequences made of label volumes by a tiny run: geometry, content, changes, what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data.manipulation import changed
from data.volumes import read_volume, read_volume_and_grid, write_on_grid, write_volume
from experiments import render
from experiments.systems.samr.synthesizing import Source, Synthesizer
from utils.runs.exits import exit_code
from utils.runs.files import read_json

# Those of the tiny preset.
SHAPE, SLICES, COLUMNS = (155, 240, 240), slice(70, 90), slice(48, 192)
NAMES = ("T1", "T2", "T1c", "Flair", "label")


def run(monkeypatch, *words) -> int:
    monkeypatch.setattr(sys, "argv", ["render.py", *map(str, words)])
    return exit_code(render.main, render._after_interrupt)


def label_volume() -> np.ndarray:
    """A brain with a lesion in all slices, brain and lesion numbered as the run does."""
    label = np.zeros(SHAPE, np.uint8)
    label[60:100, 70:190, 40:160] = 1  # eight columns of it beyond the run's slices
    label[60:100, 90:120, 90:120] = 2
    label[60:100, 95:110, 95:110] = 4
    return label


@pytest.fixture
def file(tmp_path):
    """A file whose axes and place are not those of BRATS."""
    path = tmp_path / "in" / "case.nii.gz"
    direction = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
    write_volume(path, label_volume()[:, ::-1, ::-1], origin=(7.0, -3.0, 11.5), direction=direction)
    return path


def made(folder, stem: str = "case") -> dict:
    return {name: read_volume(folder / f"{stem}_synthetic_{name}.nii.gz") for name in NAMES}


def test_sequences_have_the_inputs_geometry(samr_run, file, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert run(monkeypatch, "--run", samr_run, "--label", file, "--out", out) == 0
    assert "case.nii.gz: Dice of the run's segmenter: oedema 0." in capsys.readouterr().out
    _, grid = read_volume_and_grid(file)
    for name in NAMES:
        _, found = read_volume_and_grid(out / f"case_synthetic_{name}.nii.gz")
        assert str(found) == str(grid), name  # to the last digit, and both forms of the header
    volumes, label = {k: v.array for k, v in made(out).items()}, label_volume()
    expected = np.zeros_like(label)
    expected[SLICES, :, COLUMNS] = label[SLICES, :, COLUMNS]
    np.testing.assert_array_equal(volumes["label"], expected)
    for name in NAMES[:4]:
        assert volumes[name].dtype == np.int16 and 0 <= volumes[name].min()
        assert volumes[name].max() <= 1000 and not volumes[name][expected == 0].any()
        assert (volumes[name][expected > 0] > 0).mean() > 0.9


def test_the_score_is_of_what_the_segmenter_finds_in_the_images(samr_run):
    synthesizer, label = Synthesizer(samr_run), label_volume()

    def find(batch: dict) -> dict:  # the second class everywhere
        images = batch["images"]
        assert images.shape[-1] == 4
        return {"labels": tf.fill([*images.shape[:-1], 1], 2)}

    synthesizer._find = find
    _, dice = synthesizer.make(Source(Path(), label, None), batch_size=3)
    oedema, window = (label[SLICES] == 2).sum(), 20 * 192 * 144
    assert dice["oedema"] == pytest.approx(2 * oedema / (oedema + window), rel=0.1)
    assert dice["enhancing"] == 0 and list(dice) == ["oedema", "enhancing"]


def test_a_changed_lesion_is_drawn_and_written(samr_run, file, tmp_path, monkeypatch):
    words = ("--run", samr_run, "--label", file)
    assert run(monkeypatch, *words, "--out", tmp_path / "a") == 0
    change = "mirror,move:20:0"
    assert run(monkeypatch, *words, "--out", tmp_path / "b", "--manipulate", change) == 0
    plain, other = (made(tmp_path / name) for name in "ab")
    expected = changed(label_volume(), change)
    drawn = SLICES, slice(None), COLUMNS
    np.testing.assert_array_equal(other["label"].array[drawn], expected[drawn])
    assert np.abs(plain["T1"].array - other["T1"].array).max() > 0
    record = read_json(tmp_path / "b" / "case_synthetic.nii.gz.json")
    assert record["manipulate"] == change and "not for diagnosis" in record["notice"]


@pytest.mark.slow
def test_a_donors_lesion_takes_the_place_of_the_own_one(samr_run, file, tmp_path, monkeypatch):
    label = label_volume()
    donor = np.where(label > 1, 1, label)
    donor[60:100, 150:160, 130:140] = 3
    _, grid = read_volume_and_grid(file)
    write_on_grid(tmp_path / "donor.nii.gz", donor, grid)
    words = ("--manipulate", f"donor:{tmp_path / 'donor.nii.gz'}", "--out", tmp_path / "out")
    assert run(monkeypatch, "--run", samr_run, "--label", file, *words) == 0
    found = made(tmp_path / "out")["label"].array
    drawn = SLICES, slice(None), COLUMNS
    np.testing.assert_array_equal(found[drawn], donor[drawn])
    write_on_grid(tmp_path / "donor.nii.gz", label_volume(), grid)  # another lesion, the same name
    assert run(monkeypatch, "--run", samr_run, "--label", file, *words) == 2


def test_labels_of_a_release_get_their_brain_from_a_scan(samr_run, file, tmp_path, monkeypatch):
    label, (_, grid) = label_volume(), read_volume_and_grid(file)
    # Of a brain with mean 0 half is below, and a voxel inside is like the background.
    scan = np.where(label, np.random.default_rng(0).normal(0, 1, SHAPE), 0).astype(np.float32)
    scan[:, 80, 100] = 0
    write_on_grid(tmp_path / "t1.nii.gz", scan, grid)
    release = np.choose(label, [0, 0, 2, 1, 4]).astype(np.uint8)
    write_on_grid(tmp_path / "seg.nii.gz", release, grid)
    words = ("--run", samr_run, "--label", tmp_path / "seg.nii.gz", "--out", tmp_path / "out")
    assert run(monkeypatch, *words, "--anatomy", tmp_path / "t1.nii.gz") == 0
    found = made(tmp_path / "out", "seg")["label"].array
    drawn = SLICES, slice(None), COLUMNS
    np.testing.assert_array_equal(found[drawn], label[drawn])


def test_a_label_of_a_release_without_brain_is_not_taken_for_one_with_it(
    samr_run, file, tmp_path, monkeypatch, capsys
):
    label, (_, grid) = label_volume(), read_volume_and_grid(file)
    release = np.where(label > 1, label, 0).astype(np.uint8)
    release[60:100, 92:95, 92:95] = 1  # necrosis
    write_on_grid(file, release, grid)
    words = ("--run", samr_run, "--label", file, "--out", tmp_path / "out")
    assert run(monkeypatch, *words) == 2
    assert "has less brain than lesion, as if what it calls brain were none" in (
        capsys.readouterr().err
    )


@pytest.mark.slow
def test_the_same_command_keeps_what_is_there(samr_run, file, tmp_path, monkeypatch, capsys):
    words = ["--run", samr_run, "--label", file.parent, "--out", tmp_path / "out"]
    assert run(monkeypatch, *words) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert len(before) == 6
    assert run(monkeypatch, *words) == 0
    assert "exists and is kept" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert run(monkeypatch, *words, "--manipulate", "mirror") == 2
    assert "not known to be made from" in capsys.readouterr().err
    assert run(monkeypatch, *words, "--manipulate", "mirror", "--overwrite") == 0


@pytest.mark.parametrize(
    ("value", "words", "sentence"),
    [
        (7, (), "holds the value 7, which the run"),
        (None, (), "has no brain (value 1) in it; give the brain's mask"),
        (1, ("--manipulate", "melt"), "'melt' is no change of a lesion; give mirror"),
        (1, ("--manipulate", "move:0:200"), "leaves nothing of the lesion inside of the brain"),
        (1, ("--batch_size", "0"), "--batch_size is 0; give 1 or more"),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_sentence(
    samr_run, file, tmp_path, monkeypatch, capsys, value, words, sentence
):
    label, (_, grid) = label_volume(), read_volume_and_grid(file)
    label[label == 1] = 0 if value is None else value
    label[label > 4] = value or 0
    write_on_grid(file, label, grid)
    out = tmp_path / "out"
    assert run(monkeypatch, "--run", samr_run, "--label", file, "--out", out, *words) == 2
    assert sentence in capsys.readouterr().err and not out.exists()


def test_an_empty_folder_is_refused(samr_run, tmp_path, monkeypatch, capsys):
    words = ("--run", samr_run, "--label", tmp_path, "--out", tmp_path / "out")
    assert run(monkeypatch, *words) == 2
    assert "must be a label or a folder of them" in capsys.readouterr().err


@pytest.mark.parametrize("with_brain", [False, True])
def test_a_lesion_beside_the_brain_is_refused(
    samr_run, file, tmp_path, monkeypatch, capsys, with_brain
):
    label, (_, grid) = label_volume(), read_volume_and_grid(file)
    label[75:78, 5:9, 5:9] = 2
    words = ("--run", samr_run, "--label", tmp_path / "seg.nii.gz", "--out", tmp_path / "out")
    if with_brain:
        write_on_grid(tmp_path / "brain.nii.gz", (label_volume() > 0).astype(np.uint8), grid)
        words += ("--anatomy", tmp_path / "brain.nii.gz")
        label = np.choose(label, [0, 0, 2, 1, 4]).astype(np.uint8)
    write_on_grid(tmp_path / "seg.nii.gz", label, grid)
    assert run(monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert "error: 48 of the " in error and "lie outside of the brain; move the lesion" in error


def test_a_small_part_is_not_taken_for_brain(samr_run, file, tmp_path, monkeypatch, capsys):
    label, (_, grid) = np.zeros(SHAPE, np.uint8), read_volume_and_grid(file)
    label[70:90, 100:130, 90:120] = 1  # the rim of a lesion, in a label without brain
    label[75:80, 110:115, 100:105] = 2
    write_on_grid(tmp_path / "seg.nii.gz", label, grid)
    words = ("--run", samr_run, "--label", tmp_path / "seg.nii.gz", "--out", tmp_path / "out")
    assert run(monkeypatch, *words) == 2
    assert "of a slice, as if what it calls brain were none" in capsys.readouterr().err


def test_a_lesion_where_nothing_is_drawn_is_told(samr_run, file, tmp_path, monkeypatch, capsys):
    label, (_, grid) = label_volume(), read_volume_and_grid(file)
    label[label > 1] = 1
    label[20:22, 110:114, 110:114] = 2
    label[10:30, 90:130, 90:130] = np.maximum(label[10:30, 90:130, 90:130], 1)
    write_on_grid(tmp_path / "seg.nii.gz", label, grid)
    words = ("--run", samr_run, "--label", tmp_path / "seg.nii.gz", "--out", tmp_path / "out")
    assert run(monkeypatch, *words) == 0
    assert "no lesion is shown, it lies beyond what the run draws" in capsys.readouterr().out


def test_a_missing_brain_is_told(samr_run, file, tmp_path, monkeypatch, capsys):
    words = ("--run", samr_run, "--label", file, "--out", tmp_path / "out", "--anatomy", "none.nii")
    assert run(monkeypatch, *words) == 2
    assert "--anatomy none.nii does not exist" in capsys.readouterr().err
    words = ("--run", samr_run, "--label", file.parent, "--out", tmp_path / "out")
    assert run(monkeypatch, *words, "--anatomy", file) == 2
    assert "is of one patient, but --label" in capsys.readouterr().err
