"""The finished runs on which tables and figures work: named on the command line, or made first."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Union

from data.opening import skip_bad_cases
from data.splits import Split
from experiments.engine.experiment import Experiment, Option
from experiments.engine.performing import make
from experiments.engine.recording import record_start, timed
from experiments.engine.request import Request
from experiments.engine.resuming import made_by, saved_run
from experiments.engine.run import Run
from utils.config import differences, from_dict
from utils.errors import UserError
from utils.runs.locking import locked
from utils.training.distribute import is_chief, wait_for_all_workers


def _nothing(run: Run) -> None:
    """Accepts every run."""


@dataclass(frozen=True)
class Finished:
    """One finished run, which `--run` names, or which is made in OUT/main with its own preset.

    Attributes:
        experiment: whose run it is.
        check: refuses a run that a table cannot work on, from that table's run.
        others: further experiments of which `--run` may name one.
    """

    experiment: Experiment
    check: Callable[[Run], None] = _nothing
    others: tuple[Experiment, ...] = ()
    named = True  # by `--run`

    def open(self, run: Run) -> None:
        """Gives a run its source and records its start.

        Raises UserError if there is no finished run, if it is another run than at the start, or if
        `check` refuses it. A start that fails is undone, so that the same command can be given
        again.
        """
        new = not run.config_file.exists()
        if new and run.request.run is None:
            record_start(run)
        try:
            run.works_on({"main": self._source(run)})
            others = (
                f"another trained run than {run.source.path}, with an earlier state of it, or "
                "under an earlier version"
            )
            refuse_other(run, run.source.fingerprint(), others, "--run")
            self.check(run)
        except BaseException as error:
            begun = (run.path / "main" / "config.json").exists()
            if new and run.writes and (isinstance(error, UserError) or not begun):
                for file in (run.config_file, run.environment):
                    file.unlink(missing_ok=True)
            raise
        record_start(run, run.source.fingerprint())
        if run.writes:
            run.split.save(run.splits)

    def describe(self, request: Request) -> str:
        """Returns in words which run that is, and whether it is made first."""
        if request.run is not None:
            return f"the run {request.run}"
        return (
            f"a run of {self.experiment.script} with the preset {request.preset}, which is trained "
            f"first in {request.out / 'main'} unless it is there"
        )

    def _source(self, run: Run) -> Run:
        """Nothing is written to a run that `--run` names; its data may have moved to `--data`."""
        request = run.request
        path = request.run or request.out / "main"
        if request.run is None:
            config = self.experiment.presets.get(request.preset)
            if config is None:
                raise UserError(
                    f"{self.experiment.script} has no preset {request.preset} to make a trained "
                    "run with; name a finished one with --run"
                )
            make(self.experiment, replace(request, out=path, config=config), run.strategy)
        experiment = made_by(path, (self.experiment, *self.others))
        return Run.open_finished(experiment, path, run.strategy, request.cache, data=request.data)


@dataclass(frozen=True)
class Variants:
    """A finished run of each variant of a system, in the folder that an option names.

    Attributes:
        experiment: whose runs they are.
        option: names the folder, by default OUT/<its name>; runs that are missing are made in it.
        configs: from the table's configuration to the variants', by name.
        shared: what the splits of all variants must have in common; default: all.
    """

    experiment: Experiment
    option: Option
    configs: Callable[[Any], Mapping[str, Any]]
    shared: Callable[[Split], Any] = lambda split: split

    def open(self, run: Run) -> None:
        """Gives a run its source runs and records its start.

        Source runs that are missing or unfinished are trained first. Raises UserError if data is
        bad, if a source run differs from what this run asks for in anything but its variant, if the
        splits of the source runs differ, or if a resumed run began with other source runs.
        """
        runs = self._found(run)
        run.works_on(runs)
        others = (
            "other runs of the variants, with earlier states of them, or under an earlier version"
        )
        refuse_other(run, _fingerprint(runs), others, f"--{self.option.name}")
        record_start(run)
        with timed(run, run.experiment.prefix):
            for source in runs.values():
                if source.unfinished():
                    make(self.experiment, source.request, run.strategy)
        record_start(run, _fingerprint(runs))

    def describe(self, request: Request) -> str:
        """Returns in words which runs these are, and that they are made where they are missing."""
        return (
            f"a run of {self.experiment.script} for each of "
            f"{', '.join(self.configs(request.config))} in {self._folder(request)}, trained first "
            "where it is missing"
        )

    def _folder(self, request: Request) -> Path:
        return request.options[self.option.field] or request.out / self.option.name

    def _found(self, run: Run) -> dict[str, Run]:
        """Returns the run of each variant, finished or not; its data is there."""
        request, strategy = run.request, run.strategy
        folder, runs = self._folder(request), {}
        for name, config in self.configs(run.config).items():
            part = replace(request, out=folder / name, config=config, options={})
            runs[name] = Run(self.experiment, part, strategy, writes=False)
        new = [source for source in runs.values() if not source.config_file.exists()]
        for source in runs.values():
            if source not in new:
                _refuse_other_settings(source, self.option)
        if request.skip_bad and request.data is not None:
            for source in new if is_chief(strategy) else ():
                with locked(source.path):
                    skip_bad_cases(source, source.data_source())
            wait_for_all_workers(strategy)
        for source in runs.values():
            source.open_data()
        _refuse_other_split(list(runs.values()), self)
        return runs


Sources = Union[Finished, Variants]


def _fingerprint(runs: Mapping[str, Run]) -> str:
    text = " ".join(source.fingerprint() for source in runs.values())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def refuse_other(run: Run, found: str, others: str, option: str) -> None:
    """Raises UserError if a resumed run began with other sources than the command line names.

    Args:
        run: the resumed run.
        found: fingerprint of the sources that the command line names.
        others: description of other sources, for the message.
        option: the option that names the sources.
    """
    if not run.request.resume:
        return
    saved = saved_run(run.path, "--resume needs --out with")["fingerprint"]
    if saved not in (None, found):
        raise UserError(
            f"{run.path} began with {others}; name its own with {option} or start a new --out"
        )


def _refuse_other_split(runs: Sequence[Run], variants: Variants) -> None:
    """Raises UserError unless all runs hold out the same patients: others leak into a table."""
    first = runs[0]
    for other in runs[1:]:
        if variants.shared(other.split) != variants.shared(first.split):
            raise UserError(
                f"The runs {first.path} and {other.path} divide the patients in different ways; "
                "train them anew with the same splits.json and skipped_cases.json, or name other "
                f"runs with --{variants.option.name}"
            )


def _refuse_other_settings(source: Run, option: Option) -> None:
    saved = saved_run(source.path, f"--{option.name} needs")
    changes = differences(from_dict(type(source.config), saved["config"]), source.config)
    if saved["precision"] != source.request.precision:
        changes.append(f"precision: {saved['precision']} -> {source.request.precision}")
    if changes:
        raise UserError(
            f"The run {source.path} was made with other settings than this table asks for "
            f"({'; '.join(changes)}); give the same options or another --{option.name}"
        )
