"""Trainings that go on after damage to their files or a full disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.utils.toy import Toy, toy_examples
from utils.errors import DiskFullError
from utils.runs.run_directory import RunDirectory
from utils.training.checkpoints import load_networks
from utils.training.trainer import Samples, Schedule, Trainer

TOTAL, EVERY = 6, 2
# A checkpoint after every call.
SCHEDULE = Schedule(batch_size=1, steps_per_call=EVERY, log_every=EVERY, checkpoint_minutes=0)


def fit(folder: Path) -> list[int]:
    """Trains the stage to its end; returns the steps from which batches were asked for."""
    starts = []

    def batches(step: int):
        starts.append(step)
        return toy_examples(lambda number: 0.01 * number).skip(step).batch(1)

    strategy = tf.distribute.get_strategy()
    run = RunDirectory(folder)
    samples = Samples({"grid": np.zeros((4, 6, 3), np.uint8)})
    Trainer(
        *(Toy(0.1), "structure", run, SCHEDULE, TOTAL, strategy, str), samples=lambda: samples
    ).fit(batches)
    return starts


def rows(folder: Path) -> list[dict]:
    return [
        {name: value for name, value in row.items() if name != "seconds_per_step"}
        for row in RunDirectory(folder).read_history()
    ]


def weights(folder: Path) -> list[np.ndarray]:
    system = Toy()
    load_networks(system, folder / "checkpoints" / "structure")
    return system.state[:1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert fit(folder) == [0] and fit(folder) == []
    return folder


@pytest.mark.parametrize("kind", ["flipped", "half", "missing"])
@pytest.mark.parametrize("part", ["data-00000-of-00001", "index"])
def test_a_stage_with_a_damaged_end_is_trained_on_from_the_checkpoint_before_it(
    tmp_path, whole, capsys, kind, part
):
    fit(tmp_path)
    file = tmp_path / "checkpoints" / "structure" / f"ckpt-{TOTAL}.{part}"
    content = file.read_bytes()
    flipped = content[:90] + bytes([content[90] ^ 1]) + content[91:]
    file.write_bytes(flipped if kind == "flipped" else content[:90])
    if kind == "missing":
        file.unlink()
    assert fit(tmp_path) == [TOTAL - EVERY]
    assert f"ckpt-{TOTAL - EVERY} is used instead" in capsys.readouterr().err
    assert weights(tmp_path) == weights(whole) and rows(tmp_path) == rows(whole)


def fill_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_checkpoint(patch: pytest.MonkeyPatch) -> None:
    write = tf.train.Checkpoint.write

    def second(state, prefix):
        if int(state.save_counter) == 2:
            Path(f"{prefix}.data-00000-of-00001").write_bytes(b"half")
            raise tf.errors.ResourceExhaustedError(None, None, f"{prefix}; No space left on device")
        return write(state, prefix)

    patch.setattr(tf.train.Checkpoint, "write", second)


def full_line(patch: pytest.MonkeyPatch) -> None:
    append = RunDirectory.append_history

    def second(run, row):
        if row["step"] == 2 * EVERY:
            with run.history.open("a") as file:
                file.write('{"stage": "struc')
            fill_disk()
        append(run, row)

    patch.setattr(RunDirectory, "append_history", second)


def full_picture(patch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def last(path, content):
        if path.name.endswith(f"{TOTAL:07d}.png"):
            write(path, b"half")
            fill_disk()
        return write(path, content)

    patch.setattr(Path, "write_bytes", last)


@pytest.mark.parametrize(
    ("fault", "error", "continued"),
    [
        (full_checkpoint, DiskFullError, EVERY),
        (full_line, OSError, EVERY),
        (full_picture, DiskFullError, 2 * EVERY),
    ],
)
def test_a_run_goes_on_when_the_disk_has_room_again(tmp_path, whole, fault, error, continued):
    with pytest.MonkeyPatch.context() as patch:
        fault(patch)
        with pytest.raises(error):
            fit(tmp_path)
    hidden = [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
    assert not hidden and not list(tmp_path.glob(f"samples/*_{TOTAL:07d}.png"))
    assert rows(tmp_path)[0] == rows(whole)[0]
    assert fit(tmp_path) == [continued]
    assert weights(tmp_path) == weights(whole) and rows(tmp_path) == rows(whole)
    names = {path.name for path in (whole / "samples").iterdir()}
    assert {path.name for path in (tmp_path / "samples").iterdir()} == names
