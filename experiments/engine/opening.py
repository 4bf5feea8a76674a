"""The data of a run: its cases, their split by patient, their prepared slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.contract import Case, DataSet
from data.shards import PreparedSlices, prepare_shards
from data.splits import Split
from experiments.engine.cases import Problems, cases_in_use, check_cases
from experiments.engine.request import Request
from utils.runs.names import plain_name
from utils.runs.run_directory import RunDirectory

if TYPE_CHECKING:
    from experiments.engine.experiment import Experiment


def find_slices(
    run: RunDirectory, experiment: Experiment, request: Request
) -> tuple[PreparedSlices, Split, str, Problems]:
    """Finds the data (or makes the phantom), splits its patients and prepares its slices.

    The split is written to splits.json once and read from there on resume. Bad splits are refused
    before volumes are checked and slices prepared, which may take an hour. Of the user's data every
    case takes part that the run's skipped_cases.json does not name.

    Args:
        run: the run directory.
        experiment: with the data set and the way to divide it.
        request: with the configuration (`seed`, `phantom_subjects`, `slicing`), data and cache.

    Returns:
        The slices, the split, what the data is, and the problems of cases that are left out.

    Raises UserError for bad data, and on resume for other cases than those of splits.json.
    """
    config, dataset = request.config, experiment.data
    cases, skipped, note = _find(run, dataset, request)
    ids = [case.id for case in cases]
    if run.splits.exists():
        split = experiment.split.load(run.splits, dataset.patient_of)
        split.check_subjects(ids, run.splits)
    else:
        split = experiment.divide(ids, config)
    if request.data:  # what is wrong with a phantom, preparing its slices tells as well
        check_cases(cases, dataset, request)
    prepared = prepare_shards(dataset, cases, config.slicing, request.cache)
    if run.writes and not run.splits.exists():
        split.save(run.splits)
    return prepared, split, note, skipped


def _find(
    run: RunDirectory, dataset: DataSet, request: Request
) -> tuple[Sequence[Case], Problems, str]:
    """Returns the cases that take part, the problems of skipped ones, and what the data is."""
    config, data = request.config, request.data
    if data is None:
        tree = dataset.phantom(request.cache, config.phantom_subjects, config.seed)
        return dataset.find(tree), {}, dataset.phantom_note
    cases, skipped = cases_in_use(run, dataset, data)
    total = len(cases) + len(skipped)
    note = f" ({len(skipped)} of {total} cases left out as bad)" if skipped else ""
    return cases, skipped, f"{plain_name(data.name)}{note}"
