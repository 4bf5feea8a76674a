"""Volumes translated by tiny runs: geometry, content, and what is refused before it is written."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from data.brats.phantom import cached_phantom
from data.brats.subjects import find_scans
from data.brats.translation import predicted_volume
from data.pipeline import evaluation_batches
from data.volumes import read_volume, write_volume
from experiments import translate
from experiments.configs.brats import TINY as BRATS
from experiments.engine.cli import default_cache
from models.tc_mgan.modalities import TARGETS
from tests.experiments.conftest import content
from tests.experiments.test_train_tc_mgan import run_of
from utils.runs.exits import exit_code
from utils.runs.files import read_json, write_json

AXIAL = 80  # one of the slices that the tiny preset takes


def run(monkeypatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["translate.py", *map(str, words)])
    return exit_code(translate.main, translate._after_interrupt)


def names_of(stem: str, suffix: str) -> set[str]:
    names = {f"{stem}_synthetic_{name}{suffix}" for name in TARGETS}
    return {*names, f"{stem}_synthetic{suffix}.json"}


def brain(slices: int = 4, seed: int = 0) -> np.ndarray:
    """T2 [slices,240,240] int16: a square brain of 60 mm in all slices but the first."""
    volume = np.zeros((slices, 240, 240), np.int16)
    values = np.random.default_rng(seed).integers(200, 900, (slices - 1, 60, 60))
    volume[1:, 90:150, 80:140] = values
    return volume


@pytest.fixture(scope="module")
def runs(tiny_variants) -> Path:
    return tiny_variants / "variants"


@pytest.fixture
def small(tmp_path) -> Path:
    """A T2 volume of four slices."""
    write_volume(tmp_path / "in" / "case_T2.nii.gz", brain())
    return tmp_path / "in" / "case_T2.nii.gz"


def stored(array: np.ndarray, axes: str, degrees: float) -> sitk.Image:
    """An image of an LPS array, stored along other axes and turned about z."""
    image = sitk.DICOMOrient(sitk.GetImageFromArray(array), axes)
    turn = np.deg2rad(degrees)
    rotation = [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    direction = rotation @ np.reshape(image.GetDirection(), (3, 3))
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin((-12.5, 31.25, 7.0))
    return image


@pytest.mark.parametrize(
    ("variant", "suffix", "axes", "degrees"),
    [
        pytest.param("pix2pix", ".mha", "RAS", 0.0, marks=pytest.mark.slow),
        ("tc_mgan_bw", ".nii.gz", "SLA", 7.0),
    ],
)
def test_a_whole_volume_keeps_its_geometry(
    runs, tmp_path, monkeypatch, variant, suffix, axes, degrees
):
    source = run_of(runs / variant)
    (subject,) = source.split.test
    root = cached_phantom(default_cache(), source.config.phantom_subjects, source.config.seed)
    volume = read_volume(find_scans(root, "T2")[subject]).array
    path, out = tmp_path / f"head.t2{suffix}", tmp_path / "out"
    sitk.WriteImage(stored(volume, axes, degrees), str(path))
    assert run(monkeypatch, "--run", runs / variant, "--input", path, "--out", out) == 0
    assert {file.name for file in out.iterdir()} == names_of("head.t2", suffix)
    given = sitk.ReadImage(str(path))
    slices = next(iter(evaluation_batches(source.prepared, (subject,), 10)))
    row = slices["source"].numpy()[:, 1].tolist().index(AXIAL)
    images = source.trained("gan").synthesize(slices)["images"].numpy()[row]
    for i, name in enumerate(TARGETS):
        file = out / f"head.t2_synthetic_{name}{suffix}"
        made = sitk.ReadImage(str(file))
        assert made.GetSize() == given.GetSize()
        for get in ("GetSpacing", "GetOrigin", "GetDirection"):
            np.testing.assert_allclose(getattr(made, get)(), getattr(given, get)(), atol=1e-6)
        found = read_volume(file).array
        assert not found[volume == 0].any() and 0 < found.max() <= 1000
        brains = (volume > 0).sum(axis=(1, 2)) > 2000
        assert brains.sum() > 100 and not found[~brains].any()
        assert (found[brains].max(axis=(1, 2)) > 0).all()
        expected = predicted_volume(images[None, ..., i], [AXIAL], volume, source.config.slicing)
        np.testing.assert_allclose(found[AXIAL], expected[AXIAL], atol=1)


def test_a_folder_of_cases_gives_a_folder_for_each(runs, tmp_path, monkeypatch):
    for number in (1, 2):
        case = f"BraTS20_Training_00{number}"
        for kind in ("t1", "t2"):
            write_volume(tmp_path / "in" / case / f"{case}_{kind}.nii", brain(seed=number))
    out, words = tmp_path / "out", ("--run", runs / "tc_mgan", "--batch_size", 2)
    assert run(monkeypatch, *words, "--input", tmp_path / "in", "--out", out) == 0
    expected = {
        f"BraTS20_Training_00{number}/{name}"
        for number in (1, 2)
        for name in names_of(f"BraTS20_Training_00{number}_t2", ".nii")
    }
    assert set(content(out)) == expected
    names = sorted(name for name in expected if "_T1." in name)
    first, second = (read_volume(out / name).array for name in names)
    assert not np.array_equal(first, second) and not first[0].any() and first[1:].any()


REFUSED = {
    "missing": "does not exist; give a T2 volume or a folder of cases",
    "suffix": "must be a file with the suffix .nii.gz, .nii, .mha",
    "spacing": "must have a spacing of 1 mm along each axis, found 1 x 1 x 2 mm",
    "damaged": "is damaged or of another type",
    "empty": "has no axial slice with more than 2000 voxels",
    "T1": "is by its name a T1 volume; give the case's T2 volume",
    "no T2": "has a T2 scan; add it, or name a file instead of the folder",
    "no case": "such as VSD.Brain.XX.O.MR_T1c.<id>.mha, BraTS20_Training_001_t1ce.nii.gz, ",
    "skull": "is not skull-stripped",
    "grid": "must have 120 rows and 120 columns or more where the training data has its brain",
    "aside": "is not skull-stripped or lies elsewhere than the training data",
}


def bad_input(kind: str, small: Path) -> Path:
    """An input that is refused."""
    folder = small.parent
    if kind == "missing":
        return folder / "none.nii.gz"
    if kind == "suffix":
        return small.rename(folder / "case_T2.nrrd")
    if kind == "spacing":
        write_volume(small, brain(), (1, 1, 2))
    elif kind == "damaged":
        small.write_bytes(small.read_bytes()[:-100])
    elif kind == "empty":
        write_volume(small, brain() // 900)
    elif kind == "skull":
        write_volume(small, np.maximum(brain(), 1))
    elif kind == "grid":
        write_volume(small, brain()[:, 80:180, 80:180])
    elif kind == "aside":
        write_volume(small, np.pad(brain(), ((0, 0), (0, 200), (0, 200))))
    elif kind == "no case":
        return folder
    elif kind == "T1":
        return small.rename(folder / "BraTS20_Training_001_t1.nii.gz")
    elif kind == "no T2":
        small.rename(folder / "BraTS20_Training_001_t1.nii.gz")
        return folder
    return small


@pytest.mark.parametrize("kind", REFUSED)
def test_a_bad_input_is_told_in_one_sentence(runs, small, tmp_path, monkeypatch, capsys, kind):
    path, out = bad_input(kind, small), tmp_path / "out"
    assert run(monkeypatch, "--run", runs / "mgan", "--input", path, "--out", out) == 2
    error = capsys.readouterr().err
    assert REFUSED[kind] in error and str(path) in error
    assert "--data" not in error and "--slicing" not in error
    assert error.startswith("error: ") and error.count("\n") == 1 and not out.exists()


@pytest.fixture(scope="module")
def translated(runs, tmp_path_factory) -> Path:
    """A folder with a T2 volume and its translations."""
    folder = tmp_path_factory.mktemp("translated")
    write_volume(folder / "case_T2.nii.gz", brain())
    with pytest.MonkeyPatch.context() as patch:
        assert run(patch, *words_for(folder, runs)) == 0
    return folder


def words_for(folder: Path, runs: Path, variant: str = "mgan") -> tuple:
    path = folder / "case_T2.nii.gz"
    return ("--run", runs / variant, "--input", path, "--out", folder / "out")


@pytest.fixture
def made(translated, tmp_path) -> Path:
    shutil.copytree(translated, tmp_path / "made")
    return tmp_path / "made"


RECORD = "case_T2_synthetic.nii.gz.json"


def test_a_record_tells_what_translations_were_made_from(made):
    record = read_json(made / "out" / RECORD)
    source = hashlib.sha256((made / "case_T2.nii.gz").read_bytes()).hexdigest()
    assert record["input"] == source and re.fullmatch("[0-9a-f]{64}", record["network"])
    assert set(record) == {"notice", "input", "network"}


def spoil(kind: str, made: Path, runs: Path) -> tuple:
    """Returns the words of a command whose outputs would replace others."""
    if kind == "another input":
        write_volume(made / "case_T2.nii.gz", brain(seed=7))
    elif kind == "no record":
        (made / "out" / RECORD).unlink()
    elif kind == "damaged record":
        (made / "out" / RECORD).write_text("{")
    return words_for(made, runs, "pix2pix" if kind == "another network" else "mgan")


@pytest.mark.parametrize(
    "kind", ["another network", "another input", "no record", "damaged record"]
)
def test_what_others_made_is_replaced_only_when_told(made, runs, monkeypatch, capsys, kind):
    words = spoil(kind, made, runs)
    before = content(made / "out")
    assert run(monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert f"exists but is not known to be made from {made / 'case_T2.nii.gz'} by this" in error
    assert "add --overwrite to replace it, or choose another --out" in error
    with monkeypatch.context() as patch:
        patch.setattr(translate, "write_on_grid", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(patch, *words, "--overwrite")
    assert content(made / "out") == before
    assert run(monkeypatch, *words, "--overwrite") == 0
    after = content(made / "out")
    assert set(after) == set(before) | {RECORD}
    if kind.startswith("another"):
        assert all(after[name] != before[name] for name in before)
    assert run(monkeypatch, *words) == 0 and content(made / "out") == after


def test_half_of_its_own_translations_is_made_whole(made, runs, monkeypatch):
    before = content(made / "out")
    (made / "out" / "case_T2_synthetic_T1.nii.gz").unlink()
    assert run(monkeypatch, *words_for(made, runs)) == 0
    assert set(content(made / "out")) == set(before)


def test_what_someone_put_there_stays(runs, small, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "case_T2_synthetic_T1.nii.gz").write_text("mine")
    words = ("--run", runs / "mgan", "--input", small)
    assert run(monkeypatch, *words, "--out", out) == 2
    assert "T1.nii.gz exists but is not known to be made" in capsys.readouterr().err
    assert content(out) == {"case_T2_synthetic_T1.nii.gz": b"mine"}
    (tmp_path / "file").write_text("mine")
    for place, reason in (("file", "is a file; give"), ("file/out", "cannot be written, for")):
        assert run(monkeypatch, *words, "--out", tmp_path / place) == 2
        assert f"error: --out {tmp_path / place} {reason}" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_name_that_would_become_too_long_is_told(runs, tmp_path, monkeypatch, capsys):
    """The longest name of an output, 23 bytes longer than this, may have 215 bytes."""
    for stem, code in (("\u00e4" * 96, 0), ("\u00e4" * 96 + "t", 2)):
        path = tmp_path / f"{stem}.nii.gz"
        write_volume(path, brain())
        words = ("--run", runs / "mgan", "--input", path, "--out", tmp_path / "out")
        assert run(monkeypatch, *words) == code
    error = capsys.readouterr().err
    assert (
        "has a name that is too long for those of what is made of it; shorten it by 1 by" in error
    )


def bad_run(kind: str, run: Path, folder: Path) -> Path:
    """A copy of a finished run that is no longer one."""
    if kind == "no run":
        return folder
    folder.mkdir()
    start = read_json(run / "config.json")
    if kind == "another system":
        start["config"] = asdict(BRATS)
    write_json(folder / "config.json", start)
    if kind == "no generator":
        shutil.copy(run / "metrics.json", folder)
    elif kind == "half trained":
        shutil.copytree(run / "checkpoints", folder / "checkpoints")
    return folder


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("no run", "--run needs a run directory; "),
        ("another system", "is no run of experiments/train_tc_mgan.py: "),
        ("not trained", "is not finished; continue it with python experiments/train_tc_mgan.py"),
        ("half trained", "is not finished; continue it with python experiments/train_tc_mgan.py"),
        ("no generator", "There is no checkpoint in "),
    ],
)
def test_a_run_without_a_generator_is_refused(
    runs, small, tmp_path, monkeypatch, capsys, kind, sentence
):
    source, out = bad_run(kind, runs / "mgan", tmp_path / "run"), tmp_path / "out"
    assert run(monkeypatch, "--run", source, "--input", small, "--out", out) == 2
    error = capsys.readouterr().err
    assert sentence in error and str(source) in error
    assert error.count("\n") == 1 and not out.exists()


def two_cases(root: Path) -> list[Path]:
    """The T2 volumes of a folder of two cases."""
    paths = []
    for number in (1, 2):
        name = f"BraTS20_Training_00{number}"
        paths.append(root / name / f"{name}_t2.nii.gz")
        write_volume(paths[-1], brain(seed=number))
    return paths


def test_every_case_is_checked_before_the_first_is_translated(runs, tmp_path, monkeypatch, capsys):
    last = two_cases(tmp_path / "in")[-1]
    last.write_bytes(last.read_bytes()[:-100])
    words = ("--run", runs / "mgan", "--input", tmp_path / "in", "--out", tmp_path / "out")
    assert run(monkeypatch, *words) == 2 and str(last) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_same_command_goes_on_after_an_interrupt(runs, tmp_path, monkeypatch, capsys):
    two_cases(tmp_path / "in")
    out, write = tmp_path / "out", translate.write_on_grid

    def stop(path, array, grid):
        if "002_t2_synthetic_T1c" in path.name:
            raise KeyboardInterrupt
        write(path, array, grid)

    monkeypatch.setattr(translate, "write_on_grid", stop)
    words = ("--run", runs / "mgan", "--input", tmp_path / "in", "--out", out)
    assert run(monkeypatch, *words) == 130
    first, second = (
        {
            f"BraTS20_Training_00{number}/{name}"
            for name in names_of(f"BraTS20_Training_00{number}_t2", ".nii.gz")
        }
        for number in (1, 2)
    )
    before, told = content(out), capsys.readouterr()
    volumes = [name for name in first if name.endswith(".nii.gz")]
    assert set(before) == first and all(str(out / name) in told.out for name in volumes)
    assert "the volumes named above are whole; give the same command again" in told.err
    monkeypatch.setattr(translate, "write_on_grid", write)
    assert run(monkeypatch, *words) == 0
    told, after = capsys.readouterr().out, content(out)
    assert set(after) == first | second and before.items() <= after.items()
    assert all(f"{out / name} exists and is kept\n" in told for name in volumes)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--batch_size", "0"), "--batch_size is 0; give 1 or more"),
        (("--batchsize", "2"), "unknown option --batchsize; did you mean --batch_size?"),
    ],
)
def test_bad_options_are_refused(small, tmp_path, monkeypatch, capsys, words, sentence):
    start = ("--run", tmp_path, "--input", small, "--out", tmp_path / "out", *words)
    try:
        code = run(monkeypatch, *start)
    except SystemExit as stop:
        code = stop.code
    assert code == 2 and sentence in capsys.readouterr().err
