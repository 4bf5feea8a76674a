"""One tiny run of Table 3, its stages and what it refuses."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from experiments.engine.cli import default_cache, main
from experiments.engine.run import Run
from experiments.systems.baselines.rivals import generator_phases, same_length
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.tables.quality.rows import TITLES
from experiments.tables.quality.table import TABLE3_QUALITY
from utils.reporting.pictures import ROW_SCALE
from utils.runs.files import read_json, write_json
from utils.runs.run_directory import RunDirectory

BASELINES = ("skrgan_star", "gan_sharp", "dcgan")
STEPS = {"skrgan_star": 2, "gan_sharp": 2, "dcgan": 4}  # as many images: 2 * 4 in batches of 2


def run(*words: object) -> int:
    return main(TABLE3_QUALITY, [str(word) for word in words])


@pytest.fixture(scope="module")
def finished(tiny_run, tmp_path_factory):
    """A run in two goes: the baselines, then the rest; two updates instead of thirty."""
    out = tmp_path_factory.mktemp("table3") / "out"
    words = ("--out", out, "--samples", 9, "--steps", 2, "--models", ",".join(BASELINES))
    words += ("--batch_sizes", "[2,4,4,4,4]")
    assert run("--run", tiny_run, *words, "--stages", "baselines") == 0
    assert not (out / "table3.md").exists()
    assert run("--out", out, "--resume", "--stages", "sets,table") == 0
    return RunDirectory(out, writes=False)


@pytest.mark.slow
def test_the_table_compares_equally_many_slices(finished, tiny_run):
    frame = pd.read_csv(finished.path / "table3.csv")
    means = frame[frame["part"].isna()]
    titles = [t for key, t in TITLES.items() if key in BASELINES or "real" in key or "ours" in key]
    assert list(means["title"]) == titles and len(frame) == len(titles) * 5
    assert set(means[~means["title"].str.contains("tumour")]["images"]) == {9}
    ours = frame.loc[:, frame.columns.str.match("ms_ssim|frechet|kernel")]
    # Four metrics, and half an interval of all but the kernel distance.
    assert ours.shape[1] == 4 + 3 and ours.notna().all(axis=None)
    text = (finished.path / "table3.md").read_text()
    assert "SkrGAN* and GAN# 2 updates with batches of 4; the classic" in text
    assert "with as many images: DCGAN 4 with 2." in text and "phantom" in text
    assert "Ours 20 updates with batches of 4 + 10 updates with batches of 2" in text
    metrics = finished.read_metrics()
    assert metrics["table3/updates"] == 2 and "table3/brats/gan_sharp/T1c/kernel_texture" in metrics
    height, width, _ = cv2.imread(str(finished.path / "table3.png")).shape
    assert height > 4 * 32 * ROW_SCALE and width > 8 * 24 * ROW_SCALE
    assert (finished.path / "splits.json").read_text() == (tiny_run / "splits.json").read_text()


@pytest.mark.slow
def test_a_larger_set_begins_with_the_main_runs(finished, tiny_run):
    names = sorted(path.name for path in (tiny_run / "synthetic/samples").glob("*.npz"))
    assert len(names) == 8
    for name in names:
        first, second = (
            np.load(path / "synthetic/samples" / name)["label"]
            for path in (tiny_run, finished.path)
        )
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_the_baselines_are_watched_and_kept(finished):
    steps = {(row["stage"], row["step"]) for row in finished.read_history()}
    assert steps == set(STEPS.items())
    for name in BASELINES:
        assert list(finished.tensorboard(name).iterdir())
        assert (finished.samples / f"{name}_samples_000000{STEPS[name]}.png").exists()
        images = np.load(finished.path / f"sets/{name}.npz")["images"]
        assert images.shape == (9, 32, 24, 4) and images.dtype == np.float32
        assert len(np.unique(images[:, 10, 10, 0])) == 9  # one seed or map each


@pytest.mark.slow
def test_a_table_again_gives_the_same_and_renders_nothing(finished, tmp_path, monkeypatch):
    shutil.copytree(finished.path, tmp_path / "again")
    for work in ("systems.baselines.classic.infer", "tables.quality.table.quality_figures"):
        monkeypatch.setattr(f"experiments.{work}", pytest.fail)
    monkeypatch.setattr("data.synthetic_sets.building.MapSampler.draw", pytest.fail)
    before = (tmp_path / "again/table3.csv").read_text()
    assert run("--out", tmp_path / "again", "--resume", "--stages", "table") == 0
    assert (tmp_path / "again/table3.csv").read_text() == before


@pytest.mark.slow
def test_the_same_time_is_reckoned_once(tiny_run, tmp_path):
    """By the time of an update on this machine; a resumed run keeps the number."""
    words = ("--run", tiny_run, "--models", "pggan", "--budget", "time", "--stages", "baselines")
    assert run(*words, "--out", tmp_path / "out") == 0
    file = tmp_path / "out" / "updates" / "pggan.json"
    reckoned = read_json(file)
    history = RunDirectory(tiny_run, writes=False).read_history()
    seconds = sum(
        steps * np.mean([row["seconds_per_step"] for row in history if row["stage"] == name])
        for name, steps in (("pretraining", 20), ("synthesis", 10))
    )
    expected = seconds / reckoned["seconds_of_update"]
    assert reckoned["updates"] == max(1, round(expected))
    last = RunDirectory(tmp_path / "out", writes=False).read_history()[-1]
    assert (last["stage"], last["step"]) == ("pggan", reckoned["updates"])
    assert last["progress/level"] == 3  # 32 pixels: it has grown to the end
    write_json(file, {**reckoned, "updates": reckoned["updates"] - 1})
    assert run("--out", tmp_path / "out", "--resume") == 0 and read_json(file) != reckoned


def test_sets_need_trained_baselines(tiny_run, tmp_path, capsys):
    assert run("--run", tiny_run, "--out", tmp_path / "out", "--stages", "sets") == 2
    error = capsys.readouterr().err
    assert "--stages has sets, which needs baselines, neither chosen nor finished" in error
    assert not (tmp_path / "out").exists()


def test_missing_inception_weights_are_told_before_anything_is_made(tmp_path, capsys):
    out = tmp_path / "out"
    for words in (["--inception-weights", tmp_path / "w.h5"], [f"--inception-weights={tmp_path}"]):
        assert run("--preset", "tiny", "--out", out, *words) == 2
        assert "Inception weights must be a file of MD5" in capsys.readouterr().err
    assert not out.exists()


def test_a_dry_run_prints_the_plan(tmp_path, capsys):
    assert run("--dry-run", "--out", tmp_path / "out", "--gan_sharp.real", "7") == 0
    printed = capsys.readouterr().out
    assert "real: 7.0" in printed and "baselines -> sets -> table" in printed
    assert not (tmp_path / "out").exists()


def test_baselines_are_trained_as_long_as_the_generator(tiny_run):
    strategy = tf.distribute.get_strategy()
    source = Run.open_finished(TRAIN_BRATS, tiny_run, strategy, default_cache())
    assert [phase.steps for phase in generator_phases(source)] == [20, 10]
    assert (same_length(source).steps, same_length(source).batch_size) == (30, 4)
    assert same_length(source, 7).steps == 7
