"""The audit finds a planted copy, is silent on other patients' slices, and names nobody."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from data.pipeline import evaluation_batches
from data.synthetic_sets.files import array_path, read_sample
from experiments import audit_privacy
from experiments.audit.privacy import Slices, audit_findings, audit_metrics, audit_slices
from experiments.audit_privacy import FILES
from experiments.configs.privacy import AuditConfig
from experiments.engine.cli import default_cache, main, parse
from experiments.engine.source_run import open_finished
from utils.metrics.similarity import slice_details
from utils.runs.files import read_json
from utils.runs.run_directory import RunDirectory

CONFIG = AuditConfig(resamples=200)
PER_PATIENT = 10


def run(*words: object) -> int:
    argv = [str(word) for word in words]
    return main(lambda: parse(argv, audit_privacy.SCRIPT), audit_privacy.execute)


def brains(patients: int, slices: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth random brains [N,48,40,4] in [0,1] and rows (patient, slice).

    A third of each is common to all, as anatomy is, and a third to all slices of a patient.
    """
    rows, columns = np.mgrid[-1:1:48j, -1:1:40j]
    inside = (rows / 0.75) ** 2 + (columns / 0.75) ** 2 < 1

    def fields(count: int, number: int) -> np.ndarray:
        drawn = np.random.default_rng(number).normal(size=(count, 48, 40, 4))
        smooth = gaussian_filter(drawn, (0, 1.5, 1.5, 0))
        return smooth / smooth.std()

    total = patients * slices
    shared = np.repeat(fields(patients, seed + 1), slices, axis=0)
    images = 0.5 + 0.08 * (fields(1, 0) + shared + fields(total, seed + 2))
    source = np.stack(np.divmod(np.arange(total), slices), axis=1)
    return (np.clip(images, 0, 1) * inside[..., None]).astype(np.float32), source


@pytest.fixture(scope="module")
def real() -> tuple[np.ndarray, Slices, Slices]:
    """Images of 20 training patients, what is compared of them, and of 8 held-out patients."""
    images, source = brains(20, PER_PATIENT, seed=10)
    others, other_source = brains(8, PER_PATIENT, seed=20)
    held_out = Slices(slice_details(others), other_source + [20, 0])
    return images, Slices(slice_details(images), source), held_out


def test_a_planted_copy_among_500_is_the_only_alarm(real):
    images, training, held_out = real
    fake, _ = brains(500, 1, seed=30)
    fake[123] = np.roll(images[77], (2, -2), axis=(0, 1))
    audit = audit_slices(slice_details(fake), training, held_out, CONFIG)
    assert np.flatnonzero(audit.quarantined).tolist() == [123] and audit.worst[0] == 123
    found = audit.neighbours["synthetic_to_training"]
    assert found.index[123] == 77 and found.similarity[123] > 0.98
    metrics = audit_metrics(audit)
    assert metrics["privacy/quarantined"] == 1 and metrics["privacy/samples"] == 500
    text = " ".join(audit_findings(metrics))
    assert text.startswith("ALARM: 1 of 500 samples") and text.count("ALARM") == 1


@pytest.mark.parametrize("half", [slice(None, 40), slice(40, None)])
def test_held_out_slices_in_the_synthetic_place_raise_no_alarm(real, half):
    """Neither all of them, nor one half of the patients while the others are the control."""
    _, training, held_out = real
    whole = audit_slices(held_out.details, training, held_out, CONFIG)
    rest = np.delete(np.arange(80), np.arange(80)[half])
    others = Slices(held_out.details[rest], held_out.source[rest])
    apart = audit_slices(held_out.details[half], training, others, CONFIG)
    for audit in (whole, apart):
        assert not audit.quarantined.any()
        assert "ALARM" not in audit_findings(audit_metrics(audit))[0]
    corrected = apart.membership.corrected
    assert corrected.low < 0.5 < corrected.high
    assert "ALARM" not in " ".join(audit_findings(audit_metrics(apart)))


def test_copies_of_every_training_patient_tell_who_was_in_training(real):
    images, training, held_out = real
    fake = gaussian_filter(images[::2], (0, 0.5, 0.5, 0))
    audit = audit_slices(slice_details(fake), training, held_out, CONFIG)
    assert audit.quarantined.mean() > 0.9 and audit.membership.corrected.low > 0.5
    assert "ALARM: the set tells" in audit_findings(audit_metrics(audit))[-1]


@pytest.fixture(scope="module")
def finished(tiny_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("privacy") / "out"
    limit = ("--max-similarity", 0.3)
    assert run("--run", tiny_run, "--out", out, *limit, "--resamples", 20) == 0
    return out


def test_the_audit_writes_its_files(finished, tiny_run):
    metrics = RunDirectory(finished, writes=False).read_metrics()
    frame = pd.read_csv(finished / "audit.csv")
    assert frame["sample"].tolist() == list(range(8)) and metrics["privacy/limit"] == 0.3
    above = frame[frame["training_similarity"] > 0.3]
    assert frame["quarantined"].sum() == len(above) == metrics["privacy/quarantined"]
    assert set(frame["training_patient"]) == {0} and frame["training_slice"].between(55, 104).all()
    assert frame["training_similarity"].max() == pytest.approx(
        metrics["privacy/synthetic_to_training/max"]
    )
    listed = pd.read_csv(finished / "quarantine.csv")
    assert listed["sample"].tolist() == above["sample"].tolist()
    samples = pd.read_csv(tiny_run / "synthetic" / "samples.csv")
    assert list(listed) == [*samples, "training_similarity"]
    text = (finished / "audit.md").read_text()
    assert "--max-similarity 0.3 --resamples=20`" in text and "do not publish" in text
    assert "a control needs at least 2 training patients" in text
    assert cv2.imread(str(finished / "audit.png")).shape == (540, 1200, 3)
    sheet = cv2.imread(str(finished / "worst_pairs.png"))
    assert sheet.shape[0] > 8 * 64 and sheet.shape[1] > 8 * 48


def put(run_path, images: dict[int, np.ndarray]) -> None:
    """Replace the images of some samples."""
    for number, image in images.items():
        path = array_path(run_path / "synthetic", number)
        np.savez(path, **{**read_sample(path), "images": image})


@pytest.mark.parametrize("part, alarms", [("train", [5]), ("test", [])])
def test_the_script_finds_a_shifted_training_slice_and_no_held_out_ones(
    tiny_run, tmp_path, part, alarms
):
    """A copy among samples of the networks; a set that is made of held-out slices."""
    shutil.copytree(tiny_run, tmp_path / "run")
    strategy = tf.distribute.get_strategy()
    context = open_finished(tiny_run, None, default_cache(), strategy)
    (batch,) = evaluation_batches(context.prepared, getattr(context.split, part), 64)
    slices = batch["images"].numpy()
    shifted = {5: np.roll(slices[10], (2, -2), axis=(0, 1))}
    put(tmp_path / "run", shifted if part == "train" else dict(enumerate(slices[:16:2])))
    assert run("--run", tmp_path / "run", "--out", tmp_path / "out", "--resamples", 20) == 0
    listed = pd.read_csv(tmp_path / "out" / "quarantine.csv")
    assert listed["sample"].tolist() == alarms
    assert ("ALARM" in (tmp_path / "out" / "audit.md").read_text()) == bool(alarms)


def audit_files(out) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name in FILES}


def test_a_finished_audit_is_replaced_as_a_whole_and_only_when_told(
    finished, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    before, words = audit_files(out), ("--out", out, "--resume", "--max-similarity", 0.99)
    assert set(before) == set(FILES) and run(*words) == 2
    assert f"--out {out} holds a finished audit; add --overwrite" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(audit_privacy, "write_png", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(*words, "--overwrite")
    assert audit_files(out) == before and read_json(out / "metrics.json")["privacy/limit"] == 0.3
    assert run(*words, "--overwrite") == 0
    after = audit_files(out)
    assert all(after[name] != before[name] for name in ("audit.md", "audit.png"))
    assert read_json(out / "metrics.json")["privacy/limit"] == 0.99
    assert b"overwrite" not in after["audit.md"] and not list(out.glob(".*"))


def test_a_printed_resume_says_overwrite_again(tmp_path):
    words = [str(word) for word in ("--out", tmp_path / "out", "--overwrite")]
    launch = parse(words, audit_privacy.SCRIPT)
    assert launch.command.endswith("--resume --overwrite")
    assert launch.options == {"max_similarity": None, "overwrite": True}


def test_the_report_has_the_audit(tiny_run):
    page = (tiny_run / "report.html").read_text()
    assert "Privacy audit</h2>" in page and "Most similar pairs</h3>" in page
    metrics = RunDirectory(tiny_run, writes=False).read_metrics()
    assert f"limit {metrics['privacy/limit']:.3f}" in page


@pytest.mark.parametrize("limit", [0, 1, -0.5])
def test_a_limit_that_means_nothing_is_refused(limit, tmp_path, capsys):
    assert run(f"--max-similarity={limit}", "--out", tmp_path / "out") == 2
    assert "give a number above 0 and below 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
