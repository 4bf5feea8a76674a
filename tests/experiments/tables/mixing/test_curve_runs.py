"""The learning curve at the smallest size: from one finished run, and as a user starts it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest
import tensorflow as tf

from experiments.configs.learning_curve import TINY
from experiments.engine.cli import default_cache, main
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.tables.mixing import curve
from experiments.tables.mixing.curve import LEARNING_CURVE, PRIMARY
from experiments.tables.mixing.training import Bench
from tests.experiments.test_export_of_users import SCHEME, write_users_tree
from utils.runs.files import read_json

FILES = (
    "learning_curve.csv",
    "learning_curve.md",
    "learning_curve.png",
    "claims.md",
    "gains.csv",
    "scores.csv",
)
pytestmark = pytest.mark.slow  # six trainings; Table 5 trains by the same code
NAMES = ("patients_001_seed_0", "patients_001_seed_1")


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory) -> Run:
    """Rows 1, 15 and cm of two systems, which stand for two of one patient."""
    strategy = tf.distribute.get_strategy()
    out = tmp_path_factory.mktemp("curve") / "out"
    config = replace(TINY, patients="1", generator=replace(TINY.generator, phantom="easy"))
    options = {"rows": "1,15,cm", "systems": None}
    request = Request(out, config, "tiny", cache=default_cache(), options=options)
    source = Run.open_finished(TRAIN_BRATS, tiny_run, strategy, default_cache())
    run = Run(LEARNING_CURVE, request, strategy).works_on(dict.fromkeys(NAMES, source))
    curve.train(run)
    curve.write(run)
    return run


def test_every_mixture_of_every_system_has_a_result(run):
    for name in NAMES:
        kept = {path.name for path in (run.path / name / "rows").iterdir()}
        assert kept == {f"row_{no}_seed_0.json" for no in ("01", "15", "cm")}
        pasted = read_json(run.path / name / "rows" / "row_cm_seed_0.json")
        assert pasted["training_slices"] == [40] and pasted["presented_slices"] == [16]
    results = curve.results(run)
    assert len(results) == 6 and set(results["no"]) == {"1", "15", "cm"}
    values = run.read_metrics()
    assert values[f"learning_curve/row_cm/1 patients/{PRIMARY}"] == pytest.approx(
        results[results["no"] == "cm"][PRIMARY].mean()
    )


def test_pages_chart_and_differences_are_written(run):
    assert all((run.path / name).stat().st_size > 100 for name in FILES)
    text = (run.path / "learning_curve.md").read_text()
    assert "the GAN sees the same patients" in text and "cm: 100 % real + 100 % pasted" in text
    assert "(e) Synthetic data helps more than as much augmented data. **Not run.**" in text
    assert len(pd.read_csv(run.path / "gains.csv")) == 2


def test_finished_rows_are_not_trained_again(run, monkeypatch):
    trained = []
    monkeypatch.setattr(Bench, "finish", lambda *arguments: trained.append(arguments))
    curve.train(run)
    assert trained == []
    (run.path / NAMES[1] / "rows" / "row_cm_seed_0.json").unlink()
    curve.train(run)
    assert [(row.no, repeat) for _, row, repeat in trained] == [("cm", 0)]


def test_a_users_folder_gives_a_curve_and_a_stop_changes_no_number(tmp_path):
    """All systems see only the patients of their row, and hold out the same ones."""
    data = write_users_tree(tmp_path / "data")
    words = ["--preset", "tiny", "--data", data, "--cache", tmp_path / "cache", "--generators", 1]
    scheme = f"--generator.slicing.label_scheme={SCHEME}"
    words = [str(word) for word in (*words, scheme, "--rows", "1,3,cm")]
    out = tmp_path / "out"
    assert main(LEARNING_CURVE, [*words, "--out", str(out)]) == 0
    splits = {
        n: read_json(out / "systems" / f"patients_00{n}_seed_0" / "splits.json") for n in (1, 2)
    }
    assert splits[1]["test"] == splits[2]["test"] and "unused" not in splits[2]
    assert len(splits[1]["train"]) == 1 and set(splits[1]["train"]) < set(splits[2]["train"])
    before = {name: (out / name).read_bytes() for name in FILES}
    shutil.rmtree(out / "patients_001_seed_0" / "rows")
    (out / "metrics.json").unlink()
    assert main(LEARNING_CURVE, ["--out", str(out), "--resume", "--rows", "1,3,cm"]) == 0
    assert {name: (out / name).read_bytes() for name in FILES} == before
    evaluated = json.loads((out / "systems" / "patients_002_seed_0" / "metrics.json").read_text())
    assert "segmentation/real/volume/lesionwise_dice_wt" in evaluated
