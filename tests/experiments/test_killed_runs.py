"""Runs that `kill -9` ended and `--resume` continued: the same, bit for bit, as uninterrupted ones.

Every update is followed by a checkpoint. Of a run that is killed before it is saved, the step that
is lost has been logged already.
"""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from tests.experiments.conftest import SCRIPT, TINY, finish, history, start, stop
from utils.runs.environment import REPOSITORY
from utils.training.checkpoints import newest_checkpoint

pytestmark = pytest.mark.slow

KILLS, MM_GAN_KILLS = 50, 10
LONGEST = 1800  # seconds of a whole run, on a busy machine too
STEPS, KILLED = 4, 3
TRAININGS = ("structure", "segmentation", "registration", "pretraining", "synthesis")
TC_MGAN, TC_MGAN_TRAININGS = "experiments/train_tc_mgan.py", ("segmenter", "gan")
MM_GAN, MM_GAN_TRAININGS = (
    "experiments/train_mm_gan.py",
    tuple(f"{kind}_{modality}" for kind in ("gan", "regions") for modality in ("T1", "Flair")),
)
# Ends itself where a certain checkpoint would be written.
KILL = f"""
import os, runpy, signal, sys
script, stage, step = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1))
sys.argv[0] = script
sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / "experiments")!r}]
from utils.training.checkpoints import Checkpoints
save = Checkpoints.save
def save_or_die(self, at):
    if (self.directory.name, at) == (stage, step):
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, at)
Checkpoints.save = save_or_die
runpy.run_path(script, run_name="__main__")
"""


class Run(NamedTuple):
    """A finished run, and how long it took, seconds."""

    path: Path
    seconds: float


def always_saving(schedules: tuple[str, ...]) -> tuple[str, ...]:
    values = {"steps": STEPS, "steps_per_call": 1, "log_every": 1, "checkpoint_minutes": 0}
    return tuple(f"--schedule.{s}.{k}={value}" for s in schedules for k, value in values.items())


BRATS_WORDS = (
    *(*TINY, "--random_maps=4", "--dataset.samples=12", "--dataset.batch_size=2"),
    *always_saving(TRAININGS),
)
TC_MGAN_WORDS = ("--preset=tiny", *always_saving(TC_MGAN_TRAININGS))
# The pool is full before the last step, so that its pairs count.
MM_GAN_WORDS = (
    *("--preset=tiny", "--modalities=T1,Flair", "--gan.pool=2"),
    *always_saving(("gan", "regions")),
)


def uninterrupted(script: str, words: tuple[str, ...], out: Path) -> Run:
    started = time.monotonic()
    complete(start(*words, "--out", str(out), program=str(REPOSITORY / script)))
    return Run(out, time.monotonic() - started)


def complete(process: subprocess.Popen) -> None:
    code, error = finish(process, LONGEST)
    assert code == 0, error[-2000:]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Run:
    """An uninterrupted run of the main script."""
    return uninterrupted(SCRIPT, BRATS_WORDS, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def volumes(tmp_path_factory) -> Run:
    """An uninterrupted run of MM-GAN."""
    return uninterrupted(MM_GAN, MM_GAN_WORDS, tmp_path_factory.mktemp("volumes") / "run")


def killed_once_in_each(
    script: str, words: tuple[str, ...], trainings: tuple[str, ...], folder: Path
) -> Path:
    """Return a run that was killed in each of its trainings and is about to leave the last."""
    out, program = folder / "killed", folder / "program.py"
    program.write_text(KILL)
    script = str(REPOSITORY / script)
    for training in trainings:
        resumed = ("--resume",) if out.exists() else words
        arguments = (script, training, str(KILLED), *resumed, "--out", str(out))
        code, error = finish(start(*arguments, program=str(program)))
        assert code == -signal.SIGKILL, error[-2000:]
        newest = newest_checkpoint(out / "checkpoints" / training)
        assert newest is not None and newest.endswith(f"ckpt-{KILLED - 1}")
        assert [row["step"] for row in history(out, training)] == [1, 2, 3]
    return out


def test_each_stage_of_the_main_system_continues_bit_for_bit(whole, tmp_path):
    out = killed_once_in_each(SCRIPT, BRATS_WORDS, TRAININGS, tmp_path)
    samples = out / "synthetic" / "samples"
    stop(start("--out", str(out), "--resume"), signal.SIGKILL, lambda: any(samples.glob("*.json")))
    assert not (out / "synthetic" / "manifest.json").exists()
    complete(start("--out", str(out), "--resume"))
    assert_same_run(out, whole.path, TRAININGS)


def test_each_stage_of_tc_mgan_continues_bit_for_bit(tmp_path):
    expected = uninterrupted(TC_MGAN, TC_MGAN_WORDS, tmp_path / "whole").path
    out = killed_once_in_each(TC_MGAN, TC_MGAN_WORDS, TC_MGAN_TRAININGS, tmp_path)
    complete(start("--out", str(out), "--resume", program=str(REPOSITORY / TC_MGAN)))
    assert_same_run(out, expected, TC_MGAN_TRAININGS)


def test_each_stage_of_mm_gan_continues_bit_for_bit(volumes, tmp_path):
    """Their state holds the image pool and the vectors of the spectral normalisation too."""
    out = killed_once_in_each(MM_GAN, MM_GAN_WORDS, MM_GAN_TRAININGS, tmp_path)
    words, program = ("--out", str(out), "--resume"), str(REPOSITORY / MM_GAN)
    samples = out / "synthetic" / "samples"
    stop(start(*words, program=program), signal.SIGKILL, lambda: any(samples.glob("*.json")))
    assert not (out / "synthetic" / "manifest.json").exists()
    complete(start(*words, program=program))
    assert_same_run(out, volumes.path, MM_GAN_TRAININGS)
    assert any("pool" in name for name in tensors(out, "gan_T1"))


def test_runs_survive_fifty_kills_at_random_moments(whole, tmp_path):
    """As many runs, one after the other, as so many kills take; each is completed in the end."""
    moments, kills = np.random.default_rng(0), 0
    while kills < KILLS:
        out = tmp_path / f"run-from-kill-{kills}"
        longest = 0.7 * whole.seconds
        kills += killed_until_complete(SCRIPT, BRATS_WORDS, out, moments, KILLS - kills, longest)
        assert_same_run(out, whole.path, TRAININGS)


def test_runs_of_volumes_survive_ten_kills_at_random_moments(volumes, tmp_path):
    moments, kills = np.random.default_rng(0), 0
    while kills < MM_GAN_KILLS:
        out = tmp_path / f"run-from-kill-{kills}"
        most, longest = MM_GAN_KILLS - kills, 0.7 * volumes.seconds
        kills += killed_until_complete(MM_GAN, MM_GAN_WORDS, out, moments, most, longest)
        assert_same_run(out, volumes.path, MM_GAN_TRAININGS)


def killed_until_complete(
    script: str,
    words: tuple[str, ...],
    out: Path,
    moments: np.random.Generator,
    most: int,
    longest: float,
) -> int:
    """Start a run until it ends by itself, kill it up to `most` times, and return how often."""
    written: dict = {}
    for kills in itertools.count():
        resumed = ("--resume",) if (out / "config.json").exists() else words
        process = start(*resumed, "--out", str(out), program=str(REPOSITORY / script))
        moment = moments.uniform(0, longest) if kills < most else LONGEST
        try:
            _, error = process.communicate(timeout=moment)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        assert kills < most, "the last start took too long"
        assert written.items() <= finished_files(out).items(), "what was finished is written again"
        written = finished_files(out)
    assert process.returncode == 0, error[-2000:]
    return kills


def finished_files(out: Path) -> dict[Path, tuple[int, int]]:
    """Return the files of finished trainings and samples, with what a second writing changes."""
    files = list((out / "checkpoints").glob(f"*/ckpt-{STEPS}.index"))
    files += [out / "synthetic" / "manifest.json"]
    files += (out / "synthetic" / "samples").glob("synthetic_*.json")
    found = [(file, file.stat()) for file in files if file.exists()]
    return {file: (status.st_ino, status.st_mtime_ns) for file, status in found}


def assert_same_run(found: Path, expected: Path, trainings: tuple[str, ...]) -> None:
    """Compare weights, optimiser slots, logged losses, figures and synthetic set, bit for bit."""
    for training in trainings:
        assert tensors(found, training) == tensors(expected, training)
        assert losses(found, training) == losses(expected, training)
        assert [row["step"] for row in history(found, training)] == list(range(1, STEPS + 1))
    for name in ("metrics.json", "splits.json"):
        assert (found / name).read_text() == (expected / name).read_text()
    assert files(found / "synthetic") == files(expected / "synthetic")


def tensors(run: Path, training: str) -> dict[str, bytes]:
    """Return every tensor of a training's last checkpoint."""
    prefix = newest_checkpoint(run / "checkpoints" / training)
    assert prefix is not None and prefix.endswith(f"ckpt-{STEPS}")
    reader = tf.train.load_checkpoint(prefix)
    names = reader.get_variable_to_shape_map()
    kinds = ("networks/", "optimizers/", "OPTIMIZER_SLOT")
    assert all(any(kind in name for name in names) for kind in kinds)
    return {name: np.asarray(reader.get_tensor(name)).tobytes() for name in names}


def losses(run: Path, training: str) -> list[dict]:
    return [{**row, "seconds_per_step": 0} for row in history(run, training)]


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
