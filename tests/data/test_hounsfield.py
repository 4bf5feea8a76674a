"""Windows of Hounsfield units, and values that are none."""

from __future__ import annotations

import numpy as np
import pytest

from data.hounsfield import WINDOW_RULE, check_hounsfield, windowed
from utils.errors import UserError


def test_a_window_becomes_zero_to_one():
    found = windowed(np.array([-1000, -160, 40, 140, 3000], np.int16), (-160.0, 240.0))
    assert found.tolist() == [0, 0, 0.5, 0.75, 1]


def test_values_without_air_or_of_eight_bits_are_refused():
    check_hounsfield("The scan", np.array([-1000, 50], np.int16))
    with pytest.raises(UserError, match="The scan must .* found 24 to 1074 .* added\\), or not."):
        check_hounsfield("The scan", np.array([24, 1074], np.int16), ", or not")
    with pytest.raises(UserError, match="found 8 bits"):
        check_hounsfield("The scan", np.zeros(2, np.uint8))


def test_a_window_has_two_ends():
    assert WINDOW_RULE.holds((-160.0, 240.0))
    for pair in ((0.0, 0.0), (1.0, 0.0), (float("nan"), 1.0), (0.0, float("inf"))):
        assert not WINDOW_RULE.holds(pair)
