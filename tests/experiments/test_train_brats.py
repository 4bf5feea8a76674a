from __future__ import annotations

import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from data.brats.names import MODALITIES
from data.synthetic_sets.files import read_synthetic_set
from experiments.configs.brats import PRESETS, BratsConfig
from tests.experiments.conftest import STAGES, history, train
from tests.utils.toy import read_events
from utils.config import from_dict
from utils.runs.files import read_json

TRAINED = ("structure", "segmentation", "registration", "pretraining", "synthesis")


def files(folder: Path) -> dict[str, int]:
    """{path: time of the last change} of everything but what every start writes again."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("environment.json", "metrics.json")
    }


def test_the_run_directory_is_complete(tiny_run):
    names = {path.name for path in tiny_run.iterdir()}
    assert names == {
        *("config.json", "environment.json", "splits.json", "metrics.json", "metrics.jsonl"),
        *("tensorboard", "checkpoints", "samples", "synthetic", "report.html"),
    }
    for folder in ("checkpoints", "tensorboard"):
        assert {path.name for path in (tiny_run / folder).iterdir()} == set(TRAINED)
    pictures = {path.name.split("_")[0] for path in (tiny_run / "samples").glob("*.png")}
    assert pictures == set(TRAINED)
    config = read_json(tiny_run / "config.json")["config"]
    for stage in TRAINED:
        steps = getattr(PRESETS["tiny"].schedule, stage).steps
        assert (tiny_run / "checkpoints" / stage / f"ckpt-{steps}.index").exists()
        assert history(tiny_run, stage)[-1]["step"] == steps
        assert read_json(tiny_run / "checkpoints" / stage / "config.json") == config
    assert from_dict(BratsConfig, config).phantom_subjects == 2
    split = json.loads((tiny_run / "splits.json").read_text())
    assert sorted(split["train"] + split["test"]) == ["phantom_pat0001_1", "phantom_pat0002_1"]


def test_every_promised_figure_is_there(tiny_run):
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    keys = {
        "segmentation": "dice_wt",
        "registration": "overlap",
        "outside": "share",
        "diversity": "ssim",
    }
    for group, kind in itertools.product(keys, ("real", "synthetic")):
        key = keys[group]
        mean = f"{group}/{kind}/{key}"
        assert 0 <= metrics[mean] <= 1, mean
        values = [metrics[f"{group}/{kind}/{modality}/{key}"] for modality in MODALITIES]
        assert math.isclose(metrics[mean], np.mean(values), rel_tol=1e-6)
    assert 0 <= metrics["segmentation/real/volume/lesionwise_dice_wt"] <= 1
    assert metrics["segmentation/real/volume/patients"] == 1
    assert not any(key.startswith("segmentation/synthetic/volume") for key in metrics)


def test_the_report_is_one_file_with_pictures(tiny_run):
    page = (tiny_run / "report.html").read_text("utf-8")
    sources = re.findall(r"""src=["']([^"']{0,30})""", page)
    assert len(sources) >= 3 + 2 * len(TRAINED)  # samples and masks; curves and a picture a stage
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(link.startswith("#") for link in re.findall(r"""href=["']([^"']*)""", page))
    assert not re.search(r"https?://|<script|<link|<iframe|url\(|@import", page)
    for words in ("whole-tumour Dice", "not medical data", "phantom_subjects: 2", "synthesis"):
        assert words in page
    assert "lesion-wise Dice" in page and "over 1 held-out patients" in page


@pytest.mark.parametrize("stage", TRAINED)
def test_tensorboard_shows_every_term_and_a_picture(tiny_run, stage):
    events = read_events(tiny_run / "tensorboard" / stage)
    last = history(tiny_run, stage)[-1]
    terms = set(last) - {"stage", "step", "seconds_per_step"}
    assert {"loss/G", "gradient_norm/G"} < terms
    for term in terms:
        np.testing.assert_allclose(events[f"{stage}/{term}"][last["step"]], last[term], rtol=1e-5)
    pictures = [tag for tag, values in events.items() if values[max(values)].ndim == 3]
    assert pictures and all(set(events[tag]) >= {0, last["step"]} for tag in pictures)


def test_the_synthetic_set_reads_back(tiny_run):
    samples = list(read_synthetic_set(tiny_run / "synthetic"))
    manifest = json.loads((tiny_run / "synthetic" / "manifest.json").read_text())
    assert len(samples) == manifest["samples"] == PRESETS["tiny"].dataset.samples
    assert "phantom" in manifest["training data"]
    for sample in samples:
        assert sample["images"].shape == (*sample["label"].shape, len(MODALITIES))
        assert 0 <= sample["images"].min() < sample["images"].max() <= 1
        assert sample["label"].any() and sample["label"].max() <= 4
        assert not sample["outside"][sample["label"] > 0].any()
        assert set(np.unique(sample["structure"])) <= {0, 1}


def test_a_finished_run_repeats_nothing(tiny_run):
    before, metrics = files(tiny_run), (tiny_run / "metrics.json").read_text()
    stages = ",".join(STAGES[: STAGES.index("dataset") + 1])
    assert train("--out", str(tiny_run), "--resume", "--stages", stages) == 0
    assert files(tiny_run) == before and (tiny_run / "metrics.json").read_text() == metrics
