"""Training and test sides of a data set, divided by patient so that nothing leaks."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from utils.errors import UserError
from utils.files import write_json

# Group 1 is the patient, what follows it the time point. TCIA numbers count across both grades, so
# a grade in front of them is dropped; those of BRATS 2013 start again in each grade.
_SCANS_OF_A_PATIENT = (
    r"(?:[HL]GG?_)?(brats_tcia_pat\d+)_\d+",
    r"((?:[HL]GG?_)?brats_2013_pat\d+)_\d+",
    r"((?:[HL]GG?_)?Brats1[789]_\w+)_\d+",
    r"((?:[HL]GG?_)?BraTS-GLI-\d{5})-\d{3}",
)


@dataclass(frozen=True)
class Split:
    """The subject ids of both sides, each sorted."""

    train: tuple[str, ...]
    test: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Writes the split as JSON; the file appears whole or not at all."""
        write_json(path, asdict(self))

    def check_subjects(self, ids: Iterable[str], path: Path) -> None:
        """Refuses data whose cases are not exactly those of this split, read from `path`.

        Raises:
            UserError: names up to three cases that are gone and three that are new.
        """
        expected, found = {*self.train, *self.test}, set(ids)
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
        """Reads a split written by `save`.

        Raises:
            UserError: an unreadable file, an empty side, or a patient on both sides.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            split = cls(tuple(content["train"]), tuple(content["test"]))
            train, test = (set(map(patient_of, side)) for side in (split.train, split.test))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"The split {path} cannot be read: expected a JSON object with the lists train and "
                "test; delete it or give another."
            ) from error
        if not train or not test or train & test:
            reason = f"the patients {', '.join(sorted(train & test)[:3])} on both sides"
            raise UserError(
                f"The split {path} must have different patients on both sides, found "
                f"{reason if train & test else 'an empty side'}; correct or delete it."
            )
        return split


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
    patients = {patient_of(subject) for subject in ids}
    if len(patients) < 2:
        raise UserError(
            f"A split needs at least 2 patients, found {len(patients)} in {len(ids)} subjects; "
            "add data."
        )
    ranked = sorted(
        patients, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()
    )
    held_out = set(ranked[: min(max(round(test_fraction * len(ranked)), 1), len(ranked) - 1)])
    return Split(
        tuple(subject for subject in ids if patient_of(subject) not in held_out),
        tuple(subject for subject in ids if patient_of(subject) in held_out),
    )


def patient_of(subject_id: str) -> str:
    """Returns the name shared by all scans of one patient (the id without its time point)."""
    for pattern in _SCANS_OF_A_PATIENT:
        match = re.fullmatch(pattern, subject_id, re.IGNORECASE)
        if match:
            return match[1]
    return subject_id
