"""Tables and arrays that a run reads back, checked: a damaged file is named in a sentence."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from utils.runs.files import check_regular, damaged, read_text

# What NumPy raises for files that are no archive of arrays.
UNREADABLE = (OSError, ValueError, AttributeError, TypeError, KeyError, EOFError, BadZipFile)


def read_table(path: Path, columns: Mapping[str, type]) -> pd.DataFrame:
    """Returns the table of a CSV file that has at least these columns, with these types.

    Raises UserError if the file is damaged or lacks one of the columns.
    """
    text = read_text(path)
    try:
        words = {name: kind for name, kind in columns.items() if kind is str}  # 0012 stays 0012
        table = pd.read_csv(io.StringIO(text), dtype=words)
        missing = [name for name in columns if name not in table]
        if missing:
            found = ", ".join(map(str, table.columns))
            raise ValueError(f"it must have the columns {', '.join(columns)}, found {found}")
        return table.astype(dict(columns))
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of an .npz file; UserError if the file is damaged."""
    check_regular(path)
    with Path(path).open("rb") as file:
        return arrays_of(path, file)


def arrays_of(path: Path, file: BinaryIO) -> dict[str, np.ndarray]:
    """Returns the arrays of an open .npz file; UserError, naming `path`, if it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except UNREADABLE as error:
        raise damaged(path, error) from error
