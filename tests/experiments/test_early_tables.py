"""Tables, figures and scripts on a tiny run of the early paper."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from data.brats.names import MODALITIES
from data.synthetic_sets.files import read_manifest
from data.volumes import read_volume
from experiments import export_nnunet, generate, translate
from experiments.configs.early import PRESETS, VARIANTS
from experiments.engine.cli import default_cache, main
from experiments.systems.structure_gan.early import TRAIN_EARLY
from experiments.tables.early.figures import FIGURE3_EARLY, FIGURE4_EARLY
from experiments.tables.early.schemes import (
    SCHEMES,
    TABLE,
    TABLE1_EARLY,
    _weights_note,
    findings,
)
from experiments.tables.mixing.table import TABLE2_EARLY
from utils.config import with_values
from utils.runs.exits import exit_code
from utils.runs.files import read_json


@pytest.fixture(scope="module")
def early(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("early") / "run"
    assert main(TRAIN_EARLY, ["--preset", "tiny", "--out", str(out)]) == 0
    return out


def perform(experiment, run, out, *words: object) -> int:
    return main(experiment, ["--preset", "tiny", *map(str, ("--run", run, "--out", out, *words))])


def script(monkeypatch, module, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, words)])
    return exit_code(module.main, module._after_interrupt)


def test_every_ablation_is_a_configuration():
    assert set(VARIANTS) == {"noise_map", "any_label", "no_translation", "no_real", "no_lesion"}
    for name, values in VARIANTS.items():
        config = with_values(PRESETS["thesis"], values)
        assert config != PRESETS["thesis"], name
    real = with_values(PRESETS["thesis"], VARIANTS["no_translation"]).synthesis.real
    assert real.reconstruction > 0 and real.cycle == real.modality == 0


def test_the_order_of_the_schemes_is_told_with_intervals():
    figures = {
        "table1_early/1seg/dice_wt": 0.5,
        "table1_early/4seg/dice_wt": 0.7,
        "table1_early/1seg/behind": -0.2,
        "table1_early/1seg/behind_low": -0.3,
        "table1_early/1seg/behind_high": -0.1,
    }
    first, second = findings(TABLE, figures)
    assert first.startswith("Best to worst: 4SEG 0.700, 1SEG 0.500;")
    assert second == "1SEG - 4SEG: -0.200, interval -0.300 to -0.100: worse."
    undecided = {**figures, "table1_early/1seg/behind_high": 0.1}
    assert findings(TABLE, undecided)[1].endswith("undecided.")


def test_the_page_of_table1_tells_which_class_weights_the_nets_had():
    notes = {
        name: _weights_note(SimpleNamespace(source=SimpleNamespace(config=config)))
        for name, config in PRESETS.items()
    }
    assert notes["tiny"] == notes["demo"] and "1SEG's too" in notes["demo"]
    assert "weights 1/5/15/15/15; the released code has 1/15/85/85/85 for 1SEG" in notes["demo"]
    assert notes["thesis"].endswith("1SEG has class weights of its own, 1/15/85/85/85.")


@pytest.mark.slow
def test_table1_compares_schemes_on_equal_maps(early, tmp_path):
    out = tmp_path / "table1"
    assert perform(TABLE1_EARLY, early, out, "--rows", "1seg,4seg") == 0
    metrics = read_json(out / "metrics.json")
    for row in ("real", "1seg", "4seg"):
        assert np.isfinite(metrics[f"table1_early/{row}/legacy_dice"])
    assert "table1_early/1ecl_4dcl/legacy_dice" not in metrics
    assert not (out / "schemes" / "4seg" / "checkpoints" / "synthesis").exists()  # the run's own
    with np.load(out / "sets" / "1seg.npz") as one, np.load(out / "sets" / "4seg.npz") as four:
        assert one["images"].shape == four["images"].shape
        assert np.abs(one["images"] - four["images"]).max() > 0
    page = (out / "table1_early.md").read_text("utf-8")
    assert (
        "1SEG's too" in page
        and "guided no images" in page
        and all(SCHEMES[k] in page for k in ("1seg", "4seg"))
    )
    assert perform(TABLE1_EARLY, early, tmp_path / "no", "--rows", "2seg") == 2


@pytest.mark.slow
def test_table2_has_the_early_papers_numbers(early, tmp_path):
    out = tmp_path / "table2"
    assert perform(TABLE2_EARLY, early, out, "--rows", "1,31,17") == 0
    metrics = read_json(out / "metrics.json")
    assert {"table2_early/row_01/dice", "table2_early/row_31/dice"} <= metrics.keys()
    page = (out / "table2_early.md").read_text("utf-8")
    assert "encoder and decoder without skips" in page and "31: 50 % real" in page
    assert "needs rows 2 and 1" in page and "(rows 12" not in page


@pytest.mark.slow
def test_figures_are_drawn(early, tmp_path):
    for experiment, name in ((FIGURE3_EARLY, "figure3_early"), (FIGURE4_EARLY, "figure4_early")):
        assert perform(experiment, early, tmp_path / name) == 0
        picture = cv2.imread(str(tmp_path / name / f"{name}.png"))
        assert picture.std() > 10 and (tmp_path / name / f"{name}.md").exists()


@pytest.mark.slow
def test_any_modality_is_translated_to_the_others(early, tmp_path, monkeypatch, capsys):
    config = PRESETS["tiny"]
    source = TRAIN_EARLY.data.phantoms[config.phantom]
    folder = source.make(default_cache(), config.phantom_subjects, 0)
    scan = sorted(folder.rglob("*MR_Flair*.mha"))[0]
    words = ("--run", early, "--input", scan, "--out", tmp_path / "out")
    assert script(monkeypatch, translate, *words) == 2
    assert "name another --source" in capsys.readouterr().err
    assert script(monkeypatch, translate, *words, "--source", "Flair") == 0
    written = sorted((tmp_path / "out").glob("*_synthetic_*.mha"))
    assert len(written) == 3
    assert {path.name.split("_synthetic_")[1].split(".")[0] for path in written} == (
        set(MODALITIES) - {"Flair"}
    )
    assert read_volume(written[0]).array.shape == read_volume(scan).array.shape


@pytest.mark.slow
def test_sets_are_drawn_and_exported(early, tmp_path, monkeypatch):
    assert (
        script(monkeypatch, generate, "--run", early, "--out", tmp_path / "s", "--samples", 9) == 0
    )
    assert read_manifest(tmp_path / "s")["samples"] == 9
    words = ("--run", early, "--set", tmp_path / "s", "--out", tmp_path / "Dataset501_Early")
    assert script(monkeypatch, export_nnunet, *words) == 0
    assert read_json(tmp_path / "Dataset501_Early" / "dataset.json")["numTraining"] == 9
