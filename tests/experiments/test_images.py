"""Tiny runs of the main system on single images: what they leave, tables on them, exports."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data.slice_sets import stored_slices
from data.structure_maps.cutting import cut_maps
from experiments import export_images, generate
from experiments.engine.cli import main
from experiments.systems.structure_gan.images.evaluation import LINES
from experiments.systems.structure_gan.images.stages import (
    TRAIN_CHEST_XRAY,
    TRAIN_LUNG_CT,
    TRAIN_RETINA,
    TRAIN_TIANCHI_CT,
)
from experiments.tables.downstream.boxes import TABLE8_DETECTION
from experiments.tables.downstream.vessels import TABLE6_VESSELS
from experiments.tables.downstream.xray import TABLE7_XRAY
from experiments.tables.privacy import AUDIT_PRIVACY
from experiments.tables.quality.table import TABLE2_QUALITY, TABLE3_QUALITY
from tests.experiments.conftest import content
from utils.runs.exits import exit_code
from utils.runs.files import read_json

RUNS = {
    "chest_xray": (TRAIN_CHEST_XRAY, TABLE2_QUALITY, TABLE7_XRAY, "accuracy"),
    "lung_ct": (TRAIN_LUNG_CT, TABLE2_QUALITY, None, ""),
    "retina": (TRAIN_RETINA, TABLE3_QUALITY, TABLE6_VESSELS, "auc"),
    "tianchi_ct": (TRAIN_TIANCHI_CT, TABLE3_QUALITY, TABLE8_DETECTION, "iou"),
}
# Of the classic GANs the one that looks at labels.
FEW = ("--steps", "2", "--models", "skrgan_star,gan_sharp,acgan")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def train(experiment, cache, *words) -> int:
    places = ("--preset", "tiny", "--cache", cache)
    return main(experiment, [str(word) for word in (*places, *words)])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "chest_xray")) for name in RUNS]
)
def test_a_run_its_tables_and_its_export(name, cache, tmp_path, monkeypatch, capsys):
    experiment, quality, table, metric = RUNS[name]
    run = tmp_path / "run"
    assert train(experiment, cache, "--out", run) == 0
    check_run(run, name)
    assert train(experiment, cache, "--out", run, "--resume") == 0  # nothing is left to do
    places = ("--run", str(run), "--cache", str(cache), "--out", str(tmp_path / "audit"))
    assert main(AUDIT_PRIVACY, ["--preset", "tiny", *places]) == 0
    assert "## What was found" in (tmp_path / "audit" / "audit.md").read_text()
    if name != "chest_xray":  # which runs every day
        check_shards(run, cache, tmp_path / "set", monkeypatch)
        places = ("--run", str(run), "--out", str(tmp_path / "quality"), "--cache", str(cache))
        assert main(quality, ["--preset", "tiny", *places, *FEW]) == 0
        check_quality(tmp_path / "quality", quality.table.key, name)
    one = tmp_path / "one.csv"
    pd.read_csv(run / "synthetic" / "samples.csv").head(1).to_csv(one, index=False)
    words = ["x", "--run", str(run), "--out", str(tmp_path / "images"), "--exclude", str(one)]
    monkeypatch.setattr(sys, "argv", words)
    assert exit_code(export_images.main, export_images._after_interrupt) == 0
    assert len(list((tmp_path / "images" / "images").iterdir())) == 8
    labels = {"chest_xray": "labels.csv", "tianchi_ct": "annotations.json", "retina": "vessels"}
    assert name not in labels or (tmp_path / "images" / labels[name]).exists()
    assert exit_code(export_images.main, export_images._after_interrupt) == 2
    if table:
        places = ("--run", str(run), "--out", str(tmp_path / "table"), "--cache", str(cache))
        assert main(table, ["--preset", "tiny", *places]) == 0
        metrics = read_json(tmp_path / "table" / "metrics.json")
        for row in ("real", "real_synthetic"):
            assert 0 <= metrics[f"{table.table.key}/{row}/{metric}"] <= 1
        page = (tmp_path / "table" / f"{table.table.key}.md").read_text()
        assert "The thesis claims" in page and "not medical data" in page


def check_shards(run, cache, out, monkeypatch) -> None:
    for shard in ("0/2", "1/2"):
        words = ["x", "--run", run, "--out", out, "--cache", cache, "--shard", shard]
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        assert exit_code(generate.main, generate._after_interrupt) == 0
    assert content(out) == content(run / "synthetic")


def check_quality(out, key, name) -> None:
    metrics, page = read_json(out / "metrics.json"), (out / f"{key}.md").read_text()
    for row in ("real", "ours", "skrgan_star", "gan_sharp", "acgan"):
        assert np.isfinite(metrics[f"{key}/{name}/{row}/kernel_texture"])
    assert ("| red |" in page) == (name == "retina") and "umour" not in page
    assert "2 updates with batches" in page and (out / f"{key}.png").exists()


def check_run(run, name) -> None:
    metrics, slices = read_json(run / "metrics.json"), stored_slices(run / "synthetic")
    page = (run / "report.html").read_text("utf-8")
    assert "not medical data" in page and "Samples" in page
    for kind in ("real", "synthetic"):
        for figure in ("maps/{}/lines", "outside/{}/share", "sharpness/{}/gradient"):
            assert np.isfinite(metrics[figure.format(kind)])
    sheet, table = (run / "synthetic" / f for f in ("datasheet.md", "samples.csv"))
    scores = pd.read_csv(table)["score"]
    text = sheet.read_text()
    assert "computed from shapes" in text
    if name == "chest_xray":
        assert [int(np.unique(label).item()) for label in slices.label] == [0, 1, 2] * 3
        assert scores.between(0, 1).all() and "0 normal, 1 bacterial, 2 viral" in text
        assert 0 <= metrics["classification/synthetic/accuracy"] <= 1
    elif name == "tianchi_ct":
        assert slices.structure.shape[-1] == 3 and (slices.boxes[..., 0] > 0).any(axis=1).all()
        assert 0 <= metrics["detection/synthetic/recall"] <= 1
    else:
        assert slices.label is None and scores.isna().all() and "No labels." in text


def test_sizes_are_checked_before_data_is_read(tmp_path, capsys):
    words = ["--preset", "tiny", "--cache", str(tmp_path), "--out", str(tmp_path / "run")]
    assert main(TRAIN_LUNG_CT, [*words, "--slicing.size", "36"]) == 2
    assert "must be divisible by 8" in capsys.readouterr().err
    assert main(TRAIN_RETINA, [*words, "--maps.modality", "T1"]) == 2
    assert "--maps.modality is 'T1'; give one of random, red" in capsys.readouterr().err
    assert main(TRAIN_TIANCHI_CT, [*words, "--augmentation.rotation", "9"]) == 2
    assert "the labels of tianchi_ct are boxes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "experiment, words, message",
    [
        (TRAIN_TIANCHI_CT, ["--detection.fine_levels", "0"], "without fine_levels the last"),
        (TRAIN_CHEST_XRAY, ["--slicing.size", "16"], "VGG halves them 5 times"),
        (TRAIN_RETINA, ["--synthesis.fusion", "weighted"], "--synthesis.fusion is weighted"),
        (TRAIN_LUNG_CT, ["--slicing.size", "36"], "must be divisible by 8"),
    ],
)
def test_what_the_networks_cannot_take_is_told_at_once(
    experiment, words, message, tmp_path, capsys
):
    assert main(experiment, ["--preset", "tiny", "--out", str(tmp_path / "run"), *words]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", RUNS)
def test_the_phantoms_images_differ_and_their_maps_have_lines_enough(name, tmp_path):
    """At the demo's size and thresholds; of maps with other lines G learns little."""
    experiment = RUNS[name][0]
    config, dataset = experiment.presets["demo"], experiment.data
    folder = dataset.phantoms[config.phantom].make(tmp_path, 6, 0)
    cases = dataset.find(folder, config.slicing)
    images = np.concatenate([dataset.prepare(case, config.slicing).images for case in cases[:6]])
    flat = images.reshape(len(images), -1)
    assert len(np.unique(flat, axis=0)) == len(flat) >= 6
    maps = replace(config.maps, remove_tumour=False)
    seed = tf.constant([0, 0])
    cut = [cut_maps({"images": tf.constant(each), "seed": seed}, maps, dataset) for each in images]
    low, high = LINES
    assert low < np.mean([structure for structure, _ in cut]) < high
