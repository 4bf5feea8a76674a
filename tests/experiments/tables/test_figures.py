"""Figures 14 to 16, and what they print beforehand, on one tiny run."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from experiments.engine.cli import main
from experiments.tables.ablation.table import TABLE1
from experiments.tables.figures import FIGURE14, FIGURE15, FIGURE16
from utils.runs.files import read_json


def run(experiment, *words) -> int:
    return main(experiment, [str(word) for word in words])


def picture(path) -> np.ndarray:
    return cv2.imread(str(path))


@pytest.mark.parametrize("experiment", [TABLE1, FIGURE14, FIGURE15, FIGURE16], ids=lambda e: e.key)
def test_a_dry_run_only_prints(experiment, tiny_run, tmp_path, capsys):
    assert run(experiment, "--run", tiny_run, "--out", tmp_path / "out", "--dry-run") == 0
    assert "seed: 0" in capsys.readouterr().out and not (tmp_path / "out").exists()


def test_figure_14_shows_draws_beside_sieved_maps(tiny_run, tmp_path):
    out = tmp_path / "out"
    assert run(FIGURE14, "--run", tiny_run, "--out", out) == 0
    metrics = read_json(out / "metrics.json")
    for name in ("as_drawn", "filtered", "extracted"):
        assert 0 <= metrics[f"figure14/{name}/overlap"] <= 1
    assert 0 <= metrics["figure14/after_retries"] <= metrics["figure14/replaced"] + 9
    height, width = picture(out / "figure14.png").shape[:2]
    assert width == 7 * 24 + 6 * 2 and height > 3 * 32
    assert "9 random maps" in (out / "figure14.md").read_text()


def test_figure_15_draws_both_walks(tiny_run, tmp_path):
    out = tmp_path / "out"
    assert run(FIGURE15, "--run", tiny_run, "--out", out) == 0
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
    assert run(FIGURE16, "--run", tiny_run, "--out", out) == 0
    sheet = picture(out / "figure16.png")
    assert sheet.shape[0] == 7 * 64 + 6 * 2 and sheet.shape[1] > 4 * 48
    text = (out / "figure16.md").read_text()
    numbers = [int(word) for word in text.split("samples ")[1].split(" of")[0].split(",")]
    assert len(set(numbers)) == 4 and max(numbers) < 8
