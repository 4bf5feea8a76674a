"""What a command line asks of a script; `experiments.engine.cli` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional


@dataclass(frozen=True)
class Request:
    """A parsed command line, or what stands for one.

    Attributes:
        out: the run directory.
        config: the resolved configuration.
        preset: name of the preset behind the configuration.
        data: the user's data folder, or None for the phantom.
        run: the finished run that `--run` names, or None.
        cache: folder of phantom and prepared slices.
        stages: names of the stages to run, in order.
        resume: continue an existing run.
        devices: number of devices, or None for all.
        precision: Keras' mixed-precision policy.
        skip_bad: leave bad cases of the data out of a new run instead of refusing them.
        dry_run: only print.
        debug: show tracebacks.
        command: the words that repeat this run with `--resume`.
        options: values of the script's own options by `Option.field`.
        changes: of a resumed run's settings by this start, as "name: old -> new".
        changed: whether this start or an earlier one has changed them.
    """

    out: Path
    config: Any
    preset: str = ""
    data: Optional[Path] = None
    run: Optional[Path] = None
    cache: Path = Path()
    stages: Sequence[str] = ()
    resume: bool = False
    devices: Optional[int] = None
    precision: str = "float32"
    skip_bad: bool = False
    dry_run: bool = False
    debug: bool = False
    command: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    changed: bool = False
