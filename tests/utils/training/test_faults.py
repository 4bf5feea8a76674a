"""A training that meets a number that is not finite, or too little memory, and goes on later."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.devices import mirrored_strategy
from tests.utils.toy import Toy, toy_examples
from tests.utils.training.test_trainer import SCHEDULE, batches, history, trainer
from utils.errors import TrainingError, UserError
from utils.runs.files import read_json
from utils.training.faults import Hints, NonFiniteError, OutOfMemoryError, naming_exhausted_memory
from utils.training.trainer import Schedule

HINTS = Hints("--structure.learning_rate", "--schedule.structure.batch_size", (24, 32))
GO_ON = "go on with --resume --allow-config-change and a smaller --structure.learning_rate"


def poisoned(step: float, value: float = math.nan):
    """The examples of `batches`, of which one has a loss that is not finite."""
    return batches(lambda i: tf.where(i == step, value, i))


def fail(folder, system, data, **arguments) -> str:
    with pytest.raises(NonFiniteError) as caught:
        trainer(folder, system, hints=HINTS, **arguments).fit(data)
    return str(caught.value)


def test_the_state_before_a_bad_step_is_saved_and_all_is_written_down(tmp_path):
    before, system, saved = Toy(0.1), Toy(0.1), Toy(0.1)
    trainer(tmp_path / "before", before, total=5).fit(batches())
    text = fail(tmp_path, system, poisoned(6))
    record = tmp_path / "faults" / "structure-6.json"
    assert text == (
        "structure: gradient_norm/G, loss/G are not finite at step 6; cases: case 6; "
        f"the checkpoint of step 5 holds the state before it; {record} has all terms; {GO_ON}"
    )
    assert trainer(tmp_path, saved).checkpoints.restore() == 5
    for states in (system.state, saved.state):
        for found, expected in zip(states, before.state):
            np.testing.assert_array_equal(found, expected)
    assert read_json(record) == {
        "stage": "structure",
        "step": 6,
        "bad_terms": {"gradient_norm/G": "nan", "loss/G": "nan"},
        "other_terms": {"G/one": 1.0},
        "cases": ["case 6"],
        "finite_state": True,
        "updated_before": [],
        "checkpoint_step": 5,
    }


def test_a_resumed_training_goes_on_from_there_at_its_new_rate(tmp_path):
    fail(tmp_path, Toy(0.1), poisoned(6, math.inf))
    system, starts = Toy(0.001), []
    trainer(tmp_path, system).fit(lambda step: starts.append(step) or batches()(step))
    assert starts == [5] and system.state[1] == 11
    assert float(system.optimizers["G"].learning_rate) == pytest.approx(0.001)
    rows = history(tmp_path)
    assert [row["step"] for row in rows] == [3, 6, 9, 11]
    # The row of steps 4 to 6, whose first two ran before the fault, is the mean of all three.
    trainer(tmp_path / "whole", Toy(0.1), total=6).fit(batches())
    assert rows[1]["loss/G"] == history(tmp_path / "whole")[1]["loss/G"]


def test_the_first_step_has_no_checkpoint_to_go_back_to(tmp_path):
    text = fail(tmp_path, Toy(), poisoned(1))
    assert "; it was the first step; " in text and not list(tmp_path.rglob("ckpt*"))
    assert read_json(tmp_path / "faults" / "structure-1.json")["checkpoint_step"] is None


def test_a_bad_step_right_after_a_checkpoint_leaves_that_alone(tmp_path):
    often = Schedule(batch_size=1, steps_per_call=4, log_every=100, checkpoint_minutes=0)
    text = fail(tmp_path, Toy(), poisoned(5), schedule=often)
    assert "the checkpoint of step 4 holds the state before it" in text
    names = {path.name for path in (tmp_path / "checkpoints" / "structure").glob("ckpt-*.index")}
    assert names == {"ckpt-4.index"}


class Statistics(Toy):
    """Its weight follows the inputs without a gradient, as moving averages do."""

    def train_step(self, batch):
        self.networks["G"].variables[0].assign(batch["images"])
        return super().train_step(batch)


@pytest.mark.parametrize("minutes, state", [(0, "the checkpoint of step 4 is"), (9, "there is no")])
def test_a_state_that_is_not_finite_is_never_saved(tmp_path, minutes, state):
    often = Schedule(batch_size=1, steps_per_call=4, log_every=100, checkpoint_minutes=minutes)
    text = fail(tmp_path, Statistics(), poisoned(6), schedule=often)
    assert f"weights are not finite any more either, {state}" in text
    assert trainer(tmp_path, Toy()).checkpoints.restore() == (0 if minutes else 4)
    assert not read_json(tmp_path / "faults" / "structure-6.json")["finite_state"]


class Turns(Toy):
    """Updates its network twice, of which the second time is bad."""

    def __init__(self):
        super().__init__()
        self.optimizers["second"] = tf.keras.optimizers.legacy.SGD(0.0)

    def train_step(self, batch):
        healthy = {**batch, "images": tf.ones_like(batch["images"])}
        report = super().train_step(healthy)
        second = super().train_step(batch)
        self.optimizers["G"].iterations.assign_sub(tf.cast(second["loss/G"] > 0, tf.int64))
        return {**report, "loss/second": second["loss/G"]}


def test_updates_that_came_before_the_bad_one_are_told(tmp_path):
    text = fail(tmp_path, Turns(), poisoned(3))
    assert "step 2 holds the state before it, but for the update of G;" in text
    assert read_json(tmp_path / "faults" / "structure-3.json")["updated_before"] == ["G"]


def test_cases_and_state_are_those_of_all_replicas(tmp_path):
    mirrored = mirrored_strategy()

    def distributed(step):
        examples = toy_examples(lambda i: tf.where(i == 6.0, math.nan, i)).skip(2 * step).batch(1)
        return mirrored.distribute_datasets_from_function(lambda context: examples)

    schedule = Schedule(steps_per_call=4, log_every=1, batch_size=2)
    with pytest.raises(NonFiniteError, match="at step 3; cases: case 5; case 6; .* of step 2 h"):
        trainer(tmp_path, total=4, strategy=mirrored, schedule=schedule).fit(distributed)
    # Steps 1 and 2 hold the examples 1, 2 and 3, 4.
    losses = [row["loss/G"] for row in history(tmp_path)]
    np.testing.assert_allclose(losses, [1.5, 3.5], rtol=1e-5)


def test_other_workers_tell_but_write_nothing(tmp_path):
    run = type(trainer(tmp_path / "chief").run)(tmp_path / "worker", writes=False)
    text = fail(tmp_path / "worker", Toy(), poisoned(2), run=run)
    assert "case 2" in text and "has all terms" not in text
    assert not (tmp_path / "worker").exists()


class Hungry(Toy):
    """Its fifth step needs more memory than there is."""

    def __init__(self):
        super().__init__(0.1)
        self.calls = 0

    def train_step(self, batch):
        def allocate(images):
            self.calls += 1
            if self.calls == 5:
                raise MemoryError("OOM when allocating tensor")
            return images

        images = tf.numpy_function(allocate, [batch["images"]], tf.float32)
        return super().train_step({"images": tf.ensure_shape(images, batch["images"].shape)})


def test_too_little_memory_is_told_and_the_checkpoint_kept(tmp_path):
    often = Schedule(batch_size=1, steps_per_call=2, checkpoint_minutes=0)
    with pytest.raises(OutOfMemoryError) as caught:
        trainer(tmp_path, Hungry(), schedule=often, hints=HINTS).fit(batches())
    assert str(caught.value) == (
        "structure: a device has too little memory for 1 samples of 24x32 pixels per device in "
        "float32; the last checkpoint is intact; go on with --resume --allow-config-change and a "
        "smaller --schedule.structure.batch_size, --precision mixed_bfloat16 or more --devices, or "
        "start a new run with narrower networks or smaller images"
    )
    assert isinstance(caught.value, TrainingError)
    restored = Toy()
    assert trainer(tmp_path, restored).checkpoints.restore() == 4 and restored.state[1] == 4


def test_memory_is_that_of_one_device_and_half_precision_is_not_offered_twice():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        with pytest.raises(OutOfMemoryError, match="3 samples per .* mixed_b.* size or more"):
            with naming_exhausted_memory("gan", 6, 2, Hints()):
                raise tf.errors.ResourceExhaustedError(None, None, "OOM")
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    with pytest.raises(tf.errors.InternalError):
        with naming_exhausted_memory("gan", 6, 2, Hints()):
            raise tf.errors.InternalError(None, None, "other")


def test_mixed_float16_can_go_on_in_float32(tmp_path):
    """The weights come along, the loss scale is left behind."""
    half, system = tf.keras.mixed_precision, Toy(0.1)
    half.set_global_policy("mixed_float16")
    try:
        text = fail(tmp_path, system, poisoned(6), schedule=SCHEDULE)
    finally:
        half.set_global_policy("float32")
    assert text.endswith("--structure.learning_rate or --precision float32")
    saved, other = Toy(0.1), Toy(0.1, inputs=2)
    assert trainer(tmp_path, saved).checkpoints.restore() == 5
    assert saved.networks["G"].variables[0] == system.networks["G"].variables[0] != 1.0
    with pytest.raises(UserError, match="has the shape"):
        trainer(tmp_path, other).checkpoints.restore()
