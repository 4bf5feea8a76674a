"""How many requests are worked on and how many wait; what exceeds it is refused, never stored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from utils.serving.messages import Refused


class Limits(NamedTuple):
    """What a server gives to those who ask.

    Attributes:
        connections: requests that are read, answered or waiting at the same time.
        refusals: further connections that are told so at the same time; others are closed.
        read_seconds: longest wait for the next bytes of a request.
        request_seconds: longest wait for all of a request.
        write_seconds: longest wait until the next 64 kB of a reply are taken.
        waiting: requests that wait for the one computation.
        turn_seconds: how long they wait.
    """

    connections: int = 16
    refusals: int = 64
    read_seconds: float = 5.0
    request_seconds: float = 20.0
    write_seconds: float = 10.0
    waiting: int = 4
    turn_seconds: float = 60.0


USUAL = Limits()


class Turns:
    """Lets one computation run at a time."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._places = threading.BoundedSemaphore(limits.waiting + 1)
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits until nothing else is computed; Refused (503) if too many wait, or for too long."""
        if not self._places.acquire(blocking=False):
            sentence = f"{self._limits.waiting} requests wait already; try again in a moment."
            raise Refused(503, sentence, {"Retry-After": "2"})
        try:
            if not self._lock.acquire(timeout=self._limits.turn_seconds):
                sentence = "The computation before takes too long; try again later."
                raise Refused(503, sentence, {"Retry-After": "10"})
            try:
                yield
            finally:
                self._lock.release()
        finally:
            self._places.release()

    def finish(self, seconds: float) -> None:
        """Waits until the computation is over, at most for some seconds, and lets none begin."""
        self._lock.acquire(timeout=seconds)
