"""A tiny run of the early paper: its report, its translator, and that a stop does not show."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.engine.cli import main
from experiments.systems.structure_gan.early import TRAIN_EARLY
from tests.experiments.conftest import content, state_of
from utils.runs.files import read_json


def train(*words: object) -> int:
    return main(TRAIN_EARLY, ["--preset", "tiny", *map(str, words)])


@pytest.mark.slow
def test_a_run_draws_and_judges_a_set_and_a_stop_does_not_show(tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    words = ("--segmentation.scheme", "1ecl_4dcl")
    assert train("--out", whole, *words) == 0
    metrics = read_json(whole / "metrics.json")
    assert np.isfinite(metrics["registration/synthetic/overlap"])
    assert np.isfinite(metrics["translation/ssim"])
    page = (whole / "report.html").read_text("utf-8")
    assert "not medical data" in page and "Translations of a held-out slice" in page
    half = ("--schedule.synthesis.steps", 10, "--stages", "structure,segmentation,synthesis")
    assert train("--out", stopped, *words, *half) == 0
    words = ("--resume", "--allow-config-change", "--schedule.synthesis.steps", 20)
    assert main(TRAIN_EARLY, ["--out", str(stopped), *map(str, words)]) == 0
    for stage in ("structure", "segmentation", "synthesis"):
        np.testing.assert_equal(*(state_of(run, stage) for run in (whole, stopped)))
    assert content(stopped / "synthetic").keys() == content(whole / "synthetic").keys()


def test_lesion_nets_of_no_scheme_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        train("--out", tmp_path / "a", "--segmentation.scheme", "2seg")
    assert "2seg" in capsys.readouterr().err and not (tmp_path / "a").exists()
