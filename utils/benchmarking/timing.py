"""Times of several actions side by side, with their spread."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Hashable, Mapping
from typing import Any, Callable, NamedTuple

import numpy as np
import tensorflow as tf


class Spread(NamedTuple):
    """Median and quartiles of repeated times, in the times' unit."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, times: list[float]) -> Spread:
        """Returns the spread of one or more times."""
        return cls(*map(float, np.percentile(times, [25, 50, 75])))


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Returns the seconds until every device has finished an action, and what it returns."""
    tf.test.experimental.sync_devices()
    start = time.perf_counter()
    result = action()
    tf.test.experimental.sync_devices()
    return time.perf_counter() - start, result


def interleaved(
    actions: Mapping[Hashable, Callable[[], Callable[[], Any]]], repeats: int
) -> dict[Hashable, list[float]]:
    """Returns the seconds of each action, `repeats` times.

    All actions take turns, so that whatever else the machine does strikes all alike; every other
    turn runs backwards. A first turn, which compiles, is left out.

    Args:
        actions: by name, the function that prepares and returns the action to be timed.
        repeats: number of turns that count.
    """
    times: dict[Hashable, list[float]] = {name: [] for name in actions}
    for turn in range(repeats + 1):
        for name in list(actions)[:: -1 if turn % 2 else 1]:
            taken, _ = timed(actions[name]())
            if turn:
                times[name].append(taken)
    return times


def peak_mib() -> float:
    """Returns the most memory that this process has had so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB elsewhere
