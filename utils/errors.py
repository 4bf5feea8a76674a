"""The exceptions that users read as one sentence, and checks of a configuration's values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Callable, NamedTuple


class UserError(ValueError):
    """Bad usage or bad data; scripts print the message and exit with code 2."""


class DiskFullError(Exception):
    """A write without room; scripts print the message and how to go on, and exit with code 1."""


class TrainingError(RuntimeError):
    """Training cannot go on; scripts print the message and exit with code 1."""


class Rule(NamedTuple):
    """What a value has to be.

    Attributes:
        expected: the words behind "give" in the message.
        holds: tells whether a value keeps the rule; must be false for NaN.
    """

    expected: str
    holds: Callable[[Any], bool]


FINITE = Rule("a finite number", math.isfinite)
POSITIVE = Rule("a number above 0", lambda value: 0 < value < math.inf)
NOT_NEGATIVE = Rule("0 or more", lambda value: 0 <= value < math.inf)
BELOW_ONE = Rule("0 or more and below 1", lambda value: 0 <= value < 1)
SHARE = Rule("a fraction above 0 and up to 1", lambda value: 0 < value <= 1)
BETWEEN_0_AND_1 = Rule("a share between 0 and 1", lambda value: 0 < value < 1)
ASCENDING = Rule(
    "two numbers in ascending order", lambda pair: -math.inf < pair[0] <= pair[1] < math.inf
)


def at_least(lowest: int) -> Rule:
    """Returns the rule for counts."""
    return Rule(f"{lowest} or more", lambda value: value >= lowest)


def between(lowest: float, highest: float) -> Rule:
    """Returns the rule for numbers of a range, both ends included."""
    return Rule(f"{lowest} to {highest}", lambda value: lowest <= value <= highest)


def one_of(choices: Iterable[str]) -> Rule:
    """Returns the rule for names."""
    choices = tuple(choices)
    return Rule(f"one of {', '.join(choices)}", lambda value: value in choices)


def check_fields(config: Any, group: str, **rules: Rule) -> None:
    """Raises UserError if a field of a dataclass breaks its rule.

    `group` is the prefix of the field in the message, such as "--synthesis."; `from_dict` replaces
    it by the prefix on the command line. Without `rules` every field has to be NOT_NEGATIVE.
    """
    rules = rules or {field.name: NOT_NEGATIVE for field in fields(config)}
    for name, rule in rules.items():
        value = getattr(config, name)
        if not rule.holds(value):
            raise UserError(f"{group}{name} is {value!r}; give {rule.expected}")
