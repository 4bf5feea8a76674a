from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from utils.errors import (
    ASCENDING,
    FINITE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    UserError,
    at_least,
    check_fields,
    one_of,
)

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("rule", "kept", "broken"),
    [
        (FINITE, [-1, 0.0], [NAN, INF]),
        (POSITIVE, [1e-9, 3], [0, -1, NAN, INF]),
        (NOT_NEGATIVE, [0, 2.5], [-1e-9, NAN, INF]),
        (SHARE, [0.1, 1], [0, 1.1, NAN]),
        (ASCENDING, [(0, 1), (0.5, 0.5)], [(1, 0), (0, NAN), (0, INF)]),
        (at_least(2), [2, 5], [1, -3]),
        (one_of("ab"), ["a", "b"], ["c", ""]),
    ],
)
def test_rules_tell_good_values_from_bad_ones(rule, kept, broken):
    assert all(map(rule.holds, kept)) and not any(map(rule.holds, broken))


@dataclass
class Weights:
    cycle: float = 1.0
    name: str = "a"


def test_the_sentence_names_field_value_and_remedy():
    check_fields(Weights(), "--w.", name=one_of("ab"), cycle=POSITIVE)
    with pytest.raises(UserError, match=r"^--w.name is 'c'; give one of a, b$"):
        check_fields(Weights(name="c"), "--w.", name=one_of("ab"))
    with pytest.raises(UserError, match=r"^--w.cycle is -1; give 0 or more$"):
        check_fields(Weights(cycle=-1), "--w.")  # without rules: no field may be negative
