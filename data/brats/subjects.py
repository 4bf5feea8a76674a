"""Finding the scans of each BRATS case on disk: `.mha` and NIfTI releases, and other layouts.

A file is recognised by its name, or by what a layout or dataset.json says, so that no naming can
shift the pairing of modalities.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data import contract
from data.brats.described import DESCRIPTION, described_layout
from data.brats.layouts import EXAMPLE, Layout, read_layout
from data.brats.layouts import OPTION as LAYOUT_OPTION
from data.brats.names import MODALITIES
from data.brats.namings import KINDS, LABEL, NAMINGS, is_nifti, is_segmentation, recognise
from data.volumes import file_of
from utils.errors import UserError

GRADES = ("HGG", "LGG", "HG", "LG")


@dataclass(frozen=True)
class Subject:
    """One complete case: a scan per modality (keys `MODALITIES`), its label; see `Case`."""

    id: str
    images: Mapping[str, Path]
    label: Path
    naming: str
    scheme: str = ""


@dataclass(frozen=True)
class Case:
    """The files of one case that were found in a folder, complete or not.

    `files` holds what was found by kind (`MODALITIES`, then `LABEL`), in the order of their paths;
    a path may end in #k, see `data.volumes.file_of`. `scheme` is the label scheme that a
    dataset.json or layout gives, "" if the file names tell it. `notes` are sentences for the user.
    """

    id: str
    files: Mapping[str, tuple[Path, ...]]
    naming: str
    scheme: str = ""
    notes: tuple[str, ...] = ()

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
        """All files, in the order of `files`, each once."""
        return tuple(dict.fromkeys(map(file_of, self.volumes)))

    @property
    def volumes(self) -> tuple[Path, ...]:
        """The paths of all volumes, in the order of `files`."""
        return tuple(path for paths in self.files.values() for path in paths)

    def subject(self) -> Subject:
        """Returns the case as a subject; UserError if it has a problem."""
        for problem in self.problems():
            raise problem
        images = {modality: self.files[modality][0] for modality in MODALITIES}
        return Subject(self.id, images, self.files[LABEL][0], self.naming, self.scheme)


def grade_of(case: contract.Case) -> str:
    """Returns the grade of a case, H or L, by the folder it lies in; "" where none tells."""
    found = (part for path in case.paths for part in path.parts[:-1] if part in GRADES)
    return next(found, "")[:1]


def find_scans(
    root: Path, modality: str, option: str = "--data", layout: str | None = None
) -> dict[str, Path]:
    """Finds each case's scan of one modality below `root`, by case id; others may be missing.

    Args:
        root: the folder.
        modality: one of `MODALITIES`.
        option: the option that names the folder, for messages.
        layout: see `find_cases`.

    Raises:
        UserError: no such folder, nothing recognised, or a case in which the scan occurs twice.
    """
    cases = find_cases(root, layout, option)
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


def find_cases(root: Path, layout: str | None = None, option: str = "--data") -> list[Case]:
    """Finds every case below `root`, complete or not, sorted by id.

    The id is the case's name; a name that occurs under two grade folders keeps the grade
    (`HGG_brats_2013_pat0001_1`). Hidden files and folders are ignored. If no file name is known, a
    dataset.json can describe the cases, see `data.brats.described`.

    Args:
        root: the folder.
        layout: text of `data.brats.layouts.layout_text`, which replaces the known file names.
        option: the option that names the folder, for messages.

    Raises:
        UserError: no such folder, or nothing recognised.
    """
    root = Path(root).expanduser().resolve()
    if not root.is_dir():
        raise UserError(
            f"The data folder {root} does not exist or is not a folder; check {option}."
        )
    files = list(_files(root))
    if layout is not None:
        cases = _by_layout(root, files, read_layout(layout), LAYOUT_OPTION)
        wanted = f"files as {LAYOUT_OPTION} {layout} describes them"
    else:
        cases = _by_names(root, files) or _by_description(files)
        wanted = f"file names such as {', '.join(naming.example for naming in NAMINGS)}"
    if not cases:
        raise _nothing(root, files, wanted, option)
    return sorted(cases, key=lambda case: case.id)


def _nothing(root: Path, files: Sequence[Path], wanted: str, option: str) -> UserError:
    volumes = [path for path in files if is_nifti(path) or path.suffix.lower() == ".mha"]
    found = f"; found {len(volumes)} others such as {volumes[0]}" if volumes else ""
    # Only where training data is looked for can a layout be given.
    other = f", or describe the names in a YAML file for {LAYOUT_OPTION}, such as {EXAMPLE}"
    return UserError(
        f"No BRATS case was found in {root} and its subfolders, which were searched for {wanted}, "
        f"and for {DESCRIPTION} of nnU-Net and the Decathlon{found}; check {option}"
        f"{other if option == '--data' else ''}."
    )


def _by_names(root: Path, files: Iterable[Path]) -> list[Case]:
    """Returns the cases whose files have published names; the label may have another name."""
    cases: dict[tuple[str, str], dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    namings: dict[tuple[str, str], str] = {}
    labels: dict[Path, list[Path]] = defaultdict(list)
    for path in files:
        recognised = recognise(path)
        if recognised is None:
            if is_segmentation(path):
                labels[path.parent].append(path)
            continue
        naming, name, kind = recognised
        grade = next((part for part in path.relative_to(root).parts if part in GRADES), "")
        namings[grade, name] = naming.name
        cases[grade, name][kind].append(path)
    for grade, name in [key for key in cases if key[0]]:
        # A copy outside of the grades' folders is the same case twice, not another one.
        for kind, paths in cases.pop(("", name), {}).items():
            cases[grade, name][kind] += paths
    occurrences = Counter(name for _, name in cases)
    found = []
    for (grade, name), kinds in cases.items():
        case_id = f"{grade}_{name}" if grade and occurrences[name] > 1 else name
        case = Case(case_id, _in_order(kinds), namings[grade, name])
        found.append(_with_label(case, labels))
    return found


def _with_label(case: Case, labels: Mapping[Path, Sequence[Path]]) -> Case:
    """Gives a case without label the only other file in its folder with a name of a label."""
    folders = {path.parent for path in case.volumes}
    others = labels.get(next(iter(folders)), ()) if len(folders) == 1 else ()
    if LABEL in case.files or len(others) != 1:
        return case
    files = {**case.files, LABEL: (others[0],)}
    note = f"the label is {others[0].name}, by its name the only one in the folder"
    return replace(case, files=files, notes=(*case.notes, note))


def _by_description(files: Iterable[Path]) -> list[Case]:
    """Returns the cases of the folders that a dataset.json describes."""
    found, files = [], list(files)
    for path in files:
        layout = described_layout(path) if path.name == DESCRIPTION else None
        if layout is not None:
            below = [file for file in files if path.parent in file.parents]
            found += _by_layout(path.parent, below, layout, DESCRIPTION)
    return found


def _by_layout(root: Path, files: Iterable[Path], layout: Layout, naming: str) -> list[Case]:
    cases: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in files:
        for name, kind, channel in layout.recognise(path.relative_to(root).as_posix()):
            cases[name][kind].append(path.with_name(path.name + channel))
    return [Case(name, _in_order(kinds), naming, layout.scheme) for name, kinds in cases.items()]


def _in_order(kinds: Mapping[str, Sequence[Path]]) -> dict[str, tuple[Path, ...]]:
    return {kind: tuple(kinds[kind]) for kind in KINDS if kind in kinds}


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
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
