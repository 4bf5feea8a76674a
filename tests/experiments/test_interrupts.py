"""Signals to scripts in processes of their own, in and outside of training: 130 and what holds."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.experiments.conftest import TINY, finish, history, start, stop
from utils.runs.environment import REPOSITORY

pytestmark = pytest.mark.slow


def interrupted(process: subprocess.Popen, number: signal.Signals, condition) -> str:
    """Stop a script with exit code 130 and without a traceback; return its last line."""
    code, error = stop(process, number, condition)
    assert code == 130 and "Traceback" not in error, error[-2000:]
    return error.strip().splitlines()[-1]


@pytest.fixture
def finished(tiny_run, tmp_path) -> Path:
    shutil.copytree(tiny_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_data_is_prepared(tmp_path, number):
    out, cache = tmp_path / "run", tmp_path / "cache"
    words = (*TINY, "--phantom_subjects=9", "--out", str(out), "--cache", str(cache))
    last = interrupted(start(*words), number, lambda: list(cache.glob(".*/*/*/*")))
    assert last == "interrupted, this start has saved nothing yet; give the same command again"
    assert not out.exists() and list(cache.iterdir()) == []


def test_while_samples_are_drawn(finished):
    shutil.rmtree(finished / "synthetic")
    words = ("--out", str(finished), "--resume", "--allow-config-change", "--dataset.samples=2000")
    samples = finished / "synthetic" / "samples"
    last = interrupted(start(*words), signal.SIGINT, lambda: any(samples.glob("*.json")))
    assert last.startswith("interrupted, what is finished is saved; continue with: ")
    assert last.endswith(f"--out {finished} --resume")
    assert len(list(samples.glob("*.json"))) <= len(list(samples.glob("*.npz"))) < 2000


def test_while_a_table_is_made(finished, tmp_path):
    out, program = tmp_path / "table", str(REPOSITORY / "experiments/table4_lesion_validity.py")
    process = start("--run", str(finished), "--out", str(out), program=program)
    last = interrupted(process, signal.SIGTERM, (out / "config.json").exists)
    assert f"what is finished is saved; continue with: {sys.executable} {program}" in last


def test_a_second_signal_leaves_a_call_of_many_steps(tmp_path):
    """Of a million steps in one call, the first signal waits for the last."""
    schedule = "--schedule.segmentation"
    words = (*TINY, "--stages=segmentation", f"{schedule}.steps=40", f"{schedule}.log_every=40")
    out = tmp_path / "run"
    assert finish(start(*words, "--out", str(out)))[0] == 0
    intervals = (f"{schedule}.{name}=1000000" for name in ("log_every", "steps_per_call"))
    more = (f"{schedule}.steps=1000000", f"{schedule}.picture_every=1000000", *intervals)
    again = ("--out", str(out), "--resume", "--stages=segmentation", "--allow-config-change")
    process = start(*again, *more)
    events = out / "tensorboard" / "segmentation"
    while len(list(events.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(30)  # until it is compiled
    process.send_signal(signal.SIGINT)
    time.sleep(2)
    assert process.poll() is None
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    code, error = finish(process)
    assert code == 130 and time.monotonic() - started < 5
    assert "stopped without saving; --resume continues from the last checkpoint" in error
    assert [row["step"] for row in history(out, "segmentation")] == [40]
    assert [path.stem for path in (out / "checkpoints/segmentation").glob("*.index")] == ["ckpt-40"]
    assert (out / "lock.json").exists()
    assert finish(start(*again, f"{schedule}.steps=40"))[0] == 0
    assert not (out / "lock.json").exists()
