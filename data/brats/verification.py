"""Checks of a whole data set that tell everything that is wrong with each case.

The checks are those that the preparation of slices makes, which ends at the first problem.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable

import numpy as np
from tqdm import tqdm

from data.brats.label_schemes import resolve_scheme, to_2015
from data.brats.names import MODALITIES
from data.brats.slices import (
    SliceConfig,
    check_crop,
    chosen_slices,
    cut,
    extremes,
    slices_with_signal,
)
from data.brats.subjects import LABEL, Case
from data.contract import Verdict
from data.volumes import (
    Volume,
    check_finite,
    check_spacing,
    differing_properties,
    mismatch,
    read_any_values,
)
from utils.errors import UserError
from utils.runs.files import write_text

CHECKS_VERSION = 2  # raise it when a check becomes stricter: older verdicts count no longer
VERIFIED = "verified"


def verify_cases(
    cases: Sequence[Case],
    config: SliceConfig,
    cache: Path,
    again: bool = False,
    progress: bool = True,
) -> list[Verdict]:
    """Checks cases one by one; a case found good is not read again while its files stay the same.

    Only good verdicts are kept: what makes a file unreadable, such as its rights, may change
    without a trace in it.

    Args:
        cases: complete or not, see `data.brats.subjects.find_cases`.
        config: the part of each volume that has to be there, and the label scheme.
        cache: folder for the verdicts, in its subfolder `verified`; created.
        again: read every case, whatever the cache says.
        progress: whether a bar with the remaining time goes to stderr.

    Raises:
        UserError: the cache cannot be written.
    """
    records = {case.id: _record(case, config, Path(cache)) for case in cases}
    unknown = [c for c in cases if again or not (records[c.id] and records[c.id].exists())]
    problems = {}
    for case in tqdm(unknown, "Checking cases", unit="case", disable=not (progress and unknown)):
        problems[case.id] = case_problems(case, config)
        try:
            if records[case.id] and not problems[case.id]:
                write_text(records[case.id], f"{case.id}\n")
        except OSError as error:
            raise UserError(
                f"Cannot write verdicts to {cache} ({error.strerror}); choose another --cache."
            ) from error
    return [Verdict(case, problems.get(case.id, ())) for case in cases]


def case_problems(case: Case, config: SliceConfig) -> tuple[str, ...]:
    """Returns a sentence for everything that is wrong with one case.

    Each file is checked for damage, other dimensions than three, NaN and infinity, and for values
    that cannot be scaled; all of them for one grid, the spacing and the size of the crop, the label
    for the values of its release. A check whose files cannot be read is left out.
    """
    findings = _Findings([str(problem) for problem in case.problems()])
    read = {path: findings.of(read_any_values, path) for path in case.paths}
    volumes = {path: found[0] for path, found in read.items() if found is not None}
    finite = [path for path, v in volumes.items() if findings.passes(check_finite, path, v)]
    scheme = findings.of(resolve_scheme, [case], config.label_scheme)
    for path in case.files.get(LABEL, ()):
        if scheme and path in finite:
            findings.of(to_2015, volumes[path].array, scheme, path)
    images = [path for kind in MODALITIES for path in case.files.get(kind, ())]
    scalable = [
        path
        for path in images
        if path in finite and findings.of(extremes, path, volumes[path].array, config)
    ]
    if volumes and _check_grid(case, volumes, config, findings) and scalable == images:
        arrays = {path: volumes[path].array for path in images}
        _check_slices(f"Case {case.id}", arrays, config, findings)
    return tuple(findings.sentences)


class _Findings:
    """Runs checks and keeps the sentences of those that fail."""

    def __init__(self, sentences: list[str]):
        self.sentences = sentences

    def of(self, check: Callable, *arguments: Any) -> Any:
        """Returns what a check returns, None if it fails."""
        try:
            return check(*arguments)
        except UserError as error:
            self.sentences.append(str(error))
            return None

    def passes(self, check: Callable, *arguments: Any) -> bool:
        """Returns whether a check does not fail."""
        before = len(self.sentences)
        self.of(check, *arguments)
        return len(self.sentences) == before


def _check_grid(
    case: Case, volumes: Mapping[Path, Volume], config: SliceConfig, findings: _Findings
) -> bool:
    """Compares every volume with the grid that most have; returns whether all can be cut."""
    differences = {
        one: {other: list(differing_properties(volumes[one], volumes[other])) for other in volumes}
        for one in volumes
    }
    first = min(volumes, key=lambda path: sum(map(bool, differences[path].values())))
    for path, names in differences[first].items():
        for name in names:
            error = mismatch(name, first, volumes[first], path, volumes[path])
            findings.sentences.append(str(error))
    findings.of(check_spacing, first, volumes[first])
    shape, what = volumes[first].array.shape, f"Case {case.id} ({first})"
    sides = ("slices", "rows", "columns")
    fits = [findings.passes(check_crop, what, shape, config, (name,)) for name in sides]
    return all(fits) and all("shape" not in names for names in differences[first].values())


def _check_slices(
    what: str, arrays: Mapping[Path, np.ndarray], config: SliceConfig, findings: _Findings
) -> None:
    axial = findings.of(chosen_slices, what, arrays, config) if arrays else None
    if axial is not None:
        frames = np.stack([cut(array, axial, config) for array in arrays.values()], axis=-1)
        findings.of(slices_with_signal, what, frames, config)


def _record(case: Case, config: SliceConfig, cache: Path) -> Path | None:
    """Returns the file that exists once a case was found good, None for files out of reach.

    A file counts by path, size and the times of its modification and of any change, of which no
    program can set the latter back: hashing all bytes would take as long as the checks.
    """
    try:
        status = {str(path): path.stat() for path in case.paths}
    except OSError:  # such as a link to nothing; reading it tells
        return None
    stamps = [[p, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for p, s in status.items()]
    text = json.dumps([CHECKS_VERSION, asdict(config), case.naming, stamps], sort_keys=True)
    return cache / VERIFIED / hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]
