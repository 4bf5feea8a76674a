"""A script as data: its presets, its stages, the data or the finished runs that it works on.

Everything about a stage stands in one place. The loop, `--dry-run`, `--resume`, the memory
estimate and the benchmark read it from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Optional, Union

import tensorflow as tf

from data.contract import MAPS, DataSet
from data.splits import Split
from experiments.engine.fitting import Draw, fit
from experiments.engine.request import Request
from models.system import GANSystem
from utils.config import flatten
from utils.errors import UserError
from utils.training.checkpoints import saved_step
from utils.training.trainer import CompiledSteps, Schedule

if TYPE_CHECKING:
    from experiments.engine.run import Run
    from experiments.engine.sources import Sources
    from experiments.engine.synthetic_sets import Drawing
    from experiments.engine.table import Table


@dataclass(frozen=True)
class Option:
    """An option of one script, besides the options of all scripts.

    Attributes:
        name: name of the option without dashes, such as "rows".
        type: type of its value, such as `str` or `Optional[Path]`; a `bool` is a switch without
            value.
        default: its value when it is left out.
        help: one line, with the unit if there is one.
    """

    name: str
    type: Any
    default: Any
    help: str

    @property
    def field(self) -> str:
        """The name under which the parser keeps the value."""
        return self.name.replace("-", "_")


def never(config: Any) -> str:
    """Returns "": no configuration leaves a stage without work."""
    return ""


@dataclass(frozen=True)
class Task:
    """A stage that is not the training of one system.

    Attributes:
        name: name of the stage on the command line.
        work: function that does the work.
        done: function that returns whether the run directory holds the complete result; a complete
            result is kept.
        needs: names of the stages whose results it reads.
        always: whether the work is done at every start, as for a report.
        alone: whether one process does it, without the other workers.
    """

    name: str
    work: Callable[[Run], None]
    done: Callable[[Run], bool] = lambda run: False
    needs: tuple[str, ...] = ()
    always: bool = False
    alone: bool = True
    part_of: ClassVar[str] = ""
    skip: ClassVar[Callable[[Any], str]] = staticmethod(never)

    def perform(self, run: Run) -> None:
        """Does the work unless it is done; if `alone`, where files are written."""
        if self.done(run) and not self.always:
            return
        if not self.alone:
            self.work(run)
        elif run.writes:
            # Building networks under the strategy would wait for the other workers.
            self.work(run.alone())

    def finished(self, run: Run) -> bool:
        """Returns whether the run directory holds the complete result."""
        return self.done(run)


def _scheduled(run: Run, name: str) -> Schedule:
    return getattr(run.config.schedule, name)


@dataclass(frozen=True)
class Training:
    """A stage that trains one system; every worker takes part.

    Attributes:
        name: name of the stage in folders, log lines, seeds, and on the command line.
        build: function that makes the system with initial weights, under the run's strategy.
        batches: function from (run, this stage) to the function that builds the batches, see
            `Run.pipeline`.
        draw: function from (`system.synthesize`, fixed examples, data set) to pictures by name.
        keys: batch keys that the system reads; default: all keys of slices with label and maps.
        learning_rate: the option that sets it, such as "structure.learning_rate", or the function
            from the configuration to the option.
        batch_size: the option that sets it, such as "schedule.structure.batch_size".
        needs: names of the stages whose results it reads.
        part_of: name of the stage on the command line that this training is a part of.
        skip: function from the configuration to the reason to leave the stage out; "" = no reason.
        subjects: part of the split that it learns from, or a function from the run to the subjects.
        begin: function that changes a new system before its first update.
        schedule: function from (run, name) to the length of the training.
    """

    name: str
    build: Callable[[Run], GANSystem]
    batches: Callable[[Run, Training], Callable[..., tf.data.Dataset]]
    draw: Optional[Draw] = None
    keys: tuple[str, ...] = ("images", "label", *MAPS, "seed", "source")
    learning_rate: Union[str, Callable[[Any], str]] = "learning rate"
    batch_size: str = "batch size"
    needs: tuple[str, ...] = ()
    part_of: str = ""
    skip: Callable[[Any], str] = never
    subjects: Union[str, Callable[[Run], tuple[str, ...]]] = "train"
    begin: Optional[Callable[[Run, GANSystem], None]] = None
    schedule: Callable[[Run, str], Schedule] = _scheduled
    always: ClassVar[bool] = False

    def options(self, config: Any) -> tuple[str, str]:
        """Returns the options that set learning rate and batch size."""
        rate = self.learning_rate
        return rate(config) if callable(rate) else rate, self.batch_size

    def perform(
        self,
        run: Run,
        system: Optional[GANSystem] = None,
        compiled: Optional[CompiledSteps] = None,
    ) -> None:
        """Brings the system to the end of its schedule, from wherever its checkpoint stands.

        Args:
            run: the run.
            system: with the weights of its start; default: a new one.
            compiled: its inner loop, if another training has compiled it.
        """
        reason = self.skip(run.config)
        if reason:
            if not self.part_of:
                print(f"{self.name}: left out, {reason}")
            return
        system = system or run.build(self)
        if self.begin and not saved_step(run.checkpoints(self.name)):
            self.begin(run, system)
        trainer, batches = fit(run, self, system, compiled)
        trainer.fit(batches)

    def finished(self, run: Run) -> bool:
        """Returns whether the checkpoint stands at the last step.

        Raises UserError if a checkpoint's files are missing or unreadable.
        """
        return bool(self.skip(run.config)) or run.trained_to_the_end(self)


Stage = Union[Task, Training]


def _no_check(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Accepts every request."""


@dataclass(frozen=True)
class Experiment:
    """What distinguishes one script from another.

    Attributes:
        script: its path, from the repository on.
        summary: its first line of `--help`.
        presets: configurations by name.
        variants: settings of other sources, such as the released code: by name of the variant, the
            values that it changes in a preset, by dotted names of fields.
        shown: nested settings that `--help` shows, beside those that are in no group.
        stages: in order, `Task`s and `Training`s.
        key: prefix of its metrics in metrics.json, such as "figure14", if it has no table.
        data: the data set that it trains on, or a function to it from (configuration, folder of the
            user or None); None for a script that works on finished runs.
        divide: function from (subject ids, configuration) to a split; default: training and test by
            patient, with the configuration's `test_fraction` and `seed`.
        split: class of the split.
        sources: the finished runs that it works on.
        options: further options; on resume their values may differ from those of the start.
        check: function of (request, strategy) that refuses an impossible request before data is
            read.
        outline: function that returns what `--dry-run` prints of a script on finished runs.
        table: the table that it fills.
        drawing: how synthetic sets are drawn with its runs.
    """

    script: str
    summary: str
    presets: Mapping[str, Any]
    stages: tuple[Stage, ...]
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    key: str = ""
    data: Union[DataSet, Callable[[Any, Optional[Path]], DataSet], None] = None
    divide: Optional[Callable[[Sequence[str], Any], Split]] = None
    split: type[Split] = Split
    sources: Optional[Sources] = None
    options: tuple[Option, ...] = ()
    check: Callable[[Request, tf.distribute.Strategy], None] = _no_check
    outline: Callable[[Request], str] = lambda request: ""
    table: Optional[Table] = None
    drawing: Optional[Drawing] = None

    def __post_init__(self) -> None:
        """Raises ValueError for a stage that names what is not there: it would be noticed late."""
        first = next(iter(self.presets.values()))
        options = flatten(asdict(first))
        before: list[str] = []
        for stage in self.stages:
            missing = [name for name in stage.needs if name not in before]
            if missing:
                raise ValueError(f"{stage.name} needs {missing[0]}, which no stage before it is")
            before += [stage.name, stage.part_of]
            for option in stage.options(first) if isinstance(stage, Training) else ():
                if option.startswith("--") and option[2:] not in options:
                    raise ValueError(f"{stage.name} names the option {option}, which is no field")

    @property
    def config_type(self) -> type:
        """The class of its configurations."""
        return type(next(iter(self.presets.values())))

    @property
    def reads_run(self) -> bool:
        """Whether `--run` names the finished run that it works on."""
        return getattr(self.sources, "named", False)

    @property
    def prefix(self) -> str:
        """The prefix of its metrics in metrics.json; "" for trainings."""
        return self.table.key if self.table else self.key

    @property
    def trainings(self) -> tuple[Training, ...]:
        """The stages that train, in order."""
        return tuple(stage for stage in self.stages if isinstance(stage, Training))

    @property
    def names(self) -> tuple[str, ...]:
        """The stages' names on the command line, in order."""
        return tuple(dict.fromkeys(stage.part_of or stage.name for stage in self.stages))

    def stage(self, name: str) -> Stage:
        """Returns the stage of a name."""
        return next(stage for stage in self.stages if stage.name == name)

    def chosen(self, names: Iterable[str]) -> list[Stage]:
        """Returns the stages of some names, with those that are part of them, in order."""
        names = set(names)
        return [stage for stage in self.stages if names & {stage.name, stage.part_of}]

    def dataset(self, config: Any, folder: Optional[Path]) -> DataSet:
        """Returns the data set that it trains on, given the user's folder, None = the phantom.

        Raises UserError for a folder that does not tell what is in it.
        """
        return self.data if isinstance(self.data, DataSet) else self.data(config, folder)

    def check_labels(self, names: Iterable[str], config: Any, folder: Optional[Path]) -> None:
        """Raises UserError if a chosen training reads a label that the data set does not have."""
        for stage in self.chosen(names) if self.data else ():
            if isinstance(stage, Training) and "label" in stage.keys and not stage.skip(config):
                dataset = self.dataset(config, folder)
                dataset.check_label(f"the networks of stage {stage.name}")

    def check_needs(self, names: Sequence[str], finished: Callable[[Stage], bool]) -> None:
        """Raises UserError if a chosen stage needs one that is neither chosen nor `finished`."""
        for stage in self.chosen(names):
            needed = [name for name in stage.needs if name not in names]
            missing = [n for n in needed if not all(map(finished, self.chosen([n])))]
            if missing:
                raise UserError(
                    f"--stages has {stage.name}, which needs {', '.join(missing)}, neither chosen "
                    "nor finished in --out; add to --stages or continue another run with --resume"
                )
