"""Warnings of trainings that go wrong without stopping."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.utils.toy import Toy, read_events
from tests.utils.training.test_trainer import batches, trainer
from utils.metrics.collapse import collapse_figures
from utils.training.alarms import Alarms
from utils.training.trainer import Samples, Schedule


def seen(*rows: dict) -> list[str]:
    lines = []
    alarms = Alarms("synthesis", lines.append)
    for row in rows:
        alarms.see(row)
    return lines


@pytest.mark.parametrize(
    ("name", "bad", "good", "patience"),
    [
        ("collapse/variance", 0.09, 0.11, 2),
        ("collapse/similarity", 0.96, 0.94, 2),
        ("accuracy/D", 0.99, 0.989, 5),
        ("loss_scale/G", 1.0, 2.0, 1),
    ],
)
def test_a_line_per_kind_when_a_figure_stays_bad(name, bad, good, patience):
    row = {name: bad, "loss/G": 1.0}
    assert seen(*[row] * (patience - 1)) == seen(*[{name: good}] * 9) == []
    interrupted = [*[row] * (patience - 1), {name: good}, *[row] * (patience - 1)]
    assert seen(*interrupted) == []
    lines = seen(*[row] * 9)
    assert len(lines) == 1
    times = f" {patience} times in a row" if patience > 1 else ""
    assert lines[0].startswith(f"warning: synthesis: {name} is {bad:.3g}{times}; ")


def test_figures_of_one_kind_are_counted_apart_and_told_once():
    turns = [{"accuracy/D_x": 1.0, "accuracy/D_y": 0.0}, {"accuracy/D_x": 0.0, "accuracy/D_y": 1.0}]
    assert seen(*turns * 5) == []
    both = {"accuracy/D_x": 1.0, "accuracy/D_y": 1.0}
    assert len(seen(*[both] * 9)) == 1
    assert len(seen(*[{**both, "collapse/variance": 0.0}] * 9)) == 2


def test_numbers_that_are_none_raise_no_alarm():
    figures = {"collapse/variance": np.nan, "collapse/similarity": np.nan}
    assert seen(*[figures] * 9) == []


def samples_of(generator):
    """Samples of a generator from fixed inputs, against real images of noise."""
    real = np.random.default_rng(0).random((6, 24, 24, 2))
    return lambda: Samples({}, collapse_figures(generator(real), real))


@pytest.mark.parametrize(
    ("generator", "kinds"),
    [
        (lambda real: 0.9 * real, []),
        (lambda real: np.full_like(real, 0.5), ["collapse/variance", "collapse/similarity"]),
        (lambda real: np.repeat(real[:1], 6, 0), ["collapse/variance", "collapse/similarity"]),
    ],
)
def test_a_constant_generator_is_told_once_and_a_healthy_one_never(
    tmp_path, capsys, generator, kinds
):
    schedule = Schedule(batch_size=1, steps_per_call=4, log_every=3, picture_every=2)
    trainer(tmp_path, samples=samples_of(generator), schedule=schedule).fit(batches())
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning: " in line]
    assert [line.split(": ")[2].split(" is ")[0] for line in lines] == kinds
    events = read_events(tmp_path / "tensorboard" / "structure")
    for name in ("variance", "similarity"):
        assert list(events[f"structure/collapse/{name}"]) == [0, 2, 4, 6, 8, 10, 11]


def test_the_state_before_training_raises_no_alarm(tmp_path, capsys):
    constant = samples_of(lambda real: 0 * real)
    trainer(tmp_path, samples=constant, total=5).fit(batches())  # pictures at 0 and 5
    assert "warning" not in capsys.readouterr().err


class Judged(Toy):
    """Has two discriminators that are always right; one of them may be."""

    monitored = ("accuracy/D",)

    def train_step(self, batch):
        accuracies = dict.fromkeys(("accuracy/D", "accuracy/critic"), tf.constant(1.0))
        return {**super().train_step(batch), **accuracies}


def test_only_accuracies_that_a_system_has_watched_raise_an_alarm(tmp_path, capsys):
    schedule = Schedule(batch_size=1, log_every=2)
    trainer(tmp_path / "short", Judged(), total=8, schedule=schedule).fit(batches())
    assert "warning" not in capsys.readouterr().err
    trainer(tmp_path / "long", Judged(), total=20, schedule=schedule).fit(batches())
    error = capsys.readouterr().err
    assert "warning: structure: accuracy/D is 1 5 times in a row; the discriminator" in error
    assert error.count("warning") == 1


def test_a_storm_of_overflows_is_told(tmp_path, capsys):
    """The gradient of the kernel, 2 * 300 * 300, is no float16 at any scale; the loss is finite."""
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        system = Toy(0.1)
        trainer(tmp_path, system, total=20).fit(batches(lambda i: 90000.0 + 0 * i))
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    error = capsys.readouterr().err
    assert error.count("warning: structure: loss_scale/G is 1; the loss scale is at its floor") == 1
    scales = read_events(tmp_path / "tensorboard" / "structure")["structure/loss_scale/G"]
    assert scales[3] == pytest.approx((2**14 + 2**13 + 2**12) / 3) and scales[20] == 1
    assert system.networks["G"].variables[0] == 1.0
