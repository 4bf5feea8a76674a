"""Ctrl-C and SIGTERM as a request to save and stop; a second one stops at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Optional


class Interrupted(Exception):
    """The run was asked to stop and has saved its state; the text says where it stands."""


class StopSignal:
    """Context in which the first SIGINT or SIGTERM only sets `requested`."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> StopSignal:
        self.requested = False
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def _note(self, number: int, frame: Optional[FrameType]) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __exit__(self, *_: object) -> None:
        self._restore()
