"""Table 1 on a tiny run: what it writes, what it trains, and that it trains nothing twice."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from experiments.engine.cli import main
from experiments.tables.ablation.measures import METRICS
from experiments.tables.ablation.table import TABLE1
from utils.runs.files import read_json


def table1(*words) -> int:
    return main(TABLE1, [str(word) for word in words])


def picture(path) -> np.ndarray:
    return cv2.imread(str(path))


@pytest.fixture(scope="module")
def ablation(tiny_run, tmp_path_factory):
    """Variant B, trained; and F, which with the trained run's lengths is its own generator."""
    out = tmp_path_factory.mktemp("table1") / "out"
    lengths = ("--pretraining_steps", 0, "--steps", 0)
    assert table1("--run", tiny_run, "--out", out, "--rows", "B,F", *lengths) == 0
    return out


@pytest.mark.slow
def test_the_ablation_writes_table_chart_strip_and_metrics(ablation, tiny_run):
    table = pd.read_csv(ablation / "table1.csv")
    assert table["row"].tolist() == ["thesis/B", "thesis/F", "thesis/real"]
    assert list(table)[3:] == [metric.key for metric in METRICS]
    text = (ablation / "table1.md").read_text()
    assert "phantom" in text and "Seed 0;" in text
    words = "--rows B,F --pretraining_steps=0 --steps=0"
    assert f"--preset tiny --run RUN {words}`" in text
    assert "20 updates of pre-training" in text and "10 of" not in text
    metrics = read_json(ablation / "metrics.json")
    for expected in table.to_dict("records"):
        for metric in METRICS:
            found = metrics.get(f"table1/{expected['row']}/{metric.key}", np.nan)
            assert found == pytest.approx(expected[metric.key], nan_ok=True)
    assert (
        metrics["table1/thesis/B/lesion_outside"] > 0 == metrics["table1/thesis/F/lesion_outside"]
    )
    assert metrics["table1/seconds"] > 0
    assert picture(ablation / "table1.png").shape[1] == 1547
    assert picture(ablation / "figure12_thesis.png").shape[1] > 10 * 24 * 2
    assert (ablation / "splits.json").read_text() == (tiny_run / "splits.json").read_text()


@pytest.mark.slow
def test_the_complete_arm_is_the_main_run(ablation, tiny_run):
    assert sorted(path.name for path in (ablation / "variants").iterdir()) == [
        "thesis_B",
        "thesis_F",
    ]
    assert not (ablation / "variants" / "thesis_F" / "checkpoints").exists()
    trained = ablation / "variants" / "thesis_B" / "checkpoints"
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
    words = ("--resume", "--rows", "B,F", "--stages", "train")
    assert table1("--out", ablation, *words) == 0
    assert {path: path.read_bytes() for path in kept} == before
    assert read_json(ablation / "metrics.json")["table1/seconds"] > seconds


def test_a_wrong_arm_is_told_before_anything_starts(tiny_run, tmp_path, capsys):
    assert table1("--run", tiny_run, "--out", tmp_path / "out", "--rows", "G") == 2
    assert "--rows is 'G'" in capsys.readouterr().err and not (tmp_path / "out").exists()
