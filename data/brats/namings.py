"""How the BRATS releases name their files; a file is recognised by its name alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data.brats.names import MODALITIES

LABEL = "label"
KINDS = (*MODALITIES, LABEL)
BETWEEN = "__"  # patient and scan in the id of a case whose layout names both
# Group 1 is the patient, what follows it the time point. TCIA numbers count across both grades, so
# a grade in front of them is dropped; those of BRATS 2013 start again in each grade.
_SCANS_OF_A_PATIENT = (
    r"(?:[HL]GG?_)?(brats_tcia_pat\d+)_\d+",
    r"((?:[HL]GG?_)?brats_2013_pat\d+)_\d+",
    r"((?:[HL]GG?_)?Brats1[789]_\w+)_\d+",
    r"((?:[HL]GG?_)?BraTS-[A-Z]+-\d+)-\d{3}",
    rf"(.+?){BETWEEN}.+",
)


@dataclass(frozen=True)
class Naming:
    """How one family of releases names its files.

    `pattern` must match the whole file name, which rules out hidden copies (`._...`). Its group
    `kind` is a key of `kinds`; its group `case` names the case. Without this group the patient's
    folder names the case.
    """

    name: str
    pattern: str
    kinds: Mapping[str, str]
    example: str


def _family(name: str, words: str) -> Naming:
    """Returns the naming of a challenge since 2023; words such as GLI stand in its names."""
    return Naming(
        name,
        rf"(?P<case>BraTS-(?:{words})-\d+(?:-\d{{3}})?)-(?P<kind>t1n|t2w|t1c|t2f|seg)\.nii(\.gz)?",
        {"t1n": "T1", "t2w": "T2", "t1c": "T1c", "t2f": "Flair", "seg": LABEL},
        f"BraTS-{words.partition('|')[0]}-00000-000-t1c.nii.gz",
    )


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
    _family("BraTS-GLI", "GLI"),
    _family("BraTS-MET", "MET"),
    _family("BraTS-PED", "PED|PEDs"),
    # The others have one meaning of label values in all years; GoAT mixes these challenges.
    _family("BraTS-SSA, -MEN, -GoAT", "SSA|MEN|GoAT"),
)


def patient_of(case_id: str) -> str:
    """Returns the name shared by all scans of one patient (the id without its time point)."""
    for pattern in _SCANS_OF_A_PATIENT:
        match = re.fullmatch(pattern, case_id, re.IGNORECASE)
        if match:
            return match[1]
    return case_id


def kind_of(path: Path) -> str | None:
    """Returns the kind of volume, such as a modality, of a published file name; None if unknown."""
    found = recognise(path)
    return found and found[2]


def recognise(path: Path) -> tuple[Naming, str, str] | None:
    """Returns the naming, the case's name and the kind of a file, or None for any other file.

    A volume in a folder that is named like a volume has that folder's name, as Kaggle's copies do.
    """
    if path.name.startswith("."):
        return None
    folder = path.parent
    if is_nifti(path) and is_nifti(folder):
        return _by_name(folder) or _by_name(path)
    return _by_name(path)


def is_nifti(path: Path) -> bool:
    """Returns whether a name has the suffix of NIfTI."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def is_segmentation(path: Path) -> bool:
    """Returns whether a volume's name tells that it is a label, such as Kaggle's W39_..._Segm.nii.

    Names that end in words such as `_seg_prob` are others' and are not meant.
    """
    return bool(re.fullmatch(r".*[_.-]seg(m|mentation)?\.nii(\.gz)?", path.name, re.IGNORECASE))


def _by_name(path: Path) -> tuple[Naming, str, str] | None:
    for naming in NAMINGS:
        match = re.fullmatch(naming.pattern, path.name, re.IGNORECASE)
        if match:
            # Nested VSD releases wrap every scan in a folder of its own.
            wrapped = path.parent.name.lower().startswith("vsd.brain")
            folder = path.parent.parent if wrapped else path.parent
            name = match.groupdict().get("case") or folder.name
            return naming, name, naming.kinds[match["kind"].lower()]
    return None
