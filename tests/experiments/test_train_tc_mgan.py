"""The tiny runs of TC-MGAN's variants: what they leave, how they resume, what they refuse."""

from __future__ import annotations

import json
import re
import shutil
import signal
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from data.pipeline import evaluation_batches
from experiments.configs.tc_mgan import PRESETS, TranslationConfig
from experiments.engine import experiment as engine
from experiments.engine.cli import default_cache, main, parse
from experiments.engine.performing import perform
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.systems.tc_mgan import evaluation
from experiments.systems.tc_mgan.stages import TRAIN_TC_MGAN
from models.tc_mgan.modalities import SOURCE_CHANNEL, TARGET_CHANNELS, TARGETS
from tests.experiments.conftest import history, state_of
from tests.experiments.test_train_brats import files
from tests.utils.toy import read_events
from utils.config import from_dict
from utils.errors import UserError
from utils.metrics.images import psnr
from utils.runs.files import read_json, write_json
from utils.runs.run_directory import RunDirectory

TRAINED = {
    "pix2pix": ("gan",),
    "mgan": ("gan",),
    "tc_mgan": ("segmenter", "gan"),
    "tc_mgan_bw": ("segmenter", "gan"),
}
LOSSES = {
    "pix2pix": {f"loss/{net}_{name}" for net in "GD" for name in TARGETS},
    "mgan": {"loss/G", "loss/D"},
    "tc_mgan": {"loss/G", "loss/D"},
    "tc_mgan_bw": {"loss/G", "loss/D", "loss/S"},
}
STEPS = 10


def train(*words: object) -> int:
    return main(TRAIN_TC_MGAN, [str(word) for word in words])


def run_of(path, out=None) -> Run:
    """The run of a folder on the phantom, or one like it in the folder `out`."""
    config = from_dict(TranslationConfig, read_json(path / "config.json")["config"])
    request = Request(out or path, config, cache=default_cache())
    return Run(TRAIN_TC_MGAN, request, tf.distribute.get_strategy(), bool(out)).open_data()


@pytest.mark.parametrize("variant", TRAINED)
def test_the_run_directory_is_complete(tiny_variants, variant):
    run = tiny_variants / "variants" / variant
    assert {path.name for path in run.iterdir()} == {
        *("config.json", "environment.json", "splits.json", "metrics.json", "metrics.jsonl"),
        *("tensorboard", "checkpoints", "samples", "report.html"),
    }
    for folder in ("checkpoints", "tensorboard"):
        assert {path.name for path in (run / folder).iterdir()} == set(TRAINED[variant])
    pictures = {"segmenter": "segmenter_lesions", "gan": "gan_translations"}
    assert {path.name for path in (run / "samples").iterdir()} == {
        f"{pictures[stage]}_{step:07d}.png" for stage in TRAINED[variant] for step in (0, STEPS)
    }
    config = from_dict(TranslationConfig, read_json(run / "config.json")["config"])
    tiny = PRESETS["tiny"]
    assert config == replace(tiny, gan=replace(tiny.gan, variant=variant))
    split = read_json(run / "splits.json")
    assert set(split) == {"gan", "train", "test"}
    assert sorted(sum(split.values(), [])) == [f"phantom_pat000{i}_1" for i in (1, 2, 3)]


@pytest.mark.parametrize("variant", TRAINED)
def test_every_network_of_a_variant_is_logged(tiny_variants, variant):
    run = tiny_variants / "variants" / variant
    for stage in TRAINED[variant]:
        (last,) = history(run, stage)
        assert last["step"] == STEPS
        losses = {name for name in last if name.startswith("loss/")}
        assert losses == (LOSSES[variant] if stage == "gan" else {"loss/S"})
        events = read_events(run / "tensorboard" / stage)
        for term in set(last) - {"stage", "step", "seconds_per_step"}:
            np.testing.assert_allclose(events[f"{stage}/{term}"][STEPS], last[term], rtol=1e-5)


@pytest.mark.parametrize("variant", TRAINED)
def test_every_promised_figure_is_there(tiny_variants, variant):
    metrics = read_json(tiny_variants / "variants" / variant / "metrics.json")
    assert metrics["translation/slices"] == 10  # the preset's slices of one patient
    for figure, low, high in (("psnr", 0, 100), ("ssim", -1, 1), ("ssim_range2", -1, 1)):
        values = [metrics[f"translation/{name}/{figure}"] for name in TARGETS]
        assert all(low < value < high for value in values), figure
        assert all(metrics[f"translation/{name}/{figure}_std"] >= 0 for name in TARGETS)
        assert metrics[f"translation/{figure}"] == pytest.approx(np.mean(values))
    # The phantom's enhancing tumour is bright in T1c.
    assert metrics["contrast/real/T1c/enhancing"] > 1
    assert metrics["contrast/translated/T1c/enhancing"] > 0


@pytest.mark.parametrize("variant", ["mgan", "tc_mgan_bw"])
def test_the_report_is_one_file_with_pictures(tiny_variants, variant):
    page = (tiny_variants / "variants" / variant / "report.html").read_text("utf-8")
    sources = re.findall(r"""src=["']([^"']{0,30})""", page)
    assert len(sources) == 1 + 2 * len(TRAINED[variant])  # slices; a curve and a picture a stage
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(link.startswith("#") for link in re.findall(r"""href=["']([^"']*)""", page))
    assert not re.search(r"https?://|<script|<link|<iframe|url\(|@import", page)
    for words in (f"Variant {variant}", "not medical data", "PSNR", *TARGETS):
        assert words in page


def test_a_finished_run_repeats_nothing(tiny_variants):
    run = tiny_variants / "variants" / "tc_mgan_bw"
    before, metrics = files(run), (run / "metrics.json").read_text()
    assert train("--out", run, "--resume", "--stages", "segmenter,gan,evaluate") == 0
    assert files(run) == before and (run / "metrics.json").read_text() == metrics


@pytest.mark.slow
def test_an_interrupted_gan_ends_like_an_uninterrupted_one(tiny_variants, tmp_path, monkeypatch):
    whole, run = tiny_variants / "variants" / "tc_mgan_bw", tmp_path / "run"
    shutil.copytree(whole, run, ignore=shutil.ignore_patterns("gan", "report.html"))
    (run / "metrics.json").unlink()
    start = read_json(run / "config.json")
    start["config"]["schedule"]["gan"].update(steps_per_call=2, log_every=4)
    write_json(run / "config.json", start)
    append = RunDirectory.append_history

    def stop(self, row):
        append(self, row)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "append_history", stop)
        assert train("--out", run, "--resume") == 130
    assert [path.name for path in (run / "checkpoints" / "gan").glob("*.index")] == ["ckpt-4.index"]
    assert train("--out", run, "--resume", "--stages", "gan") == 0
    assert [row["step"] for row in history(run, "gan")] == [4, 8, STEPS]
    expected, found = state_of(whole), state_of(run)
    assert set(expected) == set(found)
    counters = [name for name in found if "/iter/" in name]
    assert len(counters) == 3 and all(found[name] == STEPS for name in counters)
    assert sum("OPTIMIZER_SLOT" in name and found[name].any() for name in found) > 100
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_generator_and_segmenter_never_see_the_other_parts(tiny_variants, monkeypatch):
    run, calls = run_of(tiny_variants / "variants" / "tc_mgan"), []
    split, numbers = run.split, run.prepared.subject_ids.index
    assert set(split.gan).isdisjoint({*split.train, *split.test})
    trainer = SimpleNamespace(fit=lambda batches: None)
    monkeypatch.setattr(engine, "fit", lambda *args: calls.append(args[1]) or (trainer, None))
    for training in TRAIN_TC_MGAN.trainings:
        training.perform(run)
    assert [training.name for training in calls] == ["segmenter", "gan"]
    for training in calls:
        batches = islice(training.batches(run, training)(batch_size=7), 4)  # several passes
        sources = np.concatenate([batch["source"].numpy() for batch in batches])
        assert set(sources[:, 0]) == set(map(numbers, split.gan))


class DataWanted(Exception):
    """Raised instead of looking for data."""


@pytest.mark.parametrize("variant", TRAINED)
def test_the_gan_alone_needs_a_segmenter_where_the_variant_has_one(tmp_path, monkeypatch, variant):
    def wanted(*_):
        raise DataWanted

    monkeypatch.setattr(Run, "open_data", wanted)
    words = ("--preset=tiny", "--stages=gan", f"--gan.variant={variant}", f"--out={tmp_path}")
    request, strategy = parse(words, TRAIN_TC_MGAN), tf.distribute.get_strategy()
    outcome = {
        1: pytest.raises(DataWanted),
        2: pytest.raises(UserError, match="has gan, which needs segmenter, neither chosen"),
    }
    with outcome[len(TRAINED[variant])]:
        perform(Run(TRAIN_TC_MGAN, request, strategy))


@pytest.mark.parametrize("variant", TRAINED)
def test_a_finished_run_knows_it(tiny_variants, tmp_path, variant):
    path = tiny_variants / "variants" / variant
    assert run_of(path).unfinished() == []
    left_out = [] if "segmenter" in TRAINED[variant] else ["segmenter"]
    empty = run_of(path, tmp_path)
    assert [stage for stage in TRAIN_TC_MGAN.names if empty.finished(stage)] == left_out


@pytest.mark.slow
def test_the_plan_tells_the_papers_networks_and_writes_nothing(tmp_path, capsys):
    out = ("--out", tmp_path / "run", "--cache", tmp_path / "cache")
    assert train("--preset", "thesis", "--dry-run", *out) == 0
    text = capsys.readouterr().out
    table = re.findall(r"^(\w+) +([\d,]+)   (\w+) (\w)$", text, re.MULTILINE)
    # The released networks' sizes, counted by hand from their layers.
    assert table == [
        ("S", "6,129,025", "Segmenter", "S"),
        ("G", "41,822,593", "TCMGAN", "G"),
        ("D", "11,203,520", "TCMGAN", "D"),
    ]
    assert "stages: segmenter -> gan -> evaluate -> report\n" in text
    assert "  segmenter     30 epochs of batch 64  " in text
    assert "  gan           100 epochs of batch 64  " in text
    assert train("--preset", "tiny", "--dry-run", "--gan.variant", "pix2pix", *out) == 0
    text = capsys.readouterr().out
    assert "(left out: pix2pix has none)" in text and "D_T1c " in text and "Segmenter" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("--gan.image_size=[64,64]", "is (64, 64) but --slicing gives slices of 32x32 pixels"),
        ("--slicing.resize=64", "is (32, 32) but --slicing gives slices of 64x64 pixels"),
        (
            "--gan.image_size=[40,40]",
            "--gan.image_size has 40x40 pixels; height and width must be divisible",
        ),
        ("--phantom_subjects=2", "--phantom_subjects is 2; give 3 or more"),
        ("--gan.variant=cycle", "--gan.variant is 'cycle'; give one of pix2pix, mgan, tc_mgan"),
    ],
)
def test_mistakes_are_told_in_one_sentence(tmp_path, capsys, word, sentence):
    assert train("--preset=tiny", "--out", tmp_path / "run", word) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and error.startswith("error: ")
    assert not (tmp_path / "run").exists()


def test_devices_must_share_every_batch(tmp_path, capsys):
    words = ("--preset=tiny", "--out", tmp_path / "run", "--devices=2")
    for stage in ("segmenter", "gan"):
        assert train(*words, f"--schedule.{stage}.batch_size=3") == 2
        assert f"--schedule.{stage}.batch_size is 3 but 2 devices" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_patients_are_scored_one_by_one(tiny_variants, tmp_path, monkeypatch):
    """The figures are those of all slices at once, of which no more than a patient's are held."""
    source = tiny_variants / "variants" / "mgan"
    shutil.copytree(source / "checkpoints", tmp_path / "checkpoints")
    run = run_of(source, tmp_path)
    run.split = split = replace(run.split, test=(*run.split.test, *run.split.train), train=())
    sizes, measure = [], evaluation.measure
    monkeypatch.setattr(
        evaluation, "measure", lambda *pair: sizes.append(len(pair[0])) or measure(*pair)
    )
    TRAIN_TC_MGAN.stage("evaluate").perform(run)
    assert sizes == [10, 10]
    (batch,) = evaluation_batches(run.prepared, split.test, 20)
    translated = run.trained("gan").synthesize(batch)["images"].numpy()
    images, label = batch["images"].numpy(), batch["label"].numpy()[..., 0]
    real, healthy = images[..., TARGET_CHANNELS], (label == 0) & (images[..., SOURCE_CHANNEL] > 0)
    scores = psnr(translated, real)
    expected = {"translation/slices": 20, "translation/psnr": scores.mean()}
    for i, name in enumerate(TARGETS):
        expected[f"translation/{name}/psnr_std"] = scores[:, i].std()
        for kind, values in {"real": real, "translated": translated}.items():
            ratio = values[label == 4, i].mean() / values[healthy, i].mean()
            expected[f"contrast/{kind}/{name}/enhancing"] = ratio
    found = run.read_metrics()
    assert {key: found[key] for key in expected} == pytest.approx(expected, 1e-5)


def test_pictures_translate_only_what_they_show(tiny_variants):
    run = run_of(tiny_variants / "variants" / "mgan")
    ((slices, _),) = evaluation.translate_subjects(run, run.split.test)
    rows = np.flatnonzero((slices.label == 4).any(axis=(1, 2)))
    examples = evaluation.lesion_slices(run, 2)
    assert examples["images"].shape == (2, 32, 32, 4) and len(rows) > 2
    chosen = slices.choose(rows[[0, -1]])
    np.testing.assert_array_equal(examples["images"], chosen.images)
    source = np.stack([chosen.subjects, chosen.index], axis=1)
    np.testing.assert_array_equal(examples["source"], source)


def test_the_split_is_the_runs_own(tiny_variants, tmp_path):
    run = tiny_variants / "variants" / "mgan"
    split = json.loads((run / "splits.json").read_text())
    turned = {"gan": split["test"], "train": split["gan"], "test": split["train"]}
    write_json(tmp_path / "splits.json", turned)
    shutil.copy(run / "config.json", tmp_path)
    assert run_of(tmp_path).subjects(TRAIN_TC_MGAN.stage("gan")) == tuple(split["test"])
