"""From a user's folder, or the phantom, to prepared slices and their split by patient.

A run works on all cases, or on those that `--skip-bad` leaves.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from data.contract import Case, DataSet
from data.shards import PreparedSlices, prepare_shards, shards_directory
from data.splits import Split
from data.verdicts import Verdict, lesion_count, notes_once, what_is_learnt
from utils.errors import UserError
from utils.runs.files import read_json, write_json
from utils.runs.names import plain_name, printable
from utils.runs.run_directory import RunDirectory

NAMED = 3  # number of bad cases that the error names
NOTES = 8  # number of notes on good cases that are printed

Problems = Mapping[str, Sequence[str]]  # by case id, in sentences


@dataclass(frozen=True)
class Source:
    """Where the cases of a run come from.

    Attributes:
        dataset: the data set that they belong to.
        slicing: how their slices are cut.
        folder: the user's data folder, or None for the phantom.
        cache: folder of phantom, verdicts and prepared slices.
        phantom: name of the phantom, one of the data set's.
        phantom_subjects: number of its subjects.
        seed: random seed of the phantom.
    """

    dataset: DataSet
    slicing: Any
    folder: Optional[Path]
    cache: Path
    phantom: str = ""
    phantom_subjects: int = 0
    seed: int = 0


def open_slices(
    run: RunDirectory,
    source: Source,
    kind: type[Split],
    divide: Callable[[Sequence[str]], Split],
) -> tuple[PreparedSlices, Split, str, Problems]:
    """Finds the data (or makes the phantom), splits its patients and prepares its slices.

    The split is written to splits.json once and read from there on resume. Bad splits are refused
    before volumes are checked and slices prepared, which may take an hour. All of the user's cases
    are used except those that the run's skipped_cases.json names.

    Args:
        run: the run directory.
        source: where the cases come from.
        kind: class of the split.
        divide: makes a new split from the cases' ids.

    Returns:
        The slices, the split, what the data is, and the problems of cases that are left out.

    Raises UserError for bad data, for training slices without any lesion where there are labels,
    and on resume for other cases than those of splits.json.
    """
    cases, skipped, note = find_cases(run, source)
    ids = [case.id for case in cases]
    if run.splits.exists():
        split = kind.load(run.splits, source.dataset.patient_of)
        split.check_subjects(ids, run.splits)
    else:
        split = divide(ids)
    if source.folder:  # what is wrong with a phantom, preparing its slices tells as well
        check_cases(cases, source)
    prepared = prepare_shards(source.dataset, cases, source.slicing, source.cache)
    notes = [*note[1:], *_check_lesions(prepared, split, source, run.writes)]
    if run.writes and not run.splits.exists():
        split.save(run.splits)
    text = f"{note[0]} ({'; '.join(notes)})" if notes else note[0]
    return prepared, split, text, skipped


def _check_lesions(prepared: PreparedSlices, split: Split, source: Source, tell: bool) -> list[str]:
    """Returns a note for each part of the split without any lesion, and may print the counts.

    Raises UserError if the training slices have no lesion: the networks would fail after hours, or
    learn that there are no lesions.
    """
    if not prepared.dataset.has_label:
        return []
    counts = dict(zip(prepared.subject_ids, prepared.lesions_per_subject))
    found = {name: sum(counts[i] for i in ids) for name, ids in asdict(split).items() if ids}
    if source.folder and tell:
        counts = ", ".join(f"{number} in {name}" for name, number in found.items())
        print(f"{lesion_count(source.dataset)}: {counts}")
    if not any(number for name, number in found.items() if name not in ("test", "unused")):
        raise UserError(
            f"No training case in {source.folder or 'the phantom'} has "
            f"{what_is_learnt(source.dataset)}."
        )
    words = lesion_count(source.dataset)
    return [f"no {words} in the part {name}" for name in found if not found[name]]


def find_cases(run: RunDirectory, source: Source) -> tuple[Sequence[Case], Problems, list[str]]:
    """Returns the cases that take part, the problems of skipped ones, and words on the data."""
    dataset = source.dataset
    if source.folder is None:
        phantom = dataset.phantoms[source.phantom]
        tree = phantom.make(source.cache, source.phantom_subjects, source.seed)
        return dataset.find(tree, source.slicing), {}, [phantom.note]
    cases, skipped = cases_in_use(run, source)
    total = len(cases) + len(skipped)
    left_out = [f"{len(skipped)} of {total} cases left out as bad"] if skipped else []
    return cases, skipped, [plain_name(source.folder.name), *left_out]


def read_skipped(run: RunDirectory) -> dict[str, list[str]]:
    """Returns the problems of the cases that a run leaves out, by case id.

    Raises UserError if skipped_cases.json does not give a list of problems for each case.
    """
    if not run.skipped_cases.exists():
        return {}
    try:
        return {
            case: [str(text) for text in texts]
            for case, texts in read_json(run.skipped_cases).items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"{run.skipped_cases} must be a JSON object with a list of problems by case; restore "
            "it or start a new --out"
        ) from error


def skip_bad_cases(run: RunDirectory, source: Source) -> None:
    """Writes the bad cases of a data folder to skipped_cases.json, so that the run leaves them out.

    Cases that the file names already are not checked again. Raises UserError if the folder has
    fewer than the two good cases that a split needs.
    """
    cases, skipped = cases_in_use(run, source)
    bad = _bad_cases(cases, source)
    if bad and len(cases) - len(bad) < 2:
        raise _refusal(bad, len(cases), source, "")
    skipped = dict(sorted({**skipped, **bad}.items()))
    if bad:
        write_json(run.skipped_cases, skipped)
    if skipped:
        names = ", ".join(map(printable, skipped))
        print(f"left out as bad: {names}; {run.skipped_cases} says why")


def cases_in_use(run: RunDirectory, source: Source) -> tuple[list[Case], dict[str, list[str]]]:
    """Returns the user's cases that a run does not leave out, and why it leaves out others.

    Raises UserError if the folder has no cases.
    """
    skipped = read_skipped(run)
    cases = source.dataset.find(source.folder, source.slicing)
    return [case for case in cases if case.id not in skipped], skipped


def check_cases(cases: Sequence[Case], source: Source) -> None:
    """Raises UserError if one of the user's cases does not pass `DataSet.verify`.

    Cases whose slices are all prepared have passed before and are not checked again.
    """
    bad = _bad_cases(cases, source)
    if bad:
        raise _refusal(bad, len(cases), source, ", or add --skip-bad to a new run")


def _bad_cases(cases: Sequence[Case], source: Source) -> dict[str, list[str]]:
    dataset, slicing, cache = source.dataset, source.slicing, source.cache
    dataset.settle(cases, slicing)  # refuses cases that contradict each other
    there = all(path.is_file() for case in cases for path in case.paths)  # not a link to nothing
    if there and not any(case.problems() for case in cases):
        if shards_directory(dataset, cases, slicing, cache).exists():
            return {}
    verdicts = dataset.verify(cases, slicing, cache)
    _print_notes(verdicts, source)
    return {verdict.case.id: list(verdict.problems) for verdict in verdicts if verdict.problems}


def _print_notes(verdicts: Sequence[Verdict], source: Source) -> None:
    """Prints what the preparation decides of some cases, so that nothing happens silently."""
    notes = notes_once(verdicts)
    for note in notes[:NOTES]:
        print(printable(note))
    if len(notes) > NOTES:
        see = f", see {_verify_command(source)}" if source.dataset.verify_script else ""
        print(f"{len(notes) - NOTES} more notes{see}")


def _refusal(bad: Problems, total: int, source: Source, remedy: str) -> UserError:
    examples = [f"{case} ({texts[0].rstrip('.')})" for case, texts in bad.items()][:NAMED]
    more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    see = f"see all that is wrong with `{_verify_command(source)}` and "
    return UserError(
        f"{len(bad)} of the {total} cases in {source.folder} cannot be trained on: "
        f"{'; '.join(examples)}{more}; {see if source.dataset.verify_script else ''}repair or "
        f"remove these cases{remedy}"
    )


def _verify_command(source: Source) -> str:
    words = [*shlex.split(source.dataset.verify_script), "--data", str(source.folder)]
    defaults = asdict(type(source.slicing)())
    for name, value in asdict(source.slicing).items():
        if value != defaults[name]:
            text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            words.append(f"--slicing.{name}={text}")
    return f"python {shlex.join(words)}"
