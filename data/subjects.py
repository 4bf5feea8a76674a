"""Finding the scans of each BRATS case on disk, for the `.mha` and the NIfTI releases.

A file is recognised by its name alone, so no naming can shift the pairing of modalities.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.contract import MODALITIES
from utils.errors import UserError

LABEL = "label"
GRADES = ("HGG", "LGG", "HG", "LG")


@dataclass(frozen=True)
class Naming:
    """How one family of releases names its files.

    `pattern` must match the whole file name, which rules out hidden copies (`._...`). Its group
    `kind` is a key of `kinds`; its group `case` names the case, where it is absent the patient's
    folder does.
    """

    name: str
    pattern: str
    kinds: Mapping[str, str]
    example: str


NAMINGS = (
    Naming(
        "VSD",
        r"VSD\.Brain.*\.(?P<kind>MR_T1|MR_T2|MR_T1c|MR_Flair|OT)(\.\d+)?\.mha",
        {"mr_t1": "T1", "mr_t2": "T2", "mr_t1c": "T1c", "mr_flair": "Flair", "ot": LABEL},
        "VSD.Brain.XX.O.MR_T1c.<id>.mha",
    ),
    Naming(
        "BraTS 2017-2021",
        r"(?P<case>Brats(17|18|19|20|2021)_\w+?)_(?P<kind>t1|t2|t1ce|flair|seg)\.nii(\.gz)?",
        {"t1": "T1", "t2": "T2", "t1ce": "T1c", "flair": "Flair", "seg": LABEL},
        "BraTS20_Training_001_t1ce.nii.gz",
    ),
    Naming(
        "BraTS-GLI",
        r"(?P<case>BraTS-GLI-\d{5}-\d{3})-(?P<kind>t1n|t2w|t1c|t2f|seg)\.nii(\.gz)?",
        {"t1n": "T1", "t2w": "T2", "t1c": "T1c", "t2f": "Flair", "seg": LABEL},
        "BraTS-GLI-00000-000-t1c.nii.gz",
    ),
)


@dataclass(frozen=True)
class Subject:
    """One case: a scan per modality (keys `MODALITIES`), its label and its `Naming.name`."""

    id: str
    images: Mapping[str, Path]
    label: Path
    naming: str


def find_subjects(root: Path) -> list[Subject]:
    """Finds every case below `root`, sorted by id.

    The id is the case's name; a name that occurs under two grade folders keeps the grade
    (`HGG_brats_2013_pat0001_1`). Hidden files and folders are ignored.

    Raises:
        UserError: no such folder, nothing recognised, or a case in which a modality or the label
            is missing or occurs twice.
    """
    return [_subject(case_id, *found) for case_id, found in sorted(_find_cases(root).items())]


def find_scans(root: Path, modality: str) -> dict[str, Path]:
    """Finds the scans of one modality below `root` by case id, whatever else a case has.

    Raises:
        UserError: no such folder, nothing recognised, or a case in which a scan occurs twice.
    """
    cases = sorted(_find_cases(root).items())
    scans = {case_id: files[modality] for case_id, (files, _) in cases if modality in files}
    if not scans:
        raise UserError(
            f"None of the {len(cases)} cases in {root} has a {modality} scan; add it, or name a "
            "file instead of the folder."
        )
    return scans


def _find_cases(root: Path) -> dict[str, tuple[dict[str, Path], str]]:
    """Returns by case id the files of each kind and the name of their naming."""
    root = Path(root).expanduser().resolve()
    if not root.is_dir():
        raise UserError(f"The data folder {root} does not exist or is not a folder; check --data.")
    cases: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    namings: dict[tuple[str, str], str] = {}
    for path in _files(root):
        recognised = _recognise(path)
        if recognised is None:
            continue
        naming, name, kind = recognised
        grade = next((part for part in path.relative_to(root).parts if part in GRADES), "")
        namings[grade, name] = naming.name
        known = cases[grade, name].setdefault(kind, path)
        if known != path:
            raise UserError(
                f"Case {name} has {kind} twice, in {known} and {path}; keep one of the two files."
            )
    if not cases:
        examples = ", ".join(naming.example for naming in NAMINGS)
        raise UserError(
            f"No BRATS case was found in {root} and its subfolders, which were searched for file "
            f"names such as {examples}; check --data."
        )
    occurrences = Counter(name for _, name in cases)
    return {
        f"{grade}_{name}" if grade and occurrences[name] > 1 else name: (
            files,
            namings[grade, name],
        )
        for (grade, name), files in cases.items()
    }


def _subject(case_id: str, files: Mapping[str, Path], naming: str) -> Subject:
    missing = [kind for kind in (*MODALITIES, LABEL) if kind not in files]
    if missing:
        example = next(iter(files.values()))
        raise UserError(
            f"Case {case_id} has no {' and no '.join(missing)} file (it has {example} and "
            f"{len(files) - 1} more); add what is missing or remove the case."
        )
    images = {modality: files[modality] for modality in MODALITIES}
    return Subject(case_id, images, files[LABEL], naming)


def _files(root: Path) -> Iterator[Path]:
    """Yields the files outside hidden folders in a fixed order; a linked folder counts once."""
    visited = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names))


def _recognise(path: Path) -> tuple[Naming, str, str] | None:
    """Returns the naming, the case's name and the kind of a file, or None for any other file."""
    for naming in NAMINGS:
        match = re.fullmatch(naming.pattern, path.name, re.IGNORECASE)
        if match:
            # Nested VSD releases wrap every scan in a folder of its own.
            wrapped = path.parent.name.lower().startswith("vsd.brain")
            folder = path.parent.parent if wrapped else path.parent
            name = match.groupdict().get("case") or folder.name
            return naming, name, naming.kinds[match["kind"].lower()]
    return None
