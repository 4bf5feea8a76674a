"""Warnings about a training that goes on, but to no good end: one line per kind.

The metrics are named by what they measure: `accuracy/...`, `collapse/...`, `loss_scale/...`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable

from tqdm import tqdm


@dataclass(frozen=True)
class Rule:
    """When to warn about the metrics whose names start alike.

    Attributes:
        prefix: start of the metrics' names.
        bad: function that returns whether a value is out of bounds.
        patience: how many successive values of one metric have to be out of bounds.
        meaning: what this means and what to do.
    """

    prefix: str
    bad: Callable[[float], bool]
    patience: int
    meaning: str


RULES = (
    # Measured on the demos' six samples: real slices have a variance of 1 and a similarity of 0.34
    # to 0.47, healthy generators 0.64 to 1 and 0.41 to 0.49 (of structure maps 0.85 and 0.26
    # against 1 and 0.14 of extracted ones), the collapsed GAN# 0.01 and 0.98, the same slice six
    # times 0 and 1. A generator that has just begun passes through such values: a second picture
    # has to confirm them.
    Rule(
        "collapse/variance",
        lambda value: value < 0.1,
        2,
        "the samples hardly differ, the generator may have collapsed: look at the pictures, and "
        "lower the learning rate or the weight of the adversarial term",
    ),
    Rule(
        "collapse/similarity",
        lambda value: value > 0.95,
        2,
        "the samples are all alike, the generator may have collapsed: look at the pictures, and "
        "lower the learning rate or the weight of the adversarial term",
    ),
    Rule(
        "accuracy/",
        lambda value: value >= 0.99,
        5,
        "the discriminator knows every generated image, the generator hardly learns from it: lower "
        "the discriminator's learning rate or width",
    ),
    # From 2^15 it takes 15 overflows, against which 2000 finite steps count one.
    Rule(
        "loss_scale/",
        lambda value: value <= 1.0,
        1,
        "the loss scale is at its floor and steps are skipped all the same: lower the learning "
        "rate, or use --precision mixed_bfloat16 or float32",
    ),
)


def _write(line: str) -> None:
    tqdm.write(line, file=sys.stderr)  # leaves a progress bar whole


class Alarms:
    """Warns about a training's metrics, once for every rule.

    Args:
        stage: name of the training.
        write: function that prints a line.
    """

    def __init__(self, stage: str, write: Callable[[str], None] = _write):
        self.stage = stage
        self.write = write
        self._bad: dict[str, int] = {}  # how often in a row, by metric
        self._told: set[Rule] = set()

    def see(self, figures: Mapping[str, float]) -> None:
        """Takes the next values of metrics by name; metrics without a rule are ignored."""
        for name, value in figures.items():
            for rule in RULES:
                if name.startswith(rule.prefix):
                    self._judge(rule, name, value)

    def _judge(self, rule: Rule, name: str, value: float) -> None:
        self._bad[name] = self._bad.get(name, 0) + 1 if rule.bad(value) else 0
        if self._bad[name] >= rule.patience and rule not in self._told:
            self._told.add(rule)
            times = f" {rule.patience} times in a row" if rule.patience > 1 else ""
            self.write(f"warning: {self.stage}: {name} is {value:.3g}{times}; {rule.meaning}")
