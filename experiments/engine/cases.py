"""Which cases of a user's data a run works on: all of them, or those that `--skip-bad` leaves."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from data.contract import Case, DataSet
from data.shards import shards_directory
from experiments.engine.request import Request
from utils.errors import UserError
from utils.runs.files import read_json, write_json
from utils.runs.names import printable
from utils.runs.run_directory import RunDirectory

NAMED = 3  # bad cases that the refusal names

Problems = Mapping[str, Sequence[str]]  # by case id, in sentences


def read_skipped(run: RunDirectory) -> dict[str, list[str]]:
    """Returns the problems of the cases that a run leaves out, by case id.

    Raises UserError for a skipped_cases.json that says something else.
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


def skip_bad_cases(run: RunDirectory, dataset: DataSet, request: Request) -> None:
    """Writes the bad cases of a data folder to the run's skipped_cases.json, which permits them.

    Cases that the file names already are not checked again. Raises UserError for a folder without
    any good case.
    """
    cases, skipped = cases_in_use(run, dataset, request.data)
    bad = _bad_cases(cases, dataset, request)
    if len(bad) == len(cases):
        raise _refusal(bad, len(cases), request, "")
    skipped = dict(sorted({**skipped, **bad}.items()))
    if bad:
        write_json(run.skipped_cases, skipped)
    if skipped:
        names = ", ".join(map(printable, skipped))
        print(f"left out as bad: {names}; {run.skipped_cases} says why")


def cases_in_use(
    run: RunDirectory, dataset: DataSet, data: Path
) -> tuple[list[Case], dict[str, list[str]]]:
    """Returns the cases below `data` that a run does not leave out, and why it leaves out others.

    Raises UserError for a folder without cases.
    """
    skipped = read_skipped(run)
    return [case for case in dataset.find(data) if case.id not in skipped], skipped


def check_cases(cases: Sequence[Case], dataset: DataSet, request: Request) -> None:
    """Raises UserError if one of the user's cases does not pass `DataSet.verify`.

    Where all their slices are prepared, they have passed before.
    """
    bad = _bad_cases(cases, dataset, request)
    if bad:
        raise _refusal(bad, len(cases), request, ", or add --skip-bad to a new run")


def _bad_cases(cases: Sequence[Case], dataset: DataSet, request: Request) -> dict[str, list[str]]:
    slicing, cache = request.config.slicing, request.cache
    dataset.settle(cases, slicing)  # refuses cases that contradict each other
    there = all(path.is_file() for case in cases for path in case.paths)  # not a link to nothing
    if there and not any(case.problems() for case in cases):
        if shards_directory(dataset, cases, slicing, cache).exists():
            return {}
    verdicts = dataset.verify(cases, slicing, cache)
    return {verdict.case.id: list(verdict.problems) for verdict in verdicts if verdict.problems}


def _refusal(bad: Problems, total: int, request: Request, remedy: str) -> UserError:
    examples = [f"{case} ({texts[0].rstrip('.')})" for case, texts in bad.items()][:NAMED]
    more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    data, slicing = request.data, request.config.slicing
    defaults, words = asdict(type(slicing)()), ["experiments/verify_data.py", "--data", str(data)]
    for name, value in asdict(slicing).items():
        if value != defaults[name]:
            text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            words.append(f"--slicing.{name}={text}")
    return UserError(
        f"{len(bad)} of the {total} cases in {data} cannot be trained on: {'; '.join(examples)}"
        f"{more}; see all that is wrong with `python {shlex.join(words)}` and repair or remove "
        f"these cases{remedy}"
    )
