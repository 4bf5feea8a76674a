"""Ctrl-C and SIGTERM as a request to save and stop; a second one stops at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Optional

INTERRUPTED = 130  # exit code
# Seconds in which another signal belongs to the same request: `timeout` of GNU coreutils signals
# the process and then its group, job schedulers the processes of a job one by one.
SAME_REQUEST = 1.0
_FIRST = b"\nstopping as soon as the state is saved; a second time stops at once, without saving\n"
_SECOND = b"\nstopped without saving; --resume continues from the last checkpoint\n"


class Interrupted(Exception):
    """The run was asked to stop and has saved its state; the text says where it stands."""


class StopSignal:
    """Context in which the first SIGINT or SIGTERM only sets `requested`; a later one exits.

    What arrives within a second of the first is the same request.

    Python runs signal handlers between compiled calls only, and one call may take minutes. Signals
    are therefore counted by a thread, which the interpreter tells of each as it arrives. Those that
    the process ignores stay ignored, as SIGINT is by the background jobs of a script.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> StopSignal:
        self.requested = False
        self._previous: dict = {}
        self._writing: Optional[int] = None
        if threading.current_thread() is threading.main_thread():
            self._install()
        return self

    def _install(self) -> None:
        reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._former = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in self.SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._note)
        self._thread = threading.Thread(target=self._count, args=(reading,), daemon=True)
        self._thread.start()

    def _note(self, number: int, frame: Optional[FrameType]) -> None:
        self.requested = True

    def _count(self, reading: int) -> None:
        first: Optional[float] = None
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            while number := pipe.read(1):
                if number[0] not in self.SIGNALS:
                    continue
                self.requested = True
                if first is None:
                    first = time.monotonic()
                    os.write(2, _FIRST)
                elif time.monotonic() - first > SAME_REQUEST:
                    os.write(2, _SECOND)
                    os._exit(INTERRUPTED)  # the main thread may not be back for minutes

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._writing is not None:
            signal.set_wakeup_fd(self._former)
            os.close(self._writing)  # which ends the thread when it has told of every signal
            self._thread.join()
