from __future__ import annotations

import signal
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.devices import mirrored_strategy
from tests.utils.toy import Toy, read_events, toy_examples
from utils.errors import UserError
from utils.runs.run_directory import RunDirectory
from utils.training.signals import Interrupted
from utils.training.trainer import Samples, Schedule, Trainer, check_batch_size, check_batch_sizes

SCHEDULE = Schedule(batch_size=1, steps_per_call=4, log_every=3, picture_every=5)
TERMS = {"loss/G", "G/one", "gradient_norm/G"}


def name_cases(source: np.ndarray) -> str:
    return "; ".join(f"case {index}" for _, index in source)


def trainer(folder, system=None, total=11, strategy=None, schedule=SCHEDULE, **arguments):
    run = arguments.pop("run", None) or RunDirectory(folder)
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        system = system or Toy()
        return Trainer(system, "structure", run, schedule, total, strategy, name_cases, **arguments)


def batches(loss_of_example=lambda i: i, batch_size: int = 1):
    """The untrained loss of step k is k."""

    def from_step(step: int):
        examples = toy_examples(loss_of_example).skip(step * batch_size)
        return examples.batch(batch_size)

    return from_step


def history(folder) -> list[dict]:
    return RunDirectory(folder).read_history()


def interrupting(times: int):
    """Samples that ask to stop when they are drawn for the `times`-th time."""
    drawn = []

    def draw():
        drawn.append(None)
        if len(drawn) == times:
            signal.raise_signal(signal.SIGINT)
        return Samples({})

    return draw


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of an uninterrupted run, and each call of its picture function."""
    folder, calls = tmp_path_factory.mktemp("run"), []

    def draw():
        calls.append(None)
        picture = np.full((4, 6, 3), len(calls), np.uint8)
        return Samples({"grid": picture}, {"collapse/variance": len(calls) / 8})

    trainer(folder, samples=draw).fit(batches())
    return folder


def test_rows_are_means_over_the_interval(finished):
    rows = history(finished)
    assert [row["step"] for row in rows] == [3, 6, 9, 11]
    # Steps 1-3, 4-6, 7-9 and 10-11, where the loss of step k is k.
    np.testing.assert_allclose([row["loss/G"] for row in rows], [2, 5, 8, 10.5], rtol=1e-5)
    for row in rows:
        assert set(row) == {"stage", "step", "seconds_per_step", *TERMS}
        assert row["stage"] == "structure" and row["G/one"] == 1 and row["seconds_per_step"] > 0


def test_tensorboard_has_every_term_and_every_picture(finished):
    events = read_events(finished / "tensorboard" / "structure")
    names = {f"structure/{name}" for name in (*TERMS, "time/step_seconds")}
    assert set(events) == {*names, "structure/grid", "structure/collapse/variance"}
    for row in history(finished):
        for name in TERMS:
            value = events[f"structure/{name}"][row["step"]]
            np.testing.assert_allclose(value, row[name], rtol=1e-6)
    grids = events["structure/grid"]
    assert {step: picture.max() for step, picture in grids.items()} == {0: 1, 5: 2, 10: 3, 11: 4}
    variances = events["structure/collapse/variance"]
    assert {step: value * 8 for step, value in variances.items()} == {0: 1, 5: 2, 10: 3, 11: 4}


def test_pictures_are_also_files(finished):
    names = {f"structure_grid_{step:07d}.png": step for step in (0, 5, 10, 11)}
    assert {path.name for path in (finished / "samples").iterdir()} == set(names)
    last = tf.io.decode_png(tf.io.read_file(str(finished / "samples" / max(names)))).numpy()
    np.testing.assert_array_equal(last, np.full((4, 6, 3), 4))


def test_a_finished_stage_is_not_repeated(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    trainer(finished, samples=pytest.fail).fit(pytest.fail)
    after = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    assert after == before


def test_stop_and_resume_equal_an_uninterrupted_run_bit_by_bit(tmp_path):
    whole, first, second = (Toy(0.1) for _ in range(3))
    trainer(tmp_path / "whole", whole).fit(batches())
    with pytest.raises(Interrupted, match="structure at step 5 of 11"):
        trainer(tmp_path / "run", first, samples=interrupting(2)).fit(batches())
    assert first.state[1] == 5
    starts = []
    trainer(tmp_path / "run", second).fit(lambda step: starts.append(step) or batches()(step))
    assert starts == [5]
    for expected, found in zip(whole.state, second.state):
        np.testing.assert_array_equal(expected, found)
    # Step 5 lies between two rows: the row of step 6 has means over steps before and after it.
    rows = [
        [{**row, "seconds_per_step": 0} for row in history(tmp_path / name)]
        for name in ("whole", "run")
    ]
    assert rows[0] == rows[1] and [row["step"] for row in rows[0]] == [3, 6, 9, 11]


def test_a_stop_in_the_last_call_is_not_forgotten(tmp_path):
    with pytest.raises(Interrupted, match="step 11 of 11"):
        trainer(tmp_path, samples=interrupting(4)).fit(batches())
    trainer(tmp_path).fit(pytest.fail)


def test_lost_work_is_dropped_from_the_history(tmp_path):
    with pytest.raises(Interrupted):
        trainer(tmp_path, samples=interrupting(2)).fit(batches())
    run = RunDirectory(tmp_path)
    for stage, step in (("structure", 6), ("structure", 9), ("synthesis", 9)):
        run.append_history({"stage": stage, "step": step, "loss/G": -1.0})
    trainer(tmp_path).fit(batches())
    rows = [(row["stage"], row["step"]) for row in history(tmp_path)]
    assert rows == [("structure", 3), ("synthesis", 9)] + [("structure", k) for k in (6, 9, 11)]


def test_a_worker_that_is_not_the_chief_writes_nothing(tmp_path):
    worker, chief = Toy(0.1), Toy(0.1)
    run = RunDirectory(tmp_path / "worker", writes=False)
    trainer(tmp_path / "worker", worker, total=3, run=run, samples=pytest.fail).fit(batches())
    trainer(tmp_path / "chief", chief, total=3).fit(batches())
    assert not (tmp_path / "worker").exists()
    np.testing.assert_array_equal(worker.state[0], chief.state[0])


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [
        (Schedule(steps=7, epochs=2, batch_size=4), 7),
        (Schedule(epochs=3, batch_size=4), 15),  # 3 * 21 / 4 = 15.75
        (Schedule(epochs=1, batch_size=50), 1),
    ],
)
def test_length_in_steps_or_epochs(schedule, steps):
    assert schedule.total_steps(21) == steps


@pytest.mark.parametrize("name", ["epochs", "batch_size", "steps_per_call", "log_every"])
def test_intervals_start_at_1(name):
    with pytest.raises(UserError, match=rf"--schedule\.{name} is 0; give 1 or more"):
        Schedule(**{name: 0})
    with pytest.raises(UserError, match="steps is -1; give 0 or more"):
        Schedule(steps=-1)


def test_replicas_share_a_batch_equally():
    mirrored = mirrored_strategy()
    check_batch_size("--batch", 6, mirrored)
    with pytest.raises(UserError, match="--batch is 5 but 2 devices .* multiple of 2"):
        check_batch_size("--batch", 5, mirrored)
    schedules = SimpleNamespace(first=Schedule(batch_size=4), second=Schedule(batch_size=5))
    check_batch_sizes("--x.schedule", schedules, ["first"], mirrored)
    with pytest.raises(UserError, match=r"--x\.schedule\.second\.batch_size is 5 but 2 devices"):
        check_batch_sizes("--x.schedule", schedules, ["first", "second"], mirrored)
