"""Table 1 and Figures 14 to 16 on one tiny run."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from experiments import (
    figure14_diversity,
    figure15_latent_walk,
    figure16_samples,
    table1_ablation,
    table3_quality,
)
from experiments.engine.cli import main, parse
from experiments.engine.evidence import Stopwatch, command
from experiments.tables.ablation.measures import MEASURES
from utils.runs.files import read_json
from utils.runs.run_directory import RunDirectory


def run(module, *words) -> int:
    words = [str(word) for word in words]
    return main(lambda: parse(words, module.SCRIPT), module.execute)


def picture(path) -> np.ndarray:
    return cv2.imread(str(path))


@pytest.fixture(scope="module")
def ablation(tiny_run, tmp_path_factory):
    """Arm B, trained; and F, which with the main run's lengths is its own generator."""
    out = tmp_path_factory.mktemp("table1") / "out"
    lengths = ("--pretraining_steps", 0, "--steps", 0)
    assert run(table1_ablation, "--run", tiny_run, "--out", out, "--arms", "B,F", *lengths) == 0
    return out


@pytest.mark.slow
def test_the_ablation_writes_table_chart_strip_and_metrics(ablation, tiny_run):
    table = pd.read_csv(ablation / "table1.csv")
    assert table["arm"].tolist() == ["B", "F", "real"]
    assert list(table)[3:] == list(MEASURES)
    text = (ablation / "table1.md").read_text()
    assert "phantom" in text and "seed 0" in text
    words = "--arms B,F --pretraining_steps=0 --steps=0"
    assert f"--preset tiny --run RUN {words}`" in text
    assert "20 updates of pre-training" in text and "10 of" not in text
    metrics = read_json(ablation / "metrics.json")
    for letter, expected in zip("BF", table.to_dict("records")):
        for name in MEASURES:
            found = metrics.get(f"table1/thesis/{letter}/{name}", np.nan)
            assert found == pytest.approx(expected[name], nan_ok=True)
    assert (
        metrics["table1/thesis/B/lesion_outside"] > 0 == metrics["table1/thesis/F/lesion_outside"]
    )
    assert metrics["table1/seconds"] > 0
    assert picture(ablation / "table1.png").shape[1] == 1560
    assert picture(ablation / "figure12_thesis.png").shape[1] > 10 * 24 * 2
    assert (ablation / "splits.json").read_text() == (tiny_run / "splits.json").read_text()


@pytest.mark.slow
def test_the_complete_arm_is_the_main_run(ablation, tiny_run):
    assert sorted(path.name for path in (ablation / "arms").iterdir()) == ["thesis_B", "thesis_F"]
    assert not (ablation / "arms" / "thesis_F" / "checkpoints").exists()
    trained = ablation / "arms" / "thesis_B" / "checkpoints"
    assert sorted(path.name for path in trained.iterdir()) == ["pretraining", "synthesis"]
    metrics = read_json(ablation / "metrics.json")
    main_run = read_json(tiny_run / "metrics.json")
    overlap = main_run["registration/synthetic/overlap"]  # other noise, the same generator
    assert metrics["table1/thesis/F/overlap"] == pytest.approx(overlap, abs=0.05)


@pytest.mark.slow
def test_a_second_start_trains_nothing(ablation):
    kept = [*ablation.rglob("ckpt-*"), *ablation.rglob("metrics.jsonl")]
    before = {path: path.read_bytes() for path in kept}
    seconds = read_json(ablation / "metrics.json")["table1/seconds"]
    words = ("--resume", "--arms", "B,F", "--stages", "train")
    assert run(table1_ablation, "--out", ablation, *words) == 0
    assert {path: path.read_bytes() for path in kept} == before
    assert read_json(ablation / "metrics.json")["table1/seconds"] > seconds


def test_a_wrong_arm_is_told_before_anything_starts(tiny_run, tmp_path, capsys):
    assert run(table1_ablation, "--run", tiny_run, "--out", tmp_path / "out", "--arms", "G") == 2
    assert "--arms is 'G'" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "module", [table1_ablation, figure14_diversity, figure15_latent_walk, figure16_samples]
)
def test_a_dry_run_only_prints(module, tiny_run, tmp_path, capsys):
    assert run(module, "--run", tiny_run, "--out", tmp_path / "out", "--dry-run") == 0
    assert "seed: 0" in capsys.readouterr().out and not (tmp_path / "out").exists()


def test_figure_14_shows_draws_beside_sieved_maps(tiny_run, tmp_path):
    out = tmp_path / "out"
    assert run(figure14_diversity, "--run", tiny_run, "--out", out) == 0
    metrics = read_json(out / "metrics.json")
    for name in ("as_drawn", "sieved", "extracted"):
        assert 0 <= metrics[f"figure14/{name}/overlap"] <= 1
    assert 0 <= metrics["figure14/after_retries"] <= metrics["figure14/replaced"] + 9
    height, width = picture(out / "figure14.png").shape[:2]
    assert width == 7 * 24 + 6 * 2 and height > 3 * 32
    assert "9 random maps" in (out / "figure14.md").read_text()


def test_figure_15_draws_both_walks(tiny_run, tmp_path):
    out = tmp_path / "out"
    assert run(figure15_latent_walk, "--run", tiny_run, "--out", out) == 0
    for name in ("swapping", "straight"):
        sheet = picture(out / f"figure15_{name}.png")
        assert sheet.shape == (9 * 32 + 8 * 2, 9 * 24 + 8 * 2, 3)
        assert set(np.unique(sheet)) == {0, 255}
    first, other = (picture(out / f"figure15_{name}.png") for name in ("swapping", "straight"))
    for rows in (slice(0, 32), slice(-32, None)):  # both walks have the same corners
        for columns in (slice(0, 24), slice(-24, None)):
            np.testing.assert_array_equal(first[rows, columns], other[rows, columns])
    assert "one coordinate in 7" in (out / "figure15.md").read_text()


def test_figure_16_shows_samples_of_the_set(tiny_run, tmp_path):
    out = tmp_path / "out"
    assert run(figure16_samples, "--run", tiny_run, "--out", out) == 0
    sheet = picture(out / "figure16.png")
    assert sheet.shape[0] == 7 * 64 + 6 * 2 and sheet.shape[1] > 4 * 48
    text = (out / "figure16.md").read_text()
    numbers = [int(word) for word in text.split("samples ")[1].split(" of")[0].split(",")]
    assert len(set(numbers)) == 4 and max(numbers) < 8


def test_a_stopwatch_adds_up_also_when_stopped(tmp_path):
    folder = RunDirectory(tmp_path)
    folder.update_metrics({"table0/seconds": 100.0})
    with pytest.raises(KeyboardInterrupt), Stopwatch(folder, "table0"):
        raise KeyboardInterrupt
    assert 100 < folder.read_metrics()["table0/seconds"] < 101


def test_a_printed_command_repeats_the_run(tmp_path):
    words = ["--preset", "tiny", "--samples", "9", "--gan_sharp.learning_rate", "1e-5"]
    words += ["--skrgan_star.initializer", "glorot_uniform", "--inception-weights", "a b"]
    launch = parse([*words, "--out", str(tmp_path)], table3_quality.SCRIPT)
    text = command(table3_quality.SCRIPT, launch)
    assert text == (
        "python experiments/table3_quality.py --preset tiny --inception-weights PATH --samples=9 "
        "--skrgan_star.initializer=glorot_uniform --gan_sharp.learning_rate=1e-05"
    )
    again = parse([*text.split()[2:], "--out", str(tmp_path)], table3_quality.SCRIPT)
    assert again.config == launch.config
    arms = parse(["--arms=A,B", "--seed=3"], table1_ablation.SCRIPT)
    assert command(table1_ablation.SCRIPT, arms, arms="all").endswith("--preset demo --seed=3")
