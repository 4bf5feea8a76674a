"""A training script's or table's command line as it was read; experiments/launch.py reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional


@dataclass(frozen=True)
class Launch:
    """A parsed command line.

    Attributes:
        preset: name of the preset behind the configuration.
        config: the resolved configuration.
        data: the user's data folder, or None for the phantom.
        source: the finished main run that `--run` names, or None.
        out: the run directory.
        cache: folder of phantom and prepared slices.
        stages: the stages to run, in order.
        resume: continue an existing run.
        devices: number of devices, or None.
        precision: Keras' mixed-precision policy.
        skip_bad: leave bad cases of the data out of a new run instead of refusing them.
        dry_run: only print.
        debug: show tracebacks.
        command: the words that repeat this run with `--resume`.
        options: values of the script's own options by `Option.field`.
        changes: of a resumed run's settings by this start, as "name: old -> new".
        changed: whether this start or an earlier one has changed them.
    """

    preset: str
    config: Any
    data: Optional[Path]
    source: Optional[Path]
    out: Path
    cache: Path
    stages: Sequence[str]
    resume: bool
    devices: Optional[int]
    precision: str
    skip_bad: bool
    dry_run: bool
    debug: bool
    command: str
    options: Mapping[str, Any]
    changes: tuple[str, ...] = ()
    changed: bool = False
