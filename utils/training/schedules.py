"""Learning rates that change during a training."""

from __future__ import annotations

import tensorflow as tf

from utils.training.distribute import LearningRate


class ConstantThenLinear(tf.keras.optimizers.schedules.LearningRateSchedule):
    """The rate of update k = 0, 1, ..: constant at first, then along a line, 0 after the last.

    Args:
        rate: of the first updates.
        constant: number of updates with it.
        total: number of all updates.
    """

    def __init__(self, rate: float, constant: int, total: int):
        self.rate, self.constant, self.total = rate, constant, total

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the rate of an update."""
        left = (self.total - tf.cast(step, tf.float32)) / max(self.total - self.constant, 1)
        return self.rate * tf.clip_by_value(left, 0.0, 1.0)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {"rate": self.rate, "constant": self.constant, "total": self.total}


def constant_then_linear(rate: float, total: int, constant_share: float) -> LearningRate:
    """Returns a rate that is constant for a share of `total` updates, then falls to 0."""
    return ConstantThenLinear(rate, round(constant_share * total), total)
