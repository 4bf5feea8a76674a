"""Runs of the main script in processes of their own: stopped, on two devices, on two."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.experiments.conftest import SCRIPT, TINY, finish, history, start, stop, train
from utils.runs.environment import REPOSITORY

STEPS = 40
SEGMENTATION = (
    *TINY,
    "--stages=segmentation",
    "--schedule.segmentation.steps_per_call=1",
    "--schedule.segmentation.log_every=1",
)
FEW = "--schedule.segmentation.steps=4"
TRAININGS = ("structure", "segmentation", "registration", "pretraining", "synthesis")
SETTINGS = ("steps=3", "batch_size=4", "steps_per_call=1", "log_every=1", "checkpoint_minutes=0")
EVERY_STAGE = (
    *(*TINY, "--stages=structure,segmentation,registration,synthesis", "--random_maps=4"),
    *(f"--schedule.{t}.{value}" for t in TRAININGS for value in SETTINGS),
)
# Trains like the script and shows the weights of every step, which only the chief would save.
SHOW_WEIGHTS = f"""
import os, runpy, sys
sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / "experiments")!r}]
import numpy as np
from utils.training.checkpoints import Checkpoints
save = Checkpoints.save
def show(self, step):
    save(self, step)
    weights = [network.get_weights() for _, network in sorted(self.state.networks.items())]
    folder = os.environ["WEIGHTS"]
    np.savez(f"{{folder}}/{{self.directory.name}}-{{step}}.npz", *sum(weights, []))
Checkpoints.save = show
runpy.run_path({str(REPOSITORY / "experiments" / "train_brats.py")!r}, run_name="__main__")
"""


def losses(out: Path) -> list[float]:
    return [row["loss/G"] for row in history(out, "segmentation")]


def complete(process: subprocess.Popen) -> None:
    code, error = finish(process, 1800)
    assert code == 0, error[-2000:]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A training that Ctrl-C stopped half-way, and that the command it printed completed."""
    out = tmp_path_factory.mktemp("stopped") / "run"
    words = (*SEGMENTATION, f"--schedule.segmentation.steps={STEPS}")
    process = start(*words, "--out", str(out))
    code, error = stop(process, signal.SIGINT, lambda: history(out, "segmentation"))
    step = history(out, "segmentation")[-1]["step"]
    saved = (out / "checkpoints" / "segmentation" / f"ckpt-{step}.index").exists()
    command = re.search("continue with: (.*)", error)[1]
    return SimpleNamespace(
        out=out, code=code, error=error, step=step, saved=saved, resumed=train(*words_of(command))
    )


def words_of(command: str) -> list[str]:
    """The options of a printed command line."""
    python, script, *words = shlex.split(command)
    assert (python, script) == (sys.executable, str(REPOSITORY / SCRIPT))
    return words


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_continue(stopped):
    assert stopped.code == 130 and "Traceback" not in stopped.error
    assert f"interrupted (segmentation at step {stopped.step} of {STEPS})" in stopped.error
    assert stopped.step < STEPS and stopped.saved


@pytest.mark.slow
def test_the_printed_command_completes_the_run(stopped):
    assert stopped.resumed == 0
    steps = [row["step"] for row in history(stopped.out, "segmentation")]
    assert steps == list(range(1, STEPS + 1))


@pytest.mark.slow
def test_two_devices_train_like_one(stopped, tmp_path):
    out = tmp_path / "run"
    complete(start(*SEGMENTATION, FEW, "--devices=2", "--out", str(out)))
    environment = json.loads((out / "environment.json").read_text())
    assert environment["replicas"] == 2 and environment["devices"] == ["CPU", "CPU"]
    np.testing.assert_allclose(losses(out), losses(stopped.out)[:4], rtol=1e-3)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.slow
def test_two_processes_train_every_stage_like_one(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(SHOW_WEIGHTS)
    folders = [tmp_path / name for name in ("alone", "chief", "worker")]
    for folder in folders:
        folder.mkdir()

    def run(out: str, folder: Path, **environment: str) -> subprocess.Popen:
        words = (*EVERY_STAGE, "--out", str(tmp_path / out))
        return start(*words, program=str(program), WEIGHTS=str(folder), **environment)

    complete(run("one", folders[0]))
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    processes = [
        run(
            *("two", folder),
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
        )
        for index, folder in enumerate(folders[1:])
    ]
    for process in processes:
        complete(process)
    for training in TRAININGS:
        alone, chief, worker = (
            [weights(folder / f"{training}-{step}.npz") for step in (1, 2, 3)] for folder in folders
        )
        for one, other in zip(chief, worker):
            np.testing.assert_array_equal(one, other)
        # Adam's first steps hardly depend on a gradient's size, so that rounding turns those of
        # tiny gradients; a worker on other slices would move all of its weights otherwise.
        moved = np.linalg.norm(alone[2] - alone[0])
        assert moved > 0 and np.linalg.norm(chief[2] - alone[2]) < 0.2 * moved, training
        # Each row and each checkpoint is there once: the worker wrote nothing.
        assert [row["step"] for row in history(tmp_path / "two", training)] == [1, 2, 3]
        assert len(list((tmp_path / "two" / "tensorboard" / training).iterdir())) == 1
        for one, other in zip(*(history(tmp_path / out, training) for out in ("one", "two"))):
            losses_of = [{k: v for k, v in row.items() if "loss" in k} for row in (one, other)]
            # Synthesis goes on with what the trainings before made of their rounding.
            fresh = one["step"] == 1 and training != "synthesis"
            rounding = 1e-5 if fresh else 2e-3
            assert losses_of[0] == pytest.approx(losses_of[1], rel=rounding), training


def weights(file: Path) -> np.ndarray:
    """Return all weights of a file as one vector."""
    with np.load(file) as arrays:
        return np.concatenate([arrays[name].ravel() for name in arrays.files])
