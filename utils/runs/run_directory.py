"""The run directory: configuration, environment, metrics, checkpoints, pictures, TensorBoard.

config.json  environment.json  splits.json  skipped_cases.json  metrics.json  metrics.jsonl
report.html  tensorboard/<stage>/  checkpoints/<stage>/  samples/*.png  synthetic/  faults/*.json
lock.json, while a process writes to the directory (see `utils.runs.locking`)
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.runs.files import append_line, read_json, read_text, write_json, write_text


class RunDirectory:
    """Paths and small files of one run; large ones are written by their owners.

    Args:
        path: the directory; created when missing.
        writes: False for processes that only compute (workers other than the chief).
    """

    def __init__(self, path: Path, writes: bool = True):
        self.path = Path(path)
        self.writes = writes
        self.config_file = self.path / "config.json"
        self.environment = self.path / "environment.json"
        self.splits = self.path / "splits.json"
        self.skipped_cases = self.path / "skipped_cases.json"
        self.metrics = self.path / "metrics.json"
        self.history = self.path / "metrics.jsonl"
        self.report = self.path / "report.html"
        self.samples = self.path / "samples"
        self.synthetic = self.path / "synthetic"
        self.faults = self.path / "faults"
        if not writes:
            return
        try:
            self.samples.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"Cannot write to the run directory {path} ({error.strerror}); choose another --out"
            ) from error

    def checkpoints(self, stage: str) -> Path:
        """Returns the checkpoint folder of a stage."""
        return self.path / "checkpoints" / stage

    def tensorboard(self, stage: str) -> Path:
        """Returns the TensorBoard folder of a stage."""
        return self.path / "tensorboard" / stage

    def append_history(self, row: Mapping[str, Any]) -> None:
        """Appends one line to metrics.jsonl."""
        append_line(self.history, json.dumps(row, allow_nan=False))

    def read_history(self) -> list[dict[str, Any]]:
        """Returns the lines of metrics.jsonl; a last line cut off by a crash is left out.

        Raises UserError if another line is not a line of the history.
        """
        if not self.history.exists():
            return []
        rows = []
        for number, line in enumerate(read_text(self.history).splitlines(), 1):
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError):
                continue
            if not _is_row(row):
                raise UserError(
                    f"Line {number} of {self.history} is no line of a training's history; remove it"
                )
            rows.append(row)
        return rows

    def rewind_history(self, stage: str, step: int) -> None:
        """Drops what a crash left: a stage's lines beyond `step` and a line that was cut off."""
        kept = [row for row in self.read_history() if row["stage"] != stage or row["step"] <= step]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        if self.history.exists() and self.history.read_text(encoding="utf-8") != text:
            write_text(self.history, text)

    def earlier_settings(self) -> list[dict[str, Any]]:
        """Returns preset, precision and configuration before each change after the start."""
        if not self.config_file.exists():
            return []
        return read_json(self.config_file, dict).get("earlier", [])

    def read_metrics(self) -> dict[str, float]:
        """Returns the flat metrics so far; UserError if the file has other than finite numbers."""
        if not self.metrics.exists():
            return {}
        metrics = read_json(self.metrics, dict)
        wrong = [name for name, value in metrics.items() if not _is_number(value)]
        if wrong:
            raise UserError(
                f"{self.metrics} holds {wrong[0]}: {metrics[wrong[0]]!r}, expected finite numbers; "
                "put back the file that was there"
            )
        return metrics

    def update_metrics(self, values: Mapping[str, float], instead_of: str = "") -> None:
        """Adds flat keys such as `segmentation/real/T1/dice_wt` to metrics.json.

        Earlier keys that begin with `instead_of` go, if it is given.
        """
        earlier = self.read_metrics()
        if instead_of:
            earlier = {k: v for k, v in earlier.items() if not k.startswith(instead_of)}
        merged = {**earlier, **{key: float(value) for key, value in values.items()}}
        write_json(self.metrics, dict(sorted(merged.items())))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_row(row: Any) -> bool:
    """Whether a history line has a text "stage", a "step", and otherwise only finite numbers."""
    if not isinstance(row, dict) or not isinstance(row.get("stage"), str):
        return False
    numbers = {name: value for name, value in row.items() if name != "stage"}
    return "step" in numbers and all(map(_is_number, numbers.values()))
