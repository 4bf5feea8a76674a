"""Results that are made once and kept, each beside the settings that it was made with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from utils.runs.files import as_json, read_json, replacing, write_json
from utils.runs.reading import read_arrays

SETTINGS = "settings"


def kept(path: Path, make: Callable[[], Mapping[str, Any]], settings: Any) -> dict[str, Any]:
    """Returns a result from its file; makes it first if it is missing or of other settings.

    Args:
        path: path of the file, which appears whole: .npz for arrays, .json for all else.
        make: function that returns the result.
        settings: all that the result depends on and that may change, as JSON can hold it.
    """
    found = read_kept(path, settings)
    if found is None:
        found = dict(make())
        _write(path, {SETTINGS: settings, **found})
    return found


def read_kept(path: Path, settings: Any) -> Optional[dict[str, Any]]:
    """Returns a kept result; None if there is none or it was made with other settings."""
    if not path.exists():
        return None
    content = _read(path)
    same = content.pop(SETTINGS, None) == json.loads(as_json(settings))
    return content if same else None


def _write(path: Path, content: Mapping[str, Any]) -> None:
    if path.suffix == ".json":
        write_json(path, content)
        return
    arrays = {name: value for name, value in content.items() if name != SETTINGS}
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays, **{SETTINGS: as_json(content[SETTINGS])})


def _read(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        return read_json(path, dict)
    content: dict[str, Any] = read_arrays(path)
    if SETTINGS in content:
        content[SETTINGS] = json.loads(str(content[SETTINGS]))
    return content
