"""Checks a whole data set and reports everything that is wrong with each case.

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

from data.brats.label_schemes import possible_schemes, resolve_scheme, rounding_note, to_2015
from data.brats.names import MODALITIES
from data.brats.namings import LABEL
from data.brats.preparation import (
    RESAMPLING,
    chosen_slices,
    on_millimetres,
    slices_with_signal,
)
from data.brats.scaling import darkness_note, extremes, zero_point
from data.brats.slices import SLICE_MAXIMUM, SliceConfig
from data.brats.subjects import Case
from data.brats.windows import SIDES, check_crop, cut, frame_note
from data.grids import Volume, check_spacing, differing_properties, mismatch
from data.verdicts import Verdict
from data.volumes import check_finite, read_any_values
from utils.errors import UserError
from utils.runs.files import read_json, write_json

# Raise it when a check becomes stricter or a note is added: older verdicts count no longer.
CHECKS_VERSION = 4
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
    known = {} if again else {case.id: _kept(case, records[case.id]) for case in cases}
    unknown = [case for case in cases if not known.get(case.id)]
    for case in tqdm(unknown, "Checking cases", unit="case", disable=not (progress and unknown)):
        verdict = known[case.id] = case_verdict(case, config)
        try:
            if records[case.id] and not verdict.problems:
                write_json(records[case.id], {"notes": verdict.notes, "lesions": verdict.lesions})
        except OSError as error:
            raise UserError(
                f"Cannot write verdicts to {cache} ({error.strerror}); choose another --cache."
            ) from error
    return [known[case.id] for case in cases]


def _kept(case: Case, record: Path | None) -> Verdict | None:
    """Returns the good verdict that a record keeps, None if there is none."""
    try:
        content = read_json(record) if record else {}
        return Verdict(case, (), tuple(content["notes"]), content["lesions"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def case_verdict(case: Case, config: SliceConfig) -> Verdict:
    """Returns all problems of one case, or notes on the preparation of a good case.

    Each file is checked for damage, a number of dimensions other than three, NaN, infinity, and
    values that cannot be scaled. All files must have the same grid, the required spacing and room
    for the crop; the label must have values of its scheme only. Checks whose files cannot be read
    are left out.
    """
    findings = _Findings([str(problem) for problem in case.problems()], list(case.notes))
    read = {path: findings.of(read_any_values, path) for path in case.volumes}
    volumes = {path: found[0] for path, found in read.items() if found is not None}
    finite = [path for path, v in volumes.items() if findings.passes(check_finite, path, v)]
    if config.resample and len(finite) == len(case.volumes) and _one_grid(volumes):
        volumes = on_millimetres(volumes, case.files.get(LABEL, ()))
    labels = _check_labels(case, {path: volumes[path] for path in finite}, config, findings)
    images = [path for kind in MODALITIES for path in case.files.get(kind, ())]
    scalable = [
        path
        for path in images
        if path in finite and findings.of(extremes, path, volumes[path].array, config)
    ]
    lesions = None
    if volumes and _check_grid(case, volumes, config, findings) and scalable == images:
        arrays = {path: volumes[path].array for path in images}
        axial = _check_slices(f"Case {case.id}", arrays, config, findings)
        if len(labels) == 1 and axial is not None:
            lesions = int(cut(labels[0], axial, config).any(axis=(1, 2)).sum())
    if not findings.sentences:
        arrays = {kind: volumes[case.files[kind][0]].array for kind in MODALITIES}
        findings.notes += _notes(arrays, config)
    return Verdict(case, tuple(dict.fromkeys(findings.sentences)), tuple(findings.notes), lesions)


def _notes(arrays: Mapping[str, np.ndarray], config: SliceConfig) -> list[str]:
    """Returns what the preparation does to the volumes [D,H,W] of a good case, by modality."""
    kinds: dict[str, list[str]] = {}
    for kind, array in arrays.items() if config.scaling != SLICE_MAXIMUM else ():
        low, note = zero_point(array)
        for text in (note, darkness_note(array, low, config)):
            kinds.setdefault(text, []).append(kind)
    notes = [f"{', '.join(names)}: {note}" for note, names in kinds.items() if note]
    frame = frame_note(next(iter(arrays.values())).shape, config)
    return [*notes, frame] if frame else notes


class _Findings:
    """Runs checks and keeps the sentences of those that fail; `notes` are no complaints."""

    def __init__(self, sentences: list[str], notes: list[str]):
        self.sentences = sentences
        self.notes = notes

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


def _check_labels(
    case: Case, volumes: Mapping[Path, Volume], config: SliceConfig, findings: _Findings
) -> list[np.ndarray]:
    """Returns the case's labels with the 2015 meaning, those that can be read."""
    scheme = findings.of(resolve_scheme, [case], config.label_scheme)
    usual = [case.scheme] if case.scheme else possible_schemes(case.naming)
    if config.label_scheme and usual and config.label_scheme not in usual:
        meant = " or ".join(usual)
        findings.notes.append(f"labels are read as {config.label_scheme}, not as {meant}")
    found = []
    for path in case.files.get(LABEL, ()):
        if scheme and path in volumes:
            found.append(findings.of(to_2015, volumes[path].array, scheme, path))
            note = rounding_note(volumes[path].array)
            findings.notes += [note] if note else []
    return [label for label in found if label is not None]


def _differences(volumes: Mapping[Path, Volume]) -> dict[Path, dict[Path, list[str]]]:
    """Returns in which properties of their grids each two volumes differ."""
    return {
        one: {other: list(differing_properties(volumes[one], volumes[other])) for other in volumes}
        for one in volumes
    }


def _one_grid(volumes: Mapping[Path, Volume]) -> bool:
    return not any(names for row in _differences(volumes).values() for names in row.values())


def _check_grid(
    case: Case, volumes: Mapping[Path, Volume], config: SliceConfig, findings: _Findings
) -> bool:
    """Compares every volume with the grid that most have; returns whether all can be cut."""
    differences = _differences(volumes)
    first = min(volumes, key=lambda path: sum(map(bool, differences[path].values())))
    for path, names in differences[first].items():
        for name in names:
            error = mismatch(name, first, volumes[first], path, volumes[path])
            findings.sentences.append(str(error))
    findings.of(check_spacing, first, volumes[first], RESAMPLING)
    shape, what = volumes[first].array.shape, f"Case {case.id} ({first})"
    fits = [findings.passes(check_crop, what, shape, config, (name,)) for name in SIDES]
    return all(fits) and all("shape" not in names for names in differences[first].values())


def _check_slices(
    what: str, arrays: Mapping[Path, np.ndarray], config: SliceConfig, findings: _Findings
) -> np.ndarray | None:
    """Returns the numbers [S] of the slices that are used, None if there are none."""
    axial = findings.of(chosen_slices, what, arrays, config) if arrays else None
    if axial is None:
        return None
    frames = np.stack([cut(array, axial, config) for array in arrays.values()], axis=-1)
    kept = findings.of(slices_with_signal, what, frames, config)
    return None if kept is None else axial[kept]


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
    known = [CHECKS_VERSION, asdict(config), case.naming, case.scheme, stamps]
    text = json.dumps(known, sort_keys=True)
    return cache / VERIFIED / hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]
