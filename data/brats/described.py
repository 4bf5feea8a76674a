"""Data sets that describe themselves in a dataset.json: nnU-Net's raw folders, the Decathlon's.

Both have imagesTr and labelsTr; nnU-Net one file per modality (`channel_names`), the Medical
Segmentation Decathlon one four-dimensional file per case (`modality`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.brats.label_schemes import as_scheme
from data.brats.layouts import Layout, kind_named
from data.brats.names import EXPORTED_SLICES, LABEL_NAMES, MODALITIES
from data.brats.namings import LABEL
from utils.errors import UserError
from utils.runs.files import read_json

DESCRIPTION = "dataset.json"
# Beginnings of the words that data sets use, the more special ones first.
_CLASSES = (
    ("background", ("background", "resection", "rc", "cavity")),
    ("non-enhancing", ("nonenhanc", "net", "ncrnet", "netc")),
    ("enhancing", ("enhanc", "et", "at", "active", "gdenhanc")),
    ("necrosis", ("necro", "ncr", "cyst")),
    ("oedema", ("edema", "oedema", "ed", "peritumor", "snfh", "surround")),
)
_WHOLE = ("whole", "wt")  # regions; the smallest region of a value tells its class
_CORE = ("core", "tc", "tumorcore", "tumourcore")


def described_layout(path: Path) -> Layout | None:
    """Returns the layout that a dataset.json describes; None if the file is of another kind.

    Raises UserError if the file lacks a modality, or if the name of a label is unknown.
    """
    try:
        content = read_json(path)
        channels = content.get("channel_names") or content["modality"]
        labels, ending = content["labels"], content.get("file_ending", ".nii.gz")
        channels = {int(number): str(name) for number, name in channels.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    kinds = {kind_named(name): number for number, name in channels.items()}
    missing = [modality for modality in MODALITIES if modality not in kinds]
    if missing:
        raise UserError(
            f"{path} must name the channels {', '.join(MODALITIES)}, found "
            f"{', '.join(channels.values())}, without {', '.join(missing)}; correct their names, "
            "or give a data set that has all four."
        )
    own_files = any((path.parent / "imagesTr").glob(f"*_0000{ending}"))
    ends = {m: f"_{kinds[m]:04d}{ending}" if own_files else f"{ending}#{kinds[m]}" for m in kinds}
    patterns = {m: f"imagesTr/{{case}}{ends[m]}" for m in MODALITIES}
    patterns[LABEL] = f"labelsTr/{{case}}{ending}"
    return Layout(patterns, as_scheme(_meanings(path, labels)))


def is_export(path: Path) -> bool:
    """Returns whether a dataset.json is of slices that this project exported."""
    try:
        return path.is_file() and EXPORTED_SLICES in read_json(path)
    except (OSError, ValueError, TypeError):
        return False


def _meanings(path: Path, labels: Mapping[str, Any]) -> dict[int, str]:
    """Returns the class of each label value, from names or from nnU-Net's nested regions."""
    names: dict[int, list[str]] = {}
    for key, value in labels.items():
        if str(key).isdigit():  # the Decathlon's have numbers for keys
            key, value = value, int(key)
        for number in value if isinstance(value, (list, tuple)) else [value]:
            names.setdefault(int(number), []).append(str(key))
    nested = any(isinstance(value, (list, tuple)) for value in labels.values())
    found = {number: _class_of(words, nested) for number, words in names.items()}
    unknown = [names[number][0] for number, name in found.items() if name is None]
    if unknown:
        raise UserError(
            f"{path} must name the labels {', '.join(LABEL_NAMES)}, found {', '.join(unknown)}; "
            "correct the names, or describe the files in a layout file with its label_scheme "
            "(--slicing.layout)."
        )
    if "necrosis" not in found.values():  # one class for both, which is 1 since 2017
        found = {n: "necrosis" if name == "non-enhancing" else name for n, name in found.items()}
    return found


def _class_of(words: Sequence[str], nested: bool) -> str | None:
    """Returns the class of a label value from the names of all labels or regions that hold it."""
    plain = ["".join(filter(str.isalnum, word.lower())) for word in words]
    classes = [_named(word) for word in plain]
    for name in ("enhancing", "non-enhancing", "necrosis"):
        if name in classes:
            return name
    if nested and any(word.startswith(_CORE) for word in plain):
        return "non-enhancing"  # core that does not enhance
    if nested and any(word.startswith(_WHOLE) for word in plain):
        return "oedema"  # tumour beside its core
    return next(filter(None, classes), None)


def _named(word: str) -> str | None:
    short = len(word) <= 4  # abbreviations have to be the whole word
    for name, beginnings in _CLASSES:
        if any(word == b or (len(b) > 3 and not short and word.startswith(b)) for b in beginnings):
            return name
    return None
