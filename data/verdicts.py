"""Results of the checks of a data set: a verdict per case, and notes that several cases share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from tqdm import tqdm

if TYPE_CHECKING:
    from data.contract import Case, DataSet


@dataclass(frozen=True)
class Verdict:
    """The result of the checks of one case.

    Attributes:
        case: the case.
        problems: sentences, none for a good case.
        notes: what the preparation of a good case decides or changes, in words that many cases
            can share.
        lesions: how many of its slices have a label other than background; None = not known.
    """

    case: Case
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    lesions: Optional[int] = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The case's files that the problems name."""
        return tuple(
            path for path in self.case.paths if any(str(path) in text for text in self.problems)
        )


def verdict_of_each(
    cases: Sequence[Case], judge: Callable[[Case], Verdict], progress: bool
) -> list[Verdict]:
    """Returns the verdicts of cases that are read one by one, with a bar if `progress`."""
    bar = tqdm(cases, "Checking cases", unit="case", disable=not progress)
    return [judge(case) for case in bar]


def notes_once(verdicts: Iterable[Verdict]) -> list[str]:
    """Returns each different note of some cases once, with their number and the first one's id."""
    cases: dict[str, list[str]] = {}
    for verdict in verdicts:
        for note in verdict.notes:
            cases.setdefault(note, []).append(verdict.case.id)
    return [f"note on {_counted(ids)}: {note}" for note, ids in cases.items()]


def _counted(ids: Sequence[str]) -> str:
    return f"case {ids[0]}" if len(ids) == 1 else f"{len(ids)} cases ({ids[0]}, ...)"


def what_is_learnt(dataset: DataSet) -> str:
    """Returns what some image must have for a network to learn from, and what else to do."""
    if dataset.cut_from_volumes:
        return (
            "a lesion in the slices that are used; check the labels and their scheme, add cases "
            "with lesions, or choose other --slicing.slices"
        )
    kinds = " or ".join(dataset.classes[dataset.first_lesion :])
    return f"an image with {kinds}; check the labels, or add cases that have them"


def lesion_count(dataset: DataSet) -> str:
    """Returns what is counted as slices with a lesion, in words of the data set."""
    if dataset.cut_from_volumes:
        return "slices with a lesion"
    return f"images with {' or '.join(dataset.classes[dataset.first_lesion :])}"
