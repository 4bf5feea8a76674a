"""Parts of a data set, such as training and test, divided by patient so that nothing leaks."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations, islice
from pathlib import Path

from utils.errors import UserError
from utils.runs.files import write_json

# Group 1 is the patient, what follows it the time point. TCIA numbers count across both grades, so
# a grade in front of them is dropped; those of BRATS 2013 start again in each grade.
_SCANS_OF_A_PATIENT = (
    r"(?:[HL]GG?_)?(brats_tcia_pat\d+)_\d+",
    r"((?:[HL]GG?_)?brats_2013_pat\d+)_\d+",
    r"((?:[HL]GG?_)?Brats1[789]_\w+)_\d+",
    r"((?:[HL]GG?_)?BraTS-GLI-\d{5})-\d{3}",
)
# Patients of TC-MGAN's three parts (section 4.1 of the paper), 285 in all.
TC_MGAN_SHARES = {"test": 85, "gan": 100, "train": 100}


@dataclass(frozen=True)
class Split:
    """The subject ids of each part, sorted.

    Attributes:
        train: what networks learn from.
        test: what they are scored on.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Writes the split as JSON, a list per part; the file appears whole or not at all."""
        write_json(path, asdict(self))

    def check_subjects(self, ids: Iterable[str], path: Path) -> None:
        """Refuses data whose cases are not exactly those of this split, read from `path`.

        Raises:
            UserError: names up to three cases that are gone and three that are new.
        """
        expected, found = set().union(*asdict(self).values()), set(ids)
        changes = [
            f"{len(names)} {what} ({', '.join(sorted(names)[:3])}{', ...' * (len(names) > 3)})"
            for what, names in (("missing", expected - found), ("new", found - expected))
            if names
        ]
        if changes:
            raise UserError(
                f"The data must hold the {len(expected)} cases of {path}, found "
                f"{' and '.join(changes)}; restore these cases, point --data to them or start a "
                "new --out."
            )

    @classmethod
    def load(cls, path: Path) -> Split:
        """Reads a split written by `save` of the same class.

        Raises:
            UserError: an unreadable file, other parts, an empty part, or a patient in two parts.
        """
        names = [field.name for field in fields(cls)]
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if set(content) != set(names):
                raise KeyError(*names)
            parts = {name: tuple(content[name]) for name in names}
            patients = {name: set(map(patient_of, ids)) for name, ids in parts.items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"The split {path} cannot be read: expected a JSON object with the lists "
                f"{' and '.join(names)}; delete it or give another."
            ) from error
        wrong = [f"no case in {name}" for name in names if not parts[name]] + [
            f"the patients {', '.join(sorted(shared)[:3])} in both {one} and {other}"
            for one, other in combinations(names, 2)
            if (shared := patients[one] & patients[other])
        ]
        if wrong:
            raise UserError(
                f"The split {path} must have different patients in each part, found {wrong[0]}; "
                "correct or delete it."
            )
        return cls(**parts)


@dataclass(frozen=True)
class ThreeWaySplit(Split):
    """A split with a part of its own for the GAN, as TC-MGAN needs it.

    The GAN never sees the patients of `train`, so the segmentation networks learn from predictions
    of the quality that they meet in `test`.

    Attributes:
        gan: what the GAN and the segmentor that guides it learn from.
    """

    gan: tuple[str, ...]


def split_subjects(ids: Iterable[str], test_fraction: float = 0.1, *, seed: int) -> Split:
    """Divides subjects by patient; the same ids and seed give the same split in any order.

    The thesis divides 9:1. Patients are ranked by a hash of seed and name, which no library version
    can change, and `test_fraction` of them (at least one, not all) are held out.

    Raises:
        UserError: fewer than two patients, or a fraction outside (0, 1).
    """
    if not 0.0 < test_fraction < 1.0:
        raise UserError(f"The test fraction must lie between 0 and 1, found {test_fraction}.")
    ids = sorted(set(ids))
    ranked = _ranked_patients(ids, seed, 2)
    held_out = min(max(round(test_fraction * len(ranked)), 1), len(ranked) - 1)
    return Split(**_dealt(ids, ranked, {"test": held_out, "train": len(ranked) - held_out}))


def split_three_ways(
    ids: Iterable[str], shares: Mapping[str, int] = TC_MGAN_SHARES, *, seed: int
) -> ThreeWaySplit:
    """Divides subjects by patient in the ratio of `shares`, at least one patient in each part.

    285 patients give TC-MGAN's 100 "gan", 100 "train" and 85 "test". Patients are ranked as by
    `split_subjects`: the released code's own draw depends on the order of a folder.

    Raises:
        UserError: fewer than three patients, or shares that are not a whole number above 0 for each
            of gan, train and test.
    """
    if set(shares) != {"gan", "train", "test"} or min(shares.values()) < 1:
        raise UserError(
            "The shares of a split must be whole numbers above 0 for gan, train and test, found "
            f"{dict(shares)}; correct them."
        )
    ids = sorted(set(ids))
    ranked = _ranked_patients(ids, seed, len(shares))
    sizes, total = dict.fromkeys(shares, 1), sum(shares.values())
    for _ in range(len(ranked) - len(shares)):
        # The part that is furthest behind its share; whole numbers, so that ties are exact.
        behind = {name: len(ranked) * shares[name] - total * sizes[name] for name in shares}
        sizes[max(behind, key=behind.__getitem__)] += 1
    return ThreeWaySplit(**_dealt(ids, ranked, sizes))


def _ranked_patients(ids: Sequence[str], seed: int, least: int) -> list[str]:
    patients = {patient_of(subject) for subject in ids}
    if len(patients) < least:
        raise UserError(
            f"A split needs at least {least} patients, found {len(patients)} in {len(ids)} "
            "subjects; add data."
        )
    return sorted(patients, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).hexdigest())


def _dealt(
    ids: Sequence[str], ranked: Sequence[str], sizes: Mapping[str, int]
) -> dict[str, tuple[str, ...]]:
    """Returns the subjects of each part, which takes the next `sizes[name]` patients."""
    parts, following = {}, iter(ranked)
    for name, size in sizes.items():
        patients = set(islice(following, size))
        parts[name] = tuple(subject for subject in ids if patient_of(subject) in patients)
    return parts


def patient_of(subject_id: str) -> str:
    """Returns the name shared by all scans of one patient (the id without its time point)."""
    for pattern in _SCANS_OF_A_PATIENT:
        match = re.fullmatch(pattern, subject_id, re.IGNORECASE)
        if match:
            return match[1]
    return subject_id
