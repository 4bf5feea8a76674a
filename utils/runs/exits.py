"""How a script ends: exit codes 0 done, 1 failed, 2 bad usage or bad data, 130 interrupted."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable

from utils.errors import DiskFullError, TrainingError, UserError
from utils.runs.names import printable
from utils.training.signals import INTERRUPTED, Interrupted

MISTAKES = (UserError, DiskFullError, TrainingError, OSError, MemoryError)


def _mistakes() -> tuple[type[BaseException], ...]:
    """Returns the exceptions told in one sentence, with TensorFlow's only if it is imported."""
    tensorflow = sys.modules.get("tensorflow")
    return MISTAKES if tensorflow is None else (*MISTAKES, tensorflow.errors.OpError)


@dataclass
class End:
    """How a script ended: its exit code."""

    code: int = 0


@contextmanager
def ending(after_interrupt: Callable[[], str]) -> Iterator[End]:
    """Turns mistakes of the user into one sentence and an exit code; `--debug` shows tracebacks.

    `after_interrupt` says after Ctrl-C or on a full disk what is left and how to go on.
    """
    # SIGTERM outside of training behaves like Ctrl-C, also where that is ignored.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Systems are compiled one by one on purpose; TensorFlow takes that for accidental retracing.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    end = End()
    try:
        yield end
    except (KeyboardInterrupt, Interrupted) as stop:
        where = f" ({stop})" if str(stop) else ""
        print(f"\ninterrupted{where}, {after_interrupt()}", file=sys.stderr)
        end.code = INTERRUPTED
    except _mistakes() as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        rest = f"; {after_interrupt()}" if isinstance(error, DiskFullError) else ""
        print(printable(f"error: {_sentence(error)}{rest}", kept="\n"), file=sys.stderr)
        end.code = 2 if isinstance(error, UserError) else 1


def _sentence(error: BaseException) -> str:
    """Returns what went wrong, and what to do, where the error itself does not say it."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({error}); take smaller batches"
    if isinstance(error, OSError) and error.filename:
        reason = f"{error.filename} cannot be used ({error.strerror})"
        return f"{reason}; check the path and its permissions"
    return str(error)


def exit_code(work: Callable[[], None], after_interrupt: Callable[[], str]) -> int:
    """Runs a script's work as `ending` says and returns the exit code."""
    with ending(after_interrupt) as end:
        work()
    return end.code
