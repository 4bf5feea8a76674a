"""Outputs in places that users name: where they may go, and old ones that make way for new ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from utils.errors import UserError
from utils.runs.files import hidden, sync


def check_output_file(option: str, path: Path, overwrite: bool) -> None:
    """Raises UserError unless a file may be made at `path`; to be called before long work.

    Args:
        option: the option that names the file, for the message.
        path: path of the file.
        overwrite: whether it may replace an earlier one.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{option} {path} is a folder; give a file")
    if path.exists() and not overwrite:
        raise UserError(f"{option} {path} exists; add --overwrite or choose another file")
    _check_writable(option, path, path.parent)


def check_output_folder(option: str, path: Path) -> None:
    """Raises UserError unless files may be made in a folder `path`; it need not be there yet."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"{option} {path} is a file; give a folder")
    _check_writable(option, path, path)


def _check_writable(option: str, path: Path, folder: Path) -> None:
    folder = folder.absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(
            f"{option} {path} cannot be written, for {there} is no folder that this user may write "
            "to; choose another place"
        )


@contextmanager
def replacing_files(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yields a hidden folder, whose files `names` take the places of those in `folder` on success.

    The old ones are gone before the first new one appears, so that files of different makings are
    never side by side, and they stay if anything fails before. The first of `names` comes first and
    goes last: it can tell what the others were made from. The last can tell that all are there.

    Raises DiskFullError if the disk is full.
    """
    folder = Path(folder)
    with hidden(folder / "files") as temporary:
        temporary.mkdir()
        yield temporary
        for name in names:
            sync(temporary / name)
        for name in reversed(names):
            (folder / name).unlink(missing_ok=True)
        sync(folder)
        for name in names:
            os.replace(temporary / name, folder / name)
        sync(folder)
