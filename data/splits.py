"""Parts of a data set, such as training and test, divided by patient so that nothing leaks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import combinations, islice
from pathlib import Path
from typing import Callable, Optional

from utils.errors import UserError, at_least, check_fields
from utils.runs.files import write_json

PatientOf = Callable[[str], str]  # from an id to its patient's name, `DataSet.patient_of`


@dataclass(frozen=True)
class Cohort:
    """Which patients of the data a run works on.

    Args:
        patients: number of training patients that take part, chosen by the run's seed; 0 = all.
        seed: random seed of phantom and split in the place of the run's, so that several seeds
            share them.
    """

    patients: int = 0
    seed: Optional[int] = None

    def __post_init__(self) -> None:
        check_fields(self, "--cohort.", patients=at_least(0))


@dataclass(frozen=True)
class Split:
    """The subject ids of each part, sorted.

    Attributes:
        train: subjects that networks learn from.
        test: subjects that they are scored on.
        unused: subjects that take no part, see `with_few_patients`.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    unused: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Writes the split as JSON, a list per part; the file appears whole or not at all."""
        write_json(path, {name: part for name, part in asdict(self).items() if part})

    def check_subjects(self, ids: Iterable[str], path: Path) -> None:
        """Checks that the data has exactly the cases of this split.

        Args:
            ids: case ids found in the data.
            path: file that the split was read from, named in the message.

        Raises:
            UserError: cases are missing or new; the message names up to three of each.
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
    def load(cls, path: Path, patient_of: PatientOf) -> Split:
        """Reads a split written by `save` of the same class.

        Raises:
            UserError: the file is unreadable or has other or empty parts, or two parts share a
                patient.
        """
        names = [field.name for field in fields(cls) if field.name != "unused"]
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if set(content) - {"unused"} != set(names):
                raise KeyError(*names)
            names += ["unused"] if "unused" in content else []
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
        gan: subjects that the GAN and the segmenter that guides it learn from.
    """

    gan: tuple[str, ...] = ()


def split_subjects(
    ids: Iterable[str], test_fraction: float = 0.1, *, seed: int, patient_of: PatientOf
) -> Split:
    """Divides subjects by patient; the same ids and seed give the same split in any order.

    The thesis divides 9:1. Patients are ranked by a hash of seed and name, which no library version
    can change, and `test_fraction` of them (at least one, not all) are held out.

    Raises:
        UserError: there are fewer than two patients, or the fraction lies outside (0, 1).
    """
    if not 0.0 < test_fraction < 1.0:
        raise UserError(f"The test fraction must lie between 0 and 1, found {test_fraction}.")
    patients = {subject: patient_of(subject) for subject in sorted(set(ids))}
    ranked = _ranked(patients, seed, 2)
    held_out = min(max(round(test_fraction * len(ranked)), 1), len(ranked) - 1)
    return Split(**_dealt(patients, ranked, {"test": held_out, "train": len(ranked) - held_out}))


def published_split(ids: Iterable[str], test_prefix: str, test_fraction: float, seed: int) -> Split:
    """Returns the split that a data set is published with; of data without it one of patients.

    Args:
        ids: of cases, each a patient.
        test_prefix: what the ids of the published test part begin with.
        test_fraction, seed: as in `split_subjects`, where one of the two parts is missing.

    Raises:
        UserError: as `split_subjects`.
    """
    names = sorted(set(ids))
    test = tuple(name for name in names if name.startswith(test_prefix))
    train = tuple(name for name in names if not name.startswith(test_prefix))
    if test and train:
        return Split(train, test)
    return split_subjects(names, test_fraction, seed=seed, patient_of=str)


def with_few_patients(split: Split, number: int, *, seed: int, patient_of: PatientOf) -> Split:
    """Returns a split in which only `number` training patients take part; the others are unused.

    The patients of a smaller number are among those of a larger one. The test part stays.

    Args:
        split: of all patients.
        number: patients of `train` that stay, 1 or more.
        seed: of the choice.
        patient_of: from a subject's id to its patient.

    Raises:
        UserError: there are fewer training patients.
    """
    patients = {subject: patient_of(subject) for subject in split.train}
    ranked = _ranked(patients, seed, 1)
    if number > len(ranked):
        raise UserError(
            f"{number} training patients are asked for (--cohort.patients, or --patients of a "
            f"learning curve), but the split has {len(ranked)}; give fewer or hold out fewer."
        )
    sizes = {"train": number, "unused": len(ranked) - number}
    return replace(split, **_dealt(patients, ranked, sizes))


def split_three_ways(
    ids: Iterable[str], shares: Mapping[str, int], *, seed: int, patient_of: PatientOf
) -> ThreeWaySplit:
    """Divides subjects by patient in the ratio of `shares`, at least one patient in each part.

    Patients are ranked as by `split_subjects`.

    Raises:
        UserError: there are fewer than three patients, or `shares` does not have a whole number
            above 0 for each of gan, train and test.
    """
    if set(shares) != {"gan", "train", "test"} or min(shares.values()) < 1:
        raise UserError(
            "The shares of a split must be whole numbers above 0 for gan, train and test, found "
            f"{dict(shares)}; correct them."
        )
    patients = {subject: patient_of(subject) for subject in sorted(set(ids))}
    ranked = _ranked(patients, seed, len(shares))
    sizes, total = dict.fromkeys(shares, 1), sum(shares.values())
    for _ in range(len(ranked) - len(shares)):
        # The part that is furthest behind its share; whole numbers, so that ties are exact.
        behind = {name: len(ranked) * shares[name] - total * sizes[name] for name in shares}
        sizes[max(behind, key=behind.__getitem__)] += 1
    return ThreeWaySplit(**_dealt(patients, ranked, sizes))


def _ranked(patients: Mapping[str, str], seed: int, least: int) -> list[str]:
    """Returns the patients of some subjects in the order in which parts take them."""
    names = set(patients.values())
    if len(names) < least:
        raise UserError(
            f"A split needs at least {least} patients, found {len(names)} in {len(patients)} "
            "subjects; add data."
        )
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).hexdigest())


def _dealt(
    patients: Mapping[str, str], ranked: Sequence[str], sizes: Mapping[str, int]
) -> dict[str, tuple[str, ...]]:
    """Returns the subjects of each part, which takes the next `sizes[name]` patients."""
    parts, following = {}, iter(ranked)
    for name, size in sizes.items():
        taken = set(islice(following, size))
        parts[name] = tuple(subject for subject in patients if patients[subject] in taken)
    return parts
