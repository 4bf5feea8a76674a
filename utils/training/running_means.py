"""What a log line is made of, kept in checkpoints: a resumed training writes the same lines."""

from __future__ import annotations

import json
from collections.abc import Mapping

import tensorflow as tf


class RunningMeans(tf.train.experimental.PythonState):
    """The mean of each term over the steps since the last log line."""

    def __init__(self) -> None:
        self._steps, self._totals = 0, {}

    def add(self, means: Mapping[str, float], steps: int) -> None:
        """Takes the means of some terms over further steps."""
        self._steps += steps
        for name, value in means.items():
            self._totals[name] = self._totals.get(name, 0.0) + value * steps

    def take(self) -> dict[str, float]:
        """Returns the means by name and begins anew."""
        means = {name: total / self._steps for name, total in self._totals.items()}
        self._steps, self._totals = 0, {}
        return means

    def serialize(self) -> str:
        """Returns what a checkpoint holds: JSON, which gives back each bit of a number."""
        return json.dumps([self._steps, self._totals])

    def deserialize(self, string_value: bytes) -> None:
        """Takes the place of the means that a checkpoint holds."""
        self._steps, self._totals = json.loads(string_value)
