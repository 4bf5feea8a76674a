"""New patients of a tiny run of MM-GAN: its own set, what a stop leaves, and shards of more."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from data.brats.volumes import BRAIN, CLASSES
from data.slice_sets import real_slices
from data.synthetic_sets.files import array_path, read_manifest, read_rows, read_sample
from experiments import generate
from experiments.engine.cli import default_cache, main
from experiments.engine.finished import open_trained
from experiments.systems.mm_gan.stages import TRAIN_MM_GAN
from tests.experiments.conftest import content
from utils.runs.exits import exit_code

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run with generators of two modalities."""
    out = tmp_path_factory.mktemp("mm_gan") / "run"
    words = ("--preset", "tiny", "--modalities", "T1,Flair", "--out", str(out))
    assert main(TRAIN_MM_GAN, words) == 0
    return out


@pytest.fixture
def drawn(monkeypatch):
    """The script generate.py; returns its exit code."""

    def words(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["generate.py", *map(str, words)])
        return exit_code(generate.main, generate._after_interrupt)

    return words


def test_samples_are_volumes_of_the_runs_modalities_in_one_brain(run):
    rows, manifest = read_rows(run / "synthetic"), read_manifest(run / "synthetic")
    assert manifest["modalities"] == "T1 Flair" and manifest["selected"] == 2
    opened = open_trained(run, (TRAIN_MM_GAN,), "--run needs", default_cache())
    size = opened.prepared.size
    for number in range(2):
        sample = read_sample(array_path(run / "synthetic", number))
        assert sample["images"].shape == (*size, 2) and sample["label"].shape == size
        source = opened.split.train[rows["label_source"][number]]
        real = real_slices(opened.prepared, [source])
        brain = (real.images[0, ..., 0] > 0) | (real.label[0] > 0)  # as T1 shows it
        np.testing.assert_array_equal(sample["label"] > 0, brain)
        assert (sample["label"] == BRAIN).any() and sample["label"].max() < len(CLASSES)
        lesion = np.where(sample["label"] == BRAIN, 0, sample["label"])
        assert lesion.any() and (lesion != real.label[0]).any()
        assert not sample["images"][~brain].any() and sample["images"][brain].any(axis=0).all()
    sheet = (run / "synthetic" / "datasheet.md").read_text("utf-8")
    assert "2 volumes of a brain that does not exist" in sheet and "Single slices" not in sheet
    assert "| SSIM, 7x7x7 voxels" in sheet and "Voxels of 10 x 10 x 10 mm" in sheet
    assert "New patient 2" in (run / "report.html").read_text("utf-8")


def test_what_is_missing_is_drawn_again_the_same(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    for name in ("manifest.json", "samples.csv", "samples/synthetic_000001.json"):
        (other / "synthetic" / name).unlink()
    assert main(TRAIN_MM_GAN, ("--out", str(other), "--resume")) == 0
    assert content(other / "synthetic") == content(run / "synthetic")


def test_shards_are_the_set_of_one_process_and_begin_with_the_runs_own(run, drawn, tmp_path):
    own, out = content(run / "synthetic"), tmp_path / "own"
    assert drawn("--run", run, "--out", out) == 0 and content(out) == own
    one, parts = tmp_path / "one", tmp_path / "parts"
    assert drawn("--run", run, "--out", one, "--samples", 3) == 0
    for shard in ("1/2", "0/2"):
        assert drawn("--run", run, "--out", parts, "--samples", 3, "--shard", shard) == 0
    assert content(parts) == content(one)
    samples = {name: data for name, data in own.items() if name.startswith("samples/")}
    assert len(samples) == 4 and content(one).items() >= samples.items()


def test_a_run_without_trained_generators_draws_nothing(run, drawn, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    for name in ("config.json", "splits.json"):
        shutil.copy(run / name, tmp_path / "run")
    assert drawn("--run", tmp_path / "run", "--out", tmp_path / "set") == 2
    error = capsys.readouterr().err
    assert "has not finished gan; continue it with python experiments/train_mm_gan.py" in error
    assert not (tmp_path / "set").exists()
