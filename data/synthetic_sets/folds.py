"""Folds of cross-validation by patient: validated on real cases, without the patients' labels.

A synthetic case learns nothing of a validation patient's label: it stays out of the training of
the fold in which a patient whose label it has is validated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

FOLDS = 5
Fold = dict[str, list[str]]  # names of cases: "train", "val"


class Scan(NamedTuple):
    """The real cases of one scan.

    Attributes:
        patient: name of the patient.
        cases: names of the cases.
        lesion: size of the lesion in all of them, pixels.
        grade: "" if it is not known.
    """

    patient: str
    cases: tuple[str, ...]
    lesion: int
    grade: str = ""


def validation_folds(synthetic: Mapping[str, Collection[str]], scans: Sequence[Scan]) -> list[Fold]:
    """Returns the folds, in which all scans of a patient are validated together.

    Scans are dealt by scikit-learn's StratifiedGroupKFold, patients being the groups. With fewer
    than `FOLDS` patients there are as many folds as patients. With fewer than two, the `FOLDS`
    folds train on everything and have empty validation lists: nnU-Net would otherwise draw its own
    and validate on synthetic cases.

    Args:
        synthetic: patients whose labels it has, by name of each synthetic case.
        scans: the real ones.
    """
    patients = {scan.patient for scan in scans}
    if len(patients) < 2:
        everything = sorted([*synthetic, *(name for scan in scans for name in scan.cases)])
        return [{"train": everything, "val": []} for _ in range(FOLDS)]
    count = min(FOLDS, len(patients))
    dealt = StratifiedGroupKFold(count).split(
        np.zeros(len(scans)), strata(scans, count), [scan.patient for scan in scans]
    )
    folds = []
    for learnt, held in dealt:
        validated = {scans[i].patient for i in held}
        train = [name for name, of in synthetic.items() if validated.isdisjoint(of)]
        train += [name for i in learnt for name in scans[i].cases]
        val = [name for i in held for name in scans[i].cases]
        folds.append({"train": sorted(train), "val": sorted(val)})
    return folds


def strata(scans: Sequence[Scan], least: int) -> list[str]:
    """Returns the stratum of each scan, by grade and by size of the lesion in thirds or halves.

    Strata are as fine as they can be with `least` scans in each; a grade matters more than a size.
    """
    order = np.argsort(np.argsort([scan.lesion for scan in scans], kind="stable"))
    for graded, parts in product((True, False), (3, 2, 1)):
        sizes = order * parts // len(scans)
        found = [f"{scan.grade if graded else ''}{size}" for scan, size in zip(scans, sizes)]
        if min(Counter(found).values()) >= least:
            break
    return found  # at the latest all in one
