"""The early paper's settings and checks, its tiny runs, and that a stop does not show."""

from __future__ import annotations

import re

import numpy as np
import pytest

from experiments.configs import early_tables
from experiments.configs.early import PRESETS
from experiments.engine.cli import main, parse
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


@pytest.mark.slow
def test_the_papers_map_stage_makes_a_set_too(tmp_path):
    """Of slices whose sides the encoders halve twice, but no U-Net of the thesis three times."""
    words = ("--map_stage", "early", "--slicing.downsample", 4, "--early_maps.latent_size", 16)
    assert train("--out", tmp_path, *words) == 0
    state = state_of(tmp_path, "structure")
    assert any("MASK" in key for key in state) and any("EC_F" in key for key in state)
    sample = content(tmp_path / "synthetic")
    assert sample and (tmp_path / "report.html").exists()
    assert np.isfinite(read_json(tmp_path / "metrics.json")["registration/synthetic/overlap"])


@pytest.mark.parametrize("stage, network", [("early", "EC_F"), ("thesis", "E_s")])
def test_a_plan_knows_the_chosen_map_stage(stage, network, tmp_path, capsys):
    """It has no slices, of whose size the networks are."""
    words = ("--map_stage", stage, "--slicing.downsample", 4, "--early_maps.latent_size", 16)
    assert train("--dry-run", "--out", tmp_path, *words) == 0
    text = capsys.readouterr().out
    assert re.search(rf"^{network} +[\d,]+ ", text, re.MULTILINE)
    assert re.search(r"^  structure +20 steps of batch 2 +[\d,]+ MiB", text, re.MULTILINE)


@pytest.mark.slow
def test_the_published_plan_has_the_papers_networks(capsys):
    assert main(TRAIN_EARLY, ["--preset", "thesis", "--dry-run"]) == 0
    text = capsys.readouterr().out
    table = dict(re.findall(r"^(\w+) +([\d,]+)   \w+ [GMD]$", text, re.MULTILINE))
    counts = {name: int(count.replace(",", "")) for name, count in table.items()}
    assert (counts["EC_F"], counts["DC_F"], counts["MASK"]) == (200_338_688, 71_826_246, 9_928_710)
    assert (counts["EC_R"], counts["M"], counts["FD_R"]) == (4_542_528, 9_946_563, 1_783_105)
    assert "  structure     100 epochs of batch 4  " in text


@pytest.mark.parametrize("stage, group", [("early", "early_maps"), ("thesis", "structure")])
def test_hints_name_the_chosen_map_stages_learning_rate(stage, group):
    config = parse(["--preset", "tiny", "--map_stage", stage], TRAIN_EARLY).config
    options = TRAIN_EARLY.stage("structure").options(config)
    assert options == (f"--{group}.learning_rate", "--schedule.structure.batch_size")


def test_slices_that_cannot_be_halved_twice_are_refused(tmp_path, capsys):
    words = ("--slicing.rows", "[34,218]", "--dry-run", "--out", tmp_path)
    assert train("--slicing.downsample", 4, *words) == 2
    assert "46x36 pixels; height and width must be divisible by 4" in capsys.readouterr().err


def test_the_published_settings_are_those_of_the_sources():
    """Maps of the image stage; 2e-4 beforehand; 1e-4 of Table 2's segmenter (early paper, 1)."""
    published = PRESETS["thesis"]
    assert published.maps.variant == "paper_image_stage" and published.map_stage == "early"
    assert published.maps.constants(TRAIN_EARLY.data).edge_threshold == 0.12
    assert published.segmentation.learning_rate == 2e-4
    assert published.segmentation.class_weights is published.synthesis.class_weights is None
    assert early_tables.TABLE2["thesis"].segmentation.learning_rate == 1e-4
    assert early_tables.Table2Config().segmentation.learning_rate == 1e-4


@pytest.mark.parametrize("name", ["tiny", "demo"])
def test_small_presets_name_what_they_do_not_take_from_the_sources(name):
    config, table2 = PRESETS[name], early_tables.TABLE2[name].segmentation
    assert config.maps.variant == "code" and config.segmentation.learning_rate == 2e-3
    assert config.segmentation.class_weights == (1, 5, 15, 15, 15)
    assert config.synthesis.class_weights == (2.5, 25, 125, 125, 125)
    assert (table2.learning_rate, table2.weights) == (2e-3, (1, 15, 85, 85, 85))
