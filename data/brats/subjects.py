"""Finding the scans of each BRATS case on disk, for the `.mha` and the NIfTI releases.

A file is recognised by its name alone, so no naming can shift the pairing of modalities.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.brats.names import MODALITIES
from utils.errors import UserError

LABEL = "label"
KINDS = (*MODALITIES, LABEL)
GRADES = ("HGG", "LGG", "HG", "LG")
# Group 1 is the patient, what follows it the time point. TCIA numbers count across both grades, so
# a grade in front of them is dropped; those of BRATS 2013 start again in each grade.
_SCANS_OF_A_PATIENT = (
    r"(?:[HL]GG?_)?(brats_tcia_pat\d+)_\d+",
    r"((?:[HL]GG?_)?brats_2013_pat\d+)_\d+",
    r"((?:[HL]GG?_)?Brats1[789]_\w+)_\d+",
    r"((?:[HL]GG?_)?BraTS-GLI-\d{5})-\d{3}",
)


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


@dataclass(frozen=True)
class Case:
    """What lies below a folder of one case, complete or not.

    `files` holds what was found by kind (`MODALITIES`, then `LABEL`), in the order of their paths.
    """

    id: str
    files: Mapping[str, tuple[Path, ...]]
    naming: str

    def problems(self) -> list[UserError]:
        """Returns an error for each file that occurs twice, and one for all that are missing."""
        repeated = {kind: paths for kind, paths in self.files.items() if len(paths) > 1}
        found = [_repeated(self.id, kind, paths) for kind, paths in repeated.items()]
        missing = [kind for kind in KINDS if kind not in self.files]
        if missing:
            found.append(
                UserError(
                    f"Case {self.id} has no {' and no '.join(missing)} file (it has "
                    f"{self.paths[0]} and {len(self.paths) - 1} more); add what is missing or "
                    "remove the case."
                )
            )
        return found

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, in the order of `files`."""
        return tuple(path for paths in self.files.values() for path in paths)

    def subject(self) -> Subject:
        """Returns the case as a subject; UserError if it has a problem."""
        for problem in self.problems():
            raise problem
        images = {modality: self.files[modality][0] for modality in MODALITIES}
        return Subject(self.id, images, self.files[LABEL][0], self.naming)


def patient_of(case_id: str) -> str:
    """Returns the name shared by all scans of one patient (the id without its time point)."""
    for pattern in _SCANS_OF_A_PATIENT:
        match = re.fullmatch(pattern, case_id, re.IGNORECASE)
        if match:
            return match[1]
    return case_id


def find_scans(root: Path, modality: str, option: str = "--data") -> dict[str, Path]:
    """Finds the scans of one modality below `root` by case id, whatever else a case has.

    Args:
        root: the folder.
        modality: one of `MODALITIES`.
        option: what named the folder, for messages.

    Raises:
        UserError: no such folder, nothing recognised, or a case in which the scan occurs twice.
    """
    cases = find_cases(root, option)
    scans: dict[str, Path] = {}
    for case in cases:
        for path in case.files.get(modality, ()):
            if case.id in scans:
                raise _repeated(case.id, modality, case.files[modality])
            scans[case.id] = path
    if not scans:
        raise UserError(
            f"None of the {len(cases)} cases in {root} has a {modality} scan; add it, or name a "
            "file instead of the folder."
        )
    return scans


def kind_of(path: Path) -> str | None:
    """Returns the modality, or other kind of volume, that a published file name tells, or None."""
    found = _recognise(path)
    return found and found[2]


def find_cases(root: Path, option: str = "--data") -> list[Case]:
    """Finds every case below `root`, complete or not, sorted by id.

    The id is the case's name; a name that occurs under two grade folders keeps the grade
    (`HGG_brats_2013_pat0001_1`). Hidden files and folders are ignored.

    Args:
        root: the folder.
        option: what named the folder, for messages.

    Raises:
        UserError: no such folder, or nothing recognised.
    """
    root = Path(root).expanduser().resolve()
    if not root.is_dir():
        raise UserError(
            f"The data folder {root} does not exist or is not a folder; check {option}."
        )
    cases: dict[tuple[str, str], dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    namings: dict[tuple[str, str], str] = {}
    for path in _files(root):
        recognised = _recognise(path)
        if recognised is None:
            continue
        naming, name, kind = recognised
        grade = next((part for part in path.relative_to(root).parts if part in GRADES), "")
        namings[grade, name] = naming.name
        cases[grade, name][kind].append(path)
    if not cases:
        examples = ", ".join(naming.example for naming in NAMINGS)
        raise UserError(
            f"No BRATS case was found in {root} and its subfolders, which were searched for file "
            f"names such as {examples}; check {option}."
        )
    for grade, name in [key for key in cases if key[0]]:
        # A copy outside of the grades' folders is the same case twice, not another one.
        for kind, paths in cases.pop(("", name), {}).items():
            cases[grade, name][kind] += paths
    occurrences = Counter(name for _, name in cases)
    found = []
    for (grade, name), files in cases.items():
        case_id = f"{grade}_{name}" if grade and occurrences[name] > 1 else name
        ordered = {kind: tuple(files[kind]) for kind in KINDS if kind in files}
        found.append(Case(case_id, ordered, namings[grade, name]))
    return sorted(found, key=lambda case: case.id)


def _repeated(case_id: str, kind: str, paths: Sequence[Path]) -> UserError:
    times = "twice" if len(paths) == 2 else f"{len(paths)} times"
    return UserError(
        f"Case {case_id} has {kind} {times}, in {' and '.join(map(str, paths))}; keep one of these "
        "files."
    )


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
