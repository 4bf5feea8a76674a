"""Files that appear whole or not at all, also when power fails or the disk is full.

What is written has a hidden name until it is flushed to the disk; then it is renamed, and the
folder is flushed. A killed process leaves the hidden name, which nothing reads.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Optional

from utils.errors import DiskFullError, UserError

ABANDONED = 24 * 3600.0  # seconds without a change after which nobody works on a hidden folder
_FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT)))
_HIDDEN = re.compile(r"\.[0-9a-f]{32}-")


@contextmanager
def naming_full_disk(folder: Path, needed: Optional[int] = None) -> Iterator[None]:
    """Raises DiskFullError instead of the errors that a write to a full disk causes.

    Args:
        folder: where something is written.
        needed: about how many bytes, if known.
    """
    try:
        yield
    except Exception as error:
        # Libraries put the system's words into exceptions of their own.
        full = any(words in str(error) for words in _FULL)
        # What an inner write has named is better named by its visible folder, if it was hidden.
        if not full and not (isinstance(error, DiskFullError) and _HIDDEN.search(str(error))):
            raise
        wanted = f"about {needed} bytes were to be written and " if needed else ""
        raise DiskFullError(
            f"The disk of {folder} is full: {wanted}{_free_bytes(folder)} bytes are free; free "
            "some space"
        ) from error


def _free_bytes(folder: Path) -> int:
    folder = Path(folder).absolute()
    return shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free


@contextmanager
def hidden(path: Path, needed: Optional[int] = None) -> Iterator[Path]:
    """Yields a hidden path beside `path`, same suffix, where nothing is left afterwards.

    Raises DiskFullError if the disk is full; `needed` bytes or so were to be written.
    """
    path = Path(path)
    with naming_full_disk(path.parent, needed):
        _make_folder(path.parent)
        temporary = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
        try:
            yield temporary
        finally:
            _remove(temporary)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):  # the write's own error is the one to tell
        path.unlink()


def remove_leftovers(
    folder: Path, chosen: Callable[[str], bool] = lambda name: True, older: float = 0
) -> None:
    """Removes files of `hidden` that killed processes left, if `chosen` is true for their names.

    No other process may be writing these files, or they must not have changed for `older` seconds,
    within which a process that writes them would change them.
    """
    for path in Path(folder).iterdir():
        match = _HIDDEN.match(path.name)
        if match and chosen(path.name[match.end() :]):
            with suppress(OSError):  # another process was faster
                if not older or time.time() - path.stat().st_mtime > older:
                    _remove(path)


def sync(path: Path) -> None:
    """Returns when a file's content, or a folder's list of names, would survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems flush no folders
            raise
    finally:
        os.close(descriptor)


def _sync_all(folder: Path) -> None:
    for path, _, files in os.walk(folder):
        for name in files:
            sync(Path(path) / name)
        sync(Path(path))


@contextmanager
def replacing(path: Path, needed: Optional[int] = None) -> Iterator[Path]:
    """Yields a hidden path beside `path` (same suffix) that takes its place on success.

    Raises DiskFullError as `hidden` does.
    """
    with replacing_all([path], needed) as (temporary,):
        yield temporary


@contextmanager
def replacing_all(paths: Sequence[Path], needed: Optional[int] = None) -> Iterator[list[Path]]:
    """Yields hidden paths like `replacing` for one or more files of one folder.

    They take their places in order, each whole or not at all, and the folder is flushed once.
    """
    paths = [Path(path) for path in paths]
    with ExitStack() as stack:
        temporaries = [stack.enter_context(hidden(path, needed)) for path in paths]
        yield temporaries
        for temporary in temporaries:
            sync(temporary)
        for temporary, path in zip(temporaries, paths):
            os.replace(temporary, path)
        sync(paths[0].parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields a new hidden folder beside `path` that takes its place on success.

    Whatever was there is removed then, and stays if anything fails. Only a process killed between
    the two renames leaves both folders with hidden names. Raises DiskFullError as `hidden` does.
    """
    path = Path(path)
    with hidden(path) as temporary, hidden(path) as former:
        temporary.mkdir()
        yield temporary
        _sync_all(temporary)
        if path.exists():
            os.replace(path, former)
        try:
            os.replace(temporary, path)
        except OSError:
            if former.exists():
                os.replace(former, path)
            raise
        sync(path.parent)


@contextmanager
def making_folder(path: Path, needed: Optional[int] = None) -> Iterator[Path]:
    """Yields a new hidden folder beside `path` that becomes it, unless another process was faster.

    Processes that make the same content need not wait for each other. What killed ones left a day
    ago is removed. Raises DiskFullError as `hidden` does.
    """
    path = Path(path)
    with hidden(path, needed) as temporary:
        remove_leftovers(path.parent, older=ABANDONED)
        temporary.mkdir()
        yield temporary
        _sync_all(temporary)
        try:
            os.rename(temporary, path)
        except OSError:
            if not path.is_dir():
                raise
        sync(path.parent)


def append_line(path: Path, line: str) -> None:
    """Adds a line to a UTF-8 text file; a failure can leave a part of it at the end.

    Raises DiskFullError if the disk is full.
    """
    path, content = Path(path), f"{line}\n".encode()
    with naming_full_disk(path.parent, len(content)), path.open("ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file atomically."""
    content = text.encode()
    with replacing(path, len(content)) as temporary:
        temporary.write_bytes(content)


def as_json(content: Any) -> str:
    """Returns the text of a JSON file, indented."""
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Writes indented JSON atomically."""
    write_text(path, as_json(content))


def check_regular(path: Path) -> None:
    """Raises UserError if a path is no regular file, such as a pipe, whose reading never ends."""
    if not Path(path).is_file():
        raise UserError(f"{path} is missing or no regular file; put back the file that was there")


def read_text(path: Path) -> str:
    """Returns a UTF-8 text file's content.

    Raises UserError if it is no regular file or no text.
    """
    check_regular(path)
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(path, error) from error


def read_json(path: Path, kind: type = object) -> Any:
    """Returns the content of a JSON file.

    Raises UserError if the file is damaged or its content is not of the Python type `kind`, such as
    dict.
    """
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    if not isinstance(content, kind):
        raise damaged(path, f"it holds a {type(content).__name__}, no {kind.__name__}")
    return content


def damaged(path: Path, why: object) -> UserError:
    """Returns the error for a file that cannot be read back; `why` is the reason."""
    reason = " ".join(str(why).split())
    return UserError(f"{path} is damaged ({reason}); put back the file that was there")
