"""Continuing a run: what its config.json says, and what a command line may change of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

from utils.config import differences, flatten, from_dict
from utils.errors import UserError
from utils.runs.files import read_json
from utils.runs.run_directory import RunDirectory

if TYPE_CHECKING:
    from experiments.engine.experiment import Experiment

# Fields, or groups of them, that decide which slices of which patients a run is made of.
DATA_FIELDS = {"slicing", "phantom", "phantom_subjects", "test_fraction", "cohort"}

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
LATER = ("script", "run", "fingerprint", "skip_bad", "earlier")  # what may be missing
TEXT, NONE = (str, type(None)), type(None)
KINDS = {
    **{"preset": str, "precision": str, "config": dict},
    **{"data": TEXT, "script": TEXT, "run": TEXT, "fingerprint": TEXT},
    **{"skip_bad": (bool, NONE), "earlier": (list, NONE)},
}


def saved_run(out: Optional[Path], needs: str) -> dict:
    """Returns what a run directory's config.json says of its start; UserError if it has none.

    `needs` begins the sentence, such as "--resume needs --out with".
    """
    if out is None or not (out / "config.json").exists():
        raise UserError(f"{needs} a run directory; {out} holds no config.json")
    file = out / "config.json"
    try:
        saved = read_json(file, dict)
        start = {name: saved[name] for name in ("preset", "data", "precision", "config")}
        start.update({name: saved.get(name) for name in LATER})
        for name, kinds in KINDS.items():
            if not isinstance(start[name], kinds):
                raise TypeError(f"{name} is {start[name]!r}")
        if start["precision"] not in PRECISIONS:
            raise ValueError(f"precision is {start['precision']!r}")
        return start
    except UserError as error:
        why = str(error).removeprefix(f"{file} ")
        raise UserError(
            f"{file} does not describe a run: it {why}, or start a new --out"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{file} does not describe a run ({error!r}); start a new --out") from error


def made_by(path: Path, experiments: Sequence[Experiment]) -> Experiment:
    """Returns whose run `--run` names.

    A run that does not tell its script is of the one whose configuration has most of its fields;
    those of sections count, too: lung CT and retina differ in their slices alone.

    Raises UserError for a folder without a run.
    """
    saved = saved_run(path, "--run needs")
    for experiment in experiments:
        if experiment.script == saved["script"]:
            return experiment
    own = set(flatten(saved["config"]))
    return min(experiments, key=lambda one: len(set(flatten(asdict(one.config_type()))) ^ own))


def run_config(path: Path, kind: type, script: str) -> tuple[Any, dict]:
    """Returns the configuration of the run that `--run` names, and what else `saved_run` tells.

    Raises UserError for a folder without a run, or with one of another script than `script`, whose
    configurations are of `kind`.
    """
    saved = saved_run(path, "--run needs")
    if saved["script"] not in (None, script):
        raise UserError(
            f"--run {path} is a run of {saved['script']}; give one of {script}, or take the "
            "command for runs of the other"
        )
    try:
        return from_dict(kind, saved["config"]), saved
    except UserError as error:
        own = {field.name for field in fields(kind)}
        if len(own & set(saved["config"])) < len(own) / 2:
            raise UserError(
                f"--run {path} is no run of {script}, but of another script; give one of {script}"
            ) from error
        raise UserError(f"--run {path} is no run of {script}: {error}") from error


def finished_config(
    path: Path, kind: type, script: str, finished: Callable[[RunDirectory], bool]
) -> Any:
    """Returns the configuration of a finished run, whose networks are used without its data.

    Args:
        path: the run directory.
        kind: class of the configuration.
        script: that made the run.
        finished: function that returns whether the run has done its stage "evaluate".

    Raises UserError if the folder holds no such run, or one that is not finished.
    """
    config, _ = run_config(path, kind, script)
    if not finished(RunDirectory(path, writes=False)):  # else a network may be half trained
        raise UserError(
            f"The run {path} is not finished; continue it with python {script} --out {path} "
            "--resume"
        )
    return config


def check_changes(
    options: Any, saved: Mapping[str, Any], config: Any, reads_run: bool
) -> tuple[str, ...]:
    """Returns what a command line changes of the run that it resumes, as "name: old -> new".

    Args:
        options: the parsed command line.
        saved: of the run, from `saved_run`.
        config: the configuration that the command line asks for.
        reads_run: whether the script works on another run's data.

    Raises UserError for changes without `--allow-config-change`, and for those that not even this
    allows: networks that learnt from some patients must not be continued or judged on others.
    """
    changes = differences(from_dict(type(config), saved["config"]), config)
    phantom = options.data is None and saved["data"] is None
    other = [c for c in changes if not reads_run and _decides_on_data(_name(c), phantom)]
    if options.data is not None and saved["data"] is None and not saved["run"]:
        other.append(f"data: the phantom -> {options.data}")
    if options.skip_bad and not saved["skip_bad"]:
        other.append("skip-bad: False -> True")
    if other:
        raise UserError(
            f"--resume continues {options.out} with its own data, but the command line changes "
            f"{'; '.join(other)}; leave these options out or start a new --out"
        )
    for name in ("preset", "precision"):
        if options[name] not in (None, saved[name]):
            changes.append(f"{name}: {saved[name]} -> {options[name]}")
    if changes and not options.allow_config_change:
        raise UserError(
            f"--resume continues {options.out} with its own configuration, but the command line "
            f"changes {'; '.join(changes)}; leave these options out, add --allow-config-change or "
            "start a new --out"
        )
    return tuple(changes)


def _decides_on_data(name: str, phantom: bool) -> bool:
    """Returns whether a field of a configuration determines the data; the phantom's seed does."""
    parts = name.split(".")
    return bool(DATA_FIELDS & set(parts)) or (phantom and parts[-1] == "seed")


def _name(change: str) -> str:
    return change.partition(":")[0]


def what_stays(changes: Sequence[str], finished: Sequence[str]) -> str:
    """Returns a sentence on the finished stages of a run whose settings change.

    Args:
        changes: as `check_changes` returns them.
        finished: names of the stages, which are part of their fields' names.
    """
    late = [name for name in map(_name, changes) if set(finished) & set(name.split("."))]
    text = f"already trained, not repeated: {', '.join(finished)}"
    too_late = "; these changed settings no longer take effect: "
    return f"{text}{too_late}{', '.join(late)}" if late else text
