"""One tiny run's audit: its files, what it says, when it is replaced; and it names nobody."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data.pipeline import evaluation_batches
from data.synthetic_sets.files import array_path, read_sample
from experiments.engine.cli import default_cache, main, parse
from experiments.engine.run import Run
from experiments.systems.structure_gan.privacy import audit_findings
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.tables import privacy
from experiments.tables.privacy import AUDIT_PRIVACY, FILES
from utils.runs.files import read_json
from utils.runs.run_directory import RunDirectory


def run(*words: object) -> int:
    return main(AUDIT_PRIVACY, [str(word) for word in words])


@pytest.mark.parametrize(
    ("quarantined", "corrected_low", "alarms", "words"),
    [
        (1, 0.4, 1, "ALARM: 1 of 500 samples"),
        (0, 0.5, 0, "0 of 500 samples"),
        (0, 0.51, 1, "0.610 [0.510, 0.700]: ALARM: the set tells who was in the training data."),
        (0, None, 0, "0.600 [0.600, 0.600]; a control needs at least 2 training patients."),
    ],
)
def test_findings_raise_the_alarm_where_there_is_reason(quarantined, corrected_low, alarms, words):
    figures = {"samples": 500, "limit": 0.9, "above_control": 1, "nearer_to_training": 0.5}
    figures |= {"quarantined": quarantined, "nearer_to_training_by_number": 0.7}
    membership = {f"{k}{end}": 0.6 for k in ("auc", "control") for end in ("", "_low", "_high")}
    if corrected_low is not None:
        corrected = {"": 0.61, "_low": corrected_low, "_high": 0.7}
        membership |= {f"corrected{end}": value for end, value in corrected.items()}
    figures |= {f"membership/{key}": value for key, value in membership.items()}
    text = " ".join(audit_findings({f"privacy/{key}": value for key, value in figures.items()}))
    assert words in text and text.count("ALARM") == alarms


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
    source = Run.open_finished(TRAIN_BRATS, tiny_run, strategy, default_cache())
    (batch,) = evaluation_batches(source.prepared, getattr(source.split, part), 64)
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
        patch.setattr(privacy, "write_png", lambda *_: 1 / 0)
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
    request = parse(words, AUDIT_PRIVACY)
    assert request.command.endswith("--resume --overwrite")
    assert request.options == {"max_similarity": None, "overwrite": True}


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
