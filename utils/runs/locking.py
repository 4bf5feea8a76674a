"""A folder belongs to one process at a time, by the operating system's lock on a file in it."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None

from utils.errors import UserError

LOCK = "lock.json"
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def locked(folder: Path, name: str = LOCK) -> Iterator[None]:
    """Keeps other processes out of a folder, which is made when missing, while its block runs.

    `lock.json` in the folder, or the file `name`, names the holder until the block ends; processes
    that lock different names share the folder. The lock itself is flock's, so it ends with the
    process, however that ends: the file that a killed process leaves locks nobody out. Between
    hosts it holds where a shared file system passes locks on, such as NFS with its lock manager or
    Lustre mounted with `flock`. Where it does not (NFS with `nolock`, Lustre with `localflock`), a
    process of another host is not kept out; a line tells that it was there. Where nothing can be
    locked, a line says so.

    Raises UserError if another process holds the lock, or for a folder that cannot be written.
    """
    path = Path(folder) / name
    try:
        descriptor = _acquire(path)
    except OSError as error:
        raise UserError(
            f"Cannot write to the folder {folder} ({error.strerror}); make it writable or choose "
            "another"
        ) from error
    try:
        yield
    finally:
        if descriptor is not None:
            if _is(descriptor, path):
                path.unlink()  # while it is locked: nobody else can hold the file of this name
            os.close(descriptor)


def _acquire(path: Path) -> Optional[int]:
    """Returns the descriptor of the locked file, or None where there are no locks."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "this system has no flock")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise _refusal(path) from error
        except OSError as error:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            if error.errno not in _UNSUPPORTED:
                raise
            reason = error.strerror
            _say(f"{path.parent} cannot be locked ({reason}); let no second run write to it")
            return None
        if _is(descriptor, path):
            _sign(descriptor, path)
            return descriptor
        os.close(descriptor)  # its holder removed it in between


def _is(descriptor: int, path: Path) -> bool:
    """Returns whether the open file still is the one of this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _sign(descriptor: int, path: Path) -> None:
    """Writes who holds the lock, after a line about a holder that did not remove its own."""
    host = socket.gethostname()
    before = _holder(path)
    if before.get("host", host) != host:
        _say(
            f"{path.parent} was left by {_words(before)}; stop this run if that one is still "
            "running, for not every file system passes locks on to other hosts"
        )
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    text = json.dumps({"pid": os.getpid(), "host": host, "since": since}) + "\n"
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def _holder(path: Path) -> dict[str, Any]:
    """Returns what a lock file says; nothing of one that is empty or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = isinstance(content, dict) and {"pid", "host", "since"} <= set(content)
    return content if known else {}


def _words(holder: dict[str, Any]) -> str:
    return "process {pid} on host {host} since {since}".format(**holder)


def _refusal(path: Path) -> UserError:
    holder = _holder(path)
    return UserError(
        f"The folder {path.parent} is in use by {_words(holder) if holder else 'another process'}; "
        "wait until that has ended, stop it, or choose another folder"
    )


def _say(sentence: str) -> None:
    print(f"note: {sentence}", file=sys.stderr)
