"""Tiny runs of the scripts, shared by every test that looks at their results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import tensorflow as tf

from experiments.engine.cli import main
from experiments.systems.samr.stages import TRAIN_SAMR
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from experiments.tables.tc_mgan.translation import TABLE1_TC_MGAN
from utils.runs.environment import REPOSITORY
from utils.runs.run_directory import RunDirectory

SCRIPT = "experiments/train_brats.py"
STAGES = list(TRAIN_BRATS.names)
# One phantom patient to train on and one held out; every run makes use of the same two.
TINY = ("--preset", "tiny", "--phantom_subjects", "2")


@pytest.fixture(autouse=True)
def _same_process_afterwards():
    """Undo what a script does to the process that runs it."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)
    tf.keras.mixed_precision.set_global_policy("float32")


def train(*words: str) -> int:
    """Run the script in this process and return its exit code."""
    return main(TRAIN_BRATS, words)


def content(folder: Path) -> dict[str, bytes]:
    """Returns every file below a folder, hidden leftovers too, by its name there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def state_of(run: Path, training: str = "gan") -> dict[str, np.ndarray]:
    """Weights, moving statistics, step and optimisers' slots of a training's last checkpoint."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints" / training))
    names = [name for name in reader.get_variable_to_shape_map() if "VARIABLE_VALUE" in name]
    return {name: reader.get_tensor(name) for name in names if "save_counter" not in name}


def start(*words: str, program: str = str(REPOSITORY / SCRIPT), **environment: str):
    """Start the script, or another program with its options, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, program, *words],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen, timeout: float = 500) -> tuple[int, str]:
    """Wait some seconds for a process and return its exit code and what went to stderr."""
    try:
        _, error = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, error


def stop(process: subprocess.Popen, number: signal.Signals, condition: Callable[[], object]):
    """Send a signal as soon as `condition()` holds; return like `finish`."""
    end = time.monotonic() + 300
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"exit code {process.poll()}: {finish(process)[1][-2000:]}")
        time.sleep(0.02)
    process.send_signal(number)
    return finish(process)


def history(out: Path, stage: str) -> list[dict]:
    """Return the rows of a stage in metrics.jsonl."""
    rows = RunDirectory(out, writes=False).read_history()
    return [row for row in rows if row["stage"] == stage]


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """The run directory of a finished run with all stages."""
    out = tmp_path_factory.mktemp("tiny") / "run"
    assert train(*TINY, "--out", str(out)) == 0
    return out


@pytest.fixture(scope="session")
def tiny_variants(tmp_path_factory) -> Path:
    """A finished Table 1 of TC-MGAN; its folder "variants" holds the run of each variant."""
    out = tmp_path_factory.mktemp("tc_mgan") / "table1"
    words = ("--preset", "tiny", "--out", str(out))
    assert main(TABLE1_TC_MGAN, words) == 0
    return out


@pytest.fixture(scope="session")
def samr_run(tmp_path_factory) -> Path:
    """The run directory of a finished run of SAMR."""
    out = tmp_path_factory.mktemp("samr") / "run"
    assert main(TRAIN_SAMR, ("--preset", "tiny", "--out", str(out))) == 0
    return out
