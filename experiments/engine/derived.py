"""What a network makes of a user's file: names of the outputs, their record, what is kept."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import numpy as np
from scipy import ndimage

from data.volumes import SUFFIXES, stem_of
from utils.errors import UserError
from utils.runs.files import read_json, write_json
from utils.runs.outputs import replacing_files

LONGEST_NAME = 215  # bytes; file systems take 255, and until it is written a file has 34 more
SCHEME = "brats2015"  # of labels without organ, if neither the user nor the run says
NOTICE = "Volumes made by a neural network; not for diagnosis."


class Output(NamedTuple):
    """Where the volumes made of a volume go.

    Attributes:
        source: the volume.
        folder: of what is made and its record.
        names: of the files, by what they show.
        record: name of the JSON file that tells what they were made from.
    """

    source: Path
    folder: Path
    names: Mapping[str, str]
    record: str


class Made(NamedTuple):
    """What is made of a label.

    Attributes:
        volumes: each sequence by name, int16 [D,H,W], 0..1000, and `label`, the label that they
            show, uint8 [D,H,W]. Of a slice: float32 [h,w] in [0,1], and uint8 [h,w].
        dice: by name of a part of the lesion, what the run's segmenter, which learned from real
            data alone, finds of it in the sequences; None where it was not asked.
    """

    volumes: Mapping[str, np.ndarray]
    dice: Optional[Mapping[str, float]]


def network_hash(settings: Any, *contents: bytes) -> str:
    """Returns the hash of what makes volumes: settings as JSON, then such as checkpoint indices.

    Volumes of the same input and hash are the same.
    """
    digest = hashlib.sha256(json.dumps(settings).encode())
    for content in contents:
        digest.update(content)
    return digest.hexdigest()


def numbered(names: Sequence[str]) -> str:
    """Returns classes with their numbers in words, such as "0 background, 1 brain"."""
    return ", ".join(f"{value} {name}" for value, name in enumerate(names))


def own_classes(
    path: Path, array: np.ndarray, names: Sequence[str], run: Path, remedy: str = ""
) -> np.ndarray:
    """Returns a label as uint8; UserError, with a further `remedy`, for numbers of no class.

    Args:
        path: the label's file.
        array: [D,H,W].
        names: the classes of the run.
        run: its folder.
        remedy: further words on what to give, such as ", or ...".
    """
    known = np.isin(array, range(len(names)))
    if not known.all():
        raise UserError(
            f"The label {path} holds the value {array[~known][0]:g}, which the run {run} does not "
            f"know; give a label of {numbered(names)}{remedy}"
        )
    return array.astype(np.uint8)


def told_scheme(path: Path, given: Optional[str], of_run: Optional[str]) -> str:
    """Returns the release whose values a lesion label has; prints it if none was given."""
    scheme = given or of_run or SCHEME
    if not given:
        print(f"{path}: values of {scheme}, as --label_scheme names none")
    return scheme


def check_lesion(path: Path, label: np.ndarray, first_lesion: int, organ: str, remedy: str) -> None:
    """Raises UserError for a label with less organ than lesion, or lesion that touches no organ.

    Such a label has other numbers than the run's, or its organ is that of another scan.

    Args:
        path: its file.
        label: [D,H,W], 0 outside, then the organ, from `first_lesion` on the lesion.
        first_lesion: number of the first class of the lesion.
        organ: name of the organ.
        remedy: what to give if the organ is none.
    """
    lesion = label >= first_lesion
    inside = (label > 0) & ~lesion
    if inside.sum() < lesion.sum():
        raise UserError(
            f"The label {path} has less {organ} than lesion, as if what it calls {organ} were "
            f"none; {remedy}"
        )
    pieces, _ = ndimage.label(lesion, np.ones((3, 3, 3)))
    near = ndimage.binary_dilation(inside, np.ones((3, 3, 3)))
    lost = lesion & ~np.isin(pieces, np.unique(pieces[near & lesion]))
    if lost.any():
        raise UserError(
            f"{lost.sum()} of the {lesion.sum()} lesion voxels of the label {path} lie outside of "
            f"the {organ}; move the lesion, or check that label and --anatomy are of one scan"
        )


def label_files(option: str, path: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Returns the labels that an option names, a file or those of a folder; UserError for none."""
    if path.is_file():
        return [path]
    found = sorted(file for file in path.glob("*") if file.name.lower().endswith(tuple(suffixes)))
    if not found:
        raise UserError(
            f"{option} {path} must be a label or a folder of them ({', '.join(suffixes)}), found "
            "none; check the path"
        )
    return found


def output_of(
    option: str,
    path: Path,
    out: Path,
    case: str,
    kinds: Sequence[str],
    suffixes: Sequence[str] = SUFFIXES,
) -> Output:
    """Returns where what is made of a file goes: OUT/<case>/<name>_synthetic_<kind>.

    Raises UserError, naming `option`, for a suffix that cannot be written, or a name too long.
    """
    if not path.name.lower().endswith(tuple(suffixes)):
        raise UserError(f"{option} {path} must be a file with the suffix {', '.join(suffixes)}")
    own = stem_of(path, suffixes)
    stem, suffix = f"{own}_synthetic", path.name[len(own) :]
    names = {kind: f"{stem}_{kind}{suffix}" for kind in kinds}
    length = max(len(os.fsencode(name)) for name in names.values())
    if length > LONGEST_NAME:
        raise UserError(
            f"{option} {path} has a name that is too long for those of what is made of it; shorten "
            f"it by {length - LONGEST_NAME} bytes"
        )
    return Output(path, out / case, names, f"{stem}{suffix}.json")


def not_there(
    outputs: Iterable[Output], record_of: Callable[[Path], Mapping[str, str]], overwrite: bool
) -> list[Output]:
    """Returns the outputs that have to be made: all with `overwrite`, else see `already_there`.

    `record_of` returns the record of a source. Raises UserError as `already_there` does.
    """
    return [o for o in outputs if overwrite or not already_there(o, record_of(o.source))]


def already_there(output: Output, record: Mapping[str, str]) -> bool:
    """Returns whether the volumes of an output exist, made from what `record` says; says so.

    Raises UserError for files that were made from something else.
    """
    files = [output.folder / name for name in (*output.names.values(), output.record)]
    present = [file for file in files if file.exists()]
    if present and _record(output.folder / output.record) != record:
        raise UserError(
            f"{present[0]} exists but is not known to be made from {output.source} by this run; "
            "add --overwrite to replace it, or choose another --out"
        )
    if present != files:
        return False
    for file in files[:-1]:
        print(f"{file} exists and is kept")
    return True


def _record(path: Path) -> object:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def origin(source: Path, network: str, **settings: str) -> dict[str, str]:
    """Returns the record of what a network made of a volume, which does not name the patient."""
    return {"notice": NOTICE, "input": file_hash(source), "network": network, **settings}


def file_hash(path: Path) -> str:
    """Returns a hash of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_derived(
    output: Output,
    contents: Mapping[str, Any],
    write: Callable[[Path, Any], None],
    record: Mapping[str, str],
) -> None:
    """Writes what was made by kind with a function of (file, content); all get their names at once.

    Files with these names are replaced. Raises UserError if a file cannot be written.
    """
    # The record comes first: whatever stands beside it is of this making.
    with replacing_files(output.folder, (output.record, *output.names.values())) as folder:
        write_json(folder / output.record, dict(record))
        for kind, name in output.names.items():
            write(folder / name, contents[kind])
    for name in output.names.values():
        print(output.folder / name)
