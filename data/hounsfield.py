"""Hounsfield units of CT: whether values are such, and the window that becomes [0,1]."""

from __future__ import annotations

import math

import numpy as np

from utils.errors import Rule, UserError

AIR = -300.0  # HU, above all air
WINDOW_RULE = Rule(
    "two numbers, the second larger", lambda pair: -math.inf < pair[0] < pair[1] < math.inf
)


def check_hounsfield(what: str, array: np.ndarray, otherwise: str = "") -> None:
    """Raises UserError for values that are no Hounsfield units: of 8 bits, or without air.

    `what` begins the message, such as "The slice a.tif"; `otherwise` follows its advice.
    """
    if array.dtype != np.uint8 and array.min() < AIR:
        return
    found = "8 bits" if array.dtype == np.uint8 else f"{array.min():g} to {array.max():g}"
    raise UserError(
        f"{what} must hold Hounsfield units, found {found} without air (below {AIR:g}); convert it "
        f"(some files are stored with 1024 added){otherwise}."
    )


def windowed(array: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Returns Hounsfield units [...] in [0,1]; what lies beyond the window is clipped."""
    low, high = window
    return (np.clip(array, low, high) - low) / (high - low)
