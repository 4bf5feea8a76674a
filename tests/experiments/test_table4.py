"""One tiny run of Table 4 and the words it finds."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from experiments.engine.cli import main
from experiments.tables.lesion_validity import TABLE, TABLE4, findings
from utils.runs.run_directory import RunDirectory


def run(*words: object) -> int:
    return main(TABLE4, [str(word) for word in words])


@pytest.fixture(scope="module")
def finished(tiny_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("table4") / "out"
    assert run("--run", tiny_run, "--out", out) == 0
    return RunDirectory(out, writes=False)


def test_figures_equal_those_of_the_main_run(finished, tiny_run):
    metrics, source = finished.read_metrics(), RunDirectory(tiny_run, writes=False).read_metrics()
    for data in ("real", "synthetic"):
        for name in ("legacy_mse", "legacy_dice", "T1c/legacy_dice", "dice_wt"):
            key = f"segmentation/{data}/{name}"
            assert (key in source) == (f"table4/{data}/{name}" in metrics)
            assert metrics.get(f"table4/{data}/{name}") == pytest.approx(source.get(key))
    assert metrics["table4/mismatched/images"] == metrics["table4/synthetic/images"] == 8


def test_the_table_has_differences_to_the_thesis(finished):
    frame = pd.read_csv(finished.path / "table4.csv")
    assert len(frame) == 3 * 5
    means = frame[frame["part"].isna()].set_index("title")
    real = means.loc["real, held-out patients"]
    assert (real["paper_legacy_mse"], real["paper_legacy_dice"]) == (0.026, 0.915)
    assert real["difference_legacy_dice"] == pytest.approx(real["legacy_dice"] - 0.915)
    assert real["difference_legacy_mse"] == pytest.approx(real["legacy_mse"] - 0.026)
    assert means["images"].tolist() == [20, 8, 8]
    text = (finished.path / "table4.md").read_text()
    assert "patients: 1 train, 1 test" in text and "phantom" in text
    assert cv2.imread(str(finished.path / "table4.png")).shape == (840, 1200, 3)


def verdict(real: float, fake: float, control: float) -> str:
    values = zip(TABLE.rows, (real, fake, control))
    names = ("legacy_mse", "legacy_dice", "dice_wt")
    figures = {f"table4/{row.key}/{name}": v for row, v in values for name in names}
    return findings(TABLE, figures)[-1]


def test_the_verdict_follows_the_numbers():
    assert "less well than real ones" in verdict(0.9, 0.8, 0.1)
    assert "at least as well" in verdict(0.8, 0.8, 0.1)
    assert "not supported" in verdict(0.9, 0.1, 0.1)
    assert "not supported" in verdict(0.9, np.nan, np.nan)
    assert "at least as well" in verdict(0.0, 0.1, 0.0)  # segmenters that find nothing in real ones


def test_nothing_is_claimed_without_a_lesion_to_find():
    (sentence,) = findings(TABLE, {"table4/real/images_with_lesion": 0.0})
    assert sentence.startswith("No held-out slice has a lesion: nothing can be said")


def test_a_dry_run_prints_the_plan(tmp_path, capsys):
    assert run("--dry-run", "--out", tmp_path / "out", "--batch_size", "3") == 0
    text = capsys.readouterr().out
    assert "batch_size: 3" in text and f"which is trained first in {tmp_path / 'out/main'}" in text
    assert run("--batch_size", "0", "--out", tmp_path / "out") == 2
    assert "--batch_size is 0; give 1 or more" in capsys.readouterr().err
