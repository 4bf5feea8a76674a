"""The standard tests pass a sound system and find the defects that they are made for."""

from __future__ import annotations

import pytest
import tensorflow as tf

from models.system import GANSystem
from tests.models.harness import SystemTests


def layer() -> tf.keras.Model:
    return tf.keras.Sequential([tf.keras.Input([None, None, 4]), tf.keras.layers.Dense(1)])


class Sound(GANSystem):
    """One layer learns to give what the other, its guide, does not."""

    loss, updates, unknown = staticmethod(tf.reduce_mean), 0, tf.Variable(tf.zeros([100]))

    def __init__(self):
        self.guide = layer()
        super().__init__({"G": layer()}, {"G": ["G"]}, {"G": 0.1})

    def train_step(self, batch):
        self.updates += 1
        with tf.GradientTape() as tape:
            both = self.networks["G"](batch["images"]) + self.guide(batch["images"])
            loss = self.loss(tf.cast(both, tf.float32) ** 2)
        return self.descend(tape, {"G": loss})

    def synthesize(self, batch):
        return {"images": self.networks["G"](batch["images"])}


class TestSound(SystemTests):
    groups, parameters, kind = {"G": ["G"]}, {"G": 4 + 1}, Sound
    rate, split_rate = 1.0, 0.1

    def build(self):
        return self.kind()

    def guides(self, system):
        return [system.guide]


def meddle(self, tape, losses):
    self.guide.layers[0].bias.assign([1.0])
    return GANSystem.descend(self, tape, losses)


@pytest.mark.parametrize(
    ("test", "name", "defect"),
    [
        ("networks", "variables", lambda self, group: 2 * GANSystem.variables(self, group)),
        ("step", "descend", lambda self, tape, losses: {}),
        ("step", "descend", meddle),
        ("two_devices", "loss", staticmethod(tf.reduce_sum)),
        ("resuming", "loss", lambda self, x: self.updates * tf.reduce_mean(x)),
        ("mixed_precision", "loss", lambda self, x: tf.cast(tf.reduce_mean(x), tf.bfloat16)),
        ("dry_run", "loss", lambda self, x: tf.reduce_mean(x) + tf.reduce_sum(self.unknown)),
    ],
)
def test_a_defect_is_found(test, name, defect, tmp_path, capsys, monkeypatch):
    case = TestSound()
    case.kind = type("Defective", (Sound,), {name: defect})
    arguments = {
        **{"networks": [case.kind()], "step": [case.kind()]},
        **{"resuming": [tmp_path], "dry_run": [capsys, monkeypatch]},
    }
    with pytest.raises(AssertionError):
        getattr(case, f"test_{test}")(*arguments.get(test, []))


def test_only_what_a_class_calls_slow_is_slow():
    class Case(TestSound):
        slow, split_rate = ("step",), None

    marked = {name for name in dir(Case) if hasattr(getattr(Case, name), "pytestmark")}
    assert marked == {"test_step"} and Case.test_two_devices is None
    assert not hasattr(TestSound.test_step, "pytestmark")
