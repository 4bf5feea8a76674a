"""The stage "atlas": where the run's atlas comes from, and what a resumed run keeps."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from data.atlas import Atlas
from data.volumes import write_volume
from experiments.engine.cli import main, parse
from experiments.systems.samr.atlas import atlas_file, check_atlas, origin_file
from experiments.systems.samr.stages import BRATS_WITH_BRAIN, TRAIN_SAMR
from utils.errors import UserError
from utils.runs.files import read_json, write_json
from utils.runs.run_directory import RunDirectory

SHAPE = (155, 240, 240)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An atlas whose sequences have one level each inside of a box."""
    folder = tmp_path_factory.mktemp("given") / "my_atlas"
    for level, name in enumerate(BRATS_WITH_BRAIN.channels, start=1):
        array = np.zeros(SHAPE, np.int16)
        array[40:120, 60:180, 70:170] = level
        array[60, 100, 100] = 8
        write_volume(folder / f"{name.upper()}.nii.gz", array)
    return folder


@pytest.fixture(scope="module")
def given(folder, tmp_path_factory):
    """A run that has made its atlas of the folder."""
    out = tmp_path_factory.mktemp("samr_atlas") / "run"
    words = ("--preset", "tiny", "--atlas", str(folder), "--stages", "atlas")
    assert main(TRAIN_SAMR, (*words, "--out", str(out))) == 0
    return RunDirectory(out, writes=False)


def check(run, *words) -> None:
    request = parse(("--out", str(run.path), "--resume", *map(str, words)), TRAIN_SAMR)
    check_atlas(request, BRATS_WITH_BRAIN)


def test_the_mean_says_of_how_many_patients(samr_run):
    origin = read_json(origin_file(RunDirectory(samr_run, writes=False)))
    assert origin == {"source": "mean of 2 training patients", "patients": 2}


def test_a_folder_takes_the_place_of_the_mean(given, folder):
    atlas, origin = Atlas.load(atlas_file(given)), read_json(origin_file(given))
    assert atlas.first == 70 and atlas.images.shape == (20, 32, 24, 4)
    # The 99.9th percentile of the brain is its level, so that all but the border is 1.
    np.testing.assert_array_equal(atlas.images[:, 10:20, 8:16], 1)
    assert origin["source"] == "my_atlas" and str(folder.parent) not in str(origin)
    assert set(origin["files"]) == {"T1.nii.gz", "T2.nii.gz", "T1C.nii.gz", "FLAIR.nii.gz"}
    assert all(len(found) == 64 for found in origin["files"].values())


def test_a_resumed_run_keeps_its_atlas_wherever_the_folder_is(given, samr_run, folder, tmp_path):
    check(given)
    moved = shutil.copytree(folder, tmp_path / "moved")
    check(given, "--atlas", moved)
    write_volume(moved / "T1.nii.gz", np.ones(SHAPE, np.int16))
    text = "continues .* with its own atlas, {}, but --atlas .* is another one; leave"
    with pytest.raises(UserError, match=text.format("my_atlas")):
        check(given, "--atlas", moved)
    mean = RunDirectory(samr_run, writes=False)
    with pytest.raises(UserError, match=text.format("mean of 2 training patients")):
        check(mean, "--atlas", folder)


def test_a_run_that_has_not_read_its_atlas_needs_it_again(given, folder, tmp_path):
    run = RunDirectory(tmp_path / "run", writes=False)
    write_json(run.config_file, read_json(given.config_file))
    check(run, "--atlas", folder)
    with pytest.raises(UserError, match="began with --atlas .* give --atlas again or start"):
        check(run)


def test_a_bad_atlas_is_told_before_data_is_read(tmp_path, capsys):
    words = ("--preset", "tiny", "--out", str(tmp_path / "out"), "--atlas", str(tmp_path))
    assert main(TRAIN_SAMR, words) == 2
    assert "must be a folder with one volume for each of T1, T2, T1c" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
