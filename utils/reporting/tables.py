"""Tables for people and programs: Markdown and CSV files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from utils.runs.files import write_text

MISSING = "-"  # a cell without a value
LARGE = 1e5  # numbers from here on have an exponent


def markdown_table(frame: pd.DataFrame, digits: int = 3) -> str:
    """Returns a data frame without its index as a Markdown table, one line per row.

    Args:
        frame: its column names are the header; a `|` in a text is escaped.
        digits: decimals of floating-point numbers; those of 100,000 or more get three digits and
            an exponent, missing values become "-".
    """
    header = [_cell(name, digits) for name in frame.columns]
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    rules = ["---:" if number else "---" for number in numeric]
    rows = [[_cell(value, digits) for value in row] for row in frame.itertuples(index=False)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rules, *rows))


def _cell(value: Any, digits: int) -> str:
    if value is None or (isinstance(value, (float, np.floating)) and np.isnan(value)):
        return MISSING
    if isinstance(value, (float, np.floating)):
        return f"{value:.3g}" if abs(value) >= LARGE else f"{value:.{digits}f}"
    return " ".join(str(value).replace("|", "\\|").split())


def spreadsheet_text(text: str) -> str:
    """Returns a CSV cell's text so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def bullets(texts: Iterable[str]) -> str:
    """Returns texts as a Markdown list."""
    return "\n".join(f"* {text}" for text in texts)


def page(parts: Iterable[str]) -> str:
    """Returns headings, paragraphs, tables and lists as one Markdown text, a blank line between."""
    return "\n\n".join(part.strip() for part in parts) + "\n"


def write_table(path: Path, frame: pd.DataFrame, text: str) -> None:
    """Writes a data frame as `path` with suffix .csv and a text about it with suffix .md.

    Args:
        path: of both files; its suffix is replaced.
        frame: written without its index, floating-point numbers in full.
        text: Markdown, such as a heading, `markdown_table` and a note.
    """
    write_text(Path(path).with_suffix(".csv"), frame.to_csv(index=False))
    write_text(Path(path).with_suffix(".md"), text)
