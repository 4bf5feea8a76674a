"""The training loop of every system: restore, train, log, save, draw; nothing about any paper.

Inner loop: a `tf.function` that runs several steps under the strategy and stops at the first
non-finite number. Outer loop: Python, between calls; checkpoints, summaries, pictures, signals.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, NamedTuple, NoReturn, Optional

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from utils.errors import NOT_NEGATIVE, UserError, at_least, check_fields
from utils.reporting.pictures import write_png
from utils.runs.run_directory import RunDirectory
from utils.training.alarms import Alarms
from utils.training.checkpoints import Checkpoints
from utils.training.distribute import any_worker, keeping_rates, wait_for_all_workers
from utils.training.faults import (
    NO_HINTS,
    BadStep,
    Hints,
    all_finite,
    naming_exhausted_memory,
    updated_before,
)
from utils.training.signals import Interrupted, StopSignal


class Samples(NamedTuple):
    """Samples of a system that are shown at intervals.

    Attributes:
        pictures: uint8 [H,W,3] by name.
        figures: metrics by name, such as `collapse/variance`.
    """

    pictures: Mapping[str, np.ndarray]
    figures: Mapping[str, float] = {}


@dataclass(frozen=True)
class Schedule:
    """How long and how often.

    Args:
        steps: updates in all; 0 takes `epochs` instead.
        epochs: passes over the training slices or volumes, used when `steps` is 0.
        batch_size: slices, or volumes, per update over all devices.
        steps_per_call: updates per compiled call; progress and signals are seen between calls.
        log_every: updates between log lines.
        picture_every: updates between sample pictures.
        checkpoint_minutes: minutes between checkpoints.
    """

    steps: int = 0
    epochs: int = 200
    batch_size: int = 4
    steps_per_call: int = 20
    log_every: int = 100
    picture_every: int = 2000
    checkpoint_minutes: float = 10.0

    def __post_init__(self) -> None:
        counts = ("epochs", "batch_size", "steps_per_call", "log_every", "picture_every")
        limits = dict.fromkeys(("steps", "checkpoint_minutes"), NOT_NEGATIVE)
        check_fields(self, "--schedule.", **dict.fromkeys(counts, at_least(1)), **limits)

    def total_steps(self, num_slices: int) -> int:
        """Returns the number of updates for a training set of `num_slices`."""
        return self.steps or max(1, self.epochs * num_slices // self.batch_size)


class CompiledSteps:
    """The inner loop over a system's training steps; trainers of one system may share it.

    Args:
        system: a `GANSystem`, built under `strategy.scope()`.
        strategy: the distribution strategy.
    """

    def __init__(self, system: Any, strategy: tf.distribute.Strategy):
        self.system = system
        self.strategy = strategy
        self._names: list = []  # of the terms, known after tracing
        self._step = tf.function(self._distributed_step)
        self._steps = tf.function(self._several_steps)

    def run(self, iterator: Any, count: int) -> tuple:
        """Runs up to `count` steps, fewer if a term is no longer finite.

        Returns the number of steps, each term's sum over them but for one that is not finite, the
        terms and the `source` of the last step.
        """
        if not self._names:
            # Tracing alone tells the terms' names, which the compiled loop needs.
            terms, _ = self._step.get_concrete_function(iterator).structured_outputs
            self._names = sorted(terms)
        return self._steps(iterator, tf.constant(count))

    def _distributed_step(self, iterator: Any) -> tuple:
        batch = next(iterator)
        # Steps have no Python control flow over tensors; unconverted they trace faster.
        train_step = tf.autograph.experimental.do_not_convert(self.system.train_step)
        terms = self.strategy.run(train_step, args=(batch,))
        means = {
            name: self.strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
            for name, value in terms.items()
        }
        sources = self.strategy.experimental_local_results(batch["source"])
        return means, tf.concat(sources, axis=0)

    def _several_steps(self, iterator: Any, count: tf.Tensor) -> tuple:
        sums = {name: tf.constant(0.0) for name in self._names}
        last = dict(sums)
        source = tf.zeros([0, 0], tf.int32)
        done, finite = tf.constant(0), tf.constant(True)
        while tf.logical_and(done < count, finite):
            tf.autograph.experimental.set_loop_options(
                shape_invariants=[(source, tf.TensorShape(None))]
            )
            last, source = self._step(iterator)
            finite = tf.reduce_all(tf.math.is_finite(tf.stack(list(last.values()))))
            sums = {name: tf.where(finite, sums[name] + last[name], sums[name]) for name in sums}
            done += 1
        return done, sums, last, source


class Trainer:
    """Trains one system to the end of its schedule.

    Args:
        system: a `GANSystem`, built under `strategy.scope()`.
        stage: its name in the run directory.
        run: where to write.
        schedule: intervals.
        total_steps: updates in all.
        strategy: the distribution strategy.
        describe_source: names the cases behind a batch's `source` numbers, for error messages.
        samples: function that returns pictures and metrics of the outputs for fixed inputs.
        compiled: the inner loop of an earlier trainer of the same system; compiling takes seconds.
        hints: options that the sentences about faults name.
    """

    def __init__(
        self,
        system: Any,
        stage: str,
        run: RunDirectory,
        schedule: Schedule,
        total_steps: int,
        strategy: tf.distribute.Strategy,
        describe_source: Callable[[np.ndarray], str],
        samples: Optional[Callable[[], Samples]] = None,
        compiled: Optional[CompiledSteps] = None,
        hints: Hints = NO_HINTS,
    ):
        self.system = system
        self.stage = stage
        self.run = run
        self.schedule = schedule
        self.total_steps = total_steps
        self.strategy = strategy
        self.describe_source = describe_source
        self.samples = samples
        self.checkpoints = Checkpoints(system, run.checkpoints(stage), writes=run.writes)
        self.compiled = compiled or CompiledSteps(system, strategy)
        self.hints = hints
        self._saved = 0  # step of the newest checkpoint
        self._alarms = Alarms(stage)

    def fit(self, batches: Callable[[int], Iterable]) -> None:
        """Trains from the restored step to the last.

        Args:
            batches: from a step number to the distributed data set that starts at that step.

        Raises:
            Interrupted: after SIGINT or SIGTERM to any worker, when the state has been saved.
            NonFiniteError: names terms and cases; the state before the bad step has been saved.
            OutOfMemoryError: names the options that need less; the last checkpoint is untouched.
        """
        with keeping_rates(self.system.optimizers.values()):
            step = self._saved = self.checkpoints.restore()
        if step >= self.total_steps:
            return
        if self.run.writes:
            self.run.rewind_history(self.stage, step)
        writer = self._summary_writer()
        bar = tqdm(total=self.total_steps, initial=step, desc=self.stage, unit="step")
        with StopSignal() as stop, writer.as_default(), bar:
            iterator = iter(batches(step))  # refuses bad data before anything is drawn from it
            if step == 0:
                self._draw(0)
            self._loop(iterator, step, bar, stop)
        writer.close()
        wait_for_all_workers(self.strategy)  # the last checkpoint is whole before anyone reads it

    def _loop(self, iterator: Any, step: int, bar: tqdm, stop: StopSignal) -> None:
        schedule = self.schedule
        saved = started = time.monotonic()
        first = step  # of those that `started` times
        while step < self.total_steps:
            count = self._advance(iterator, self._steps_until_next_event(step), step)
            step += count
            bar.update(count)
            last = step == self.total_steps
            if step % schedule.log_every == 0 or last:
                seconds = time.monotonic() - started
                self._log(step, self.checkpoints.means.take(), seconds / (step - first), bar)
                first, started = step, time.monotonic()
            if step % schedule.picture_every == 0 or last:
                self._draw(step)
            overdue = time.monotonic() - saved > 60 * schedule.checkpoint_minutes
            # Read once: a stop that comes later waits for the next call.
            stopping = any_worker(self.strategy, stop.requested)
            if last or overdue or stopping:
                self._save(step)
                saved = time.monotonic()
            if stopping:
                raise Interrupted(f"{self.stage} at step {step} of {self.total_steps}")

    def _steps_until_next_event(self, step: int) -> int:
        schedule = self.schedule
        events = [self.total_steps - step]
        for interval in (schedule.steps_per_call, schedule.log_every, schedule.picture_every):
            events.append(interval - step % interval)
        return min(events)

    def _advance(self, iterator: Any, count: int, step: int) -> int:
        """Runs up to `count` steps and returns how many; a bad one is the last of the training."""
        batch_size, replicas = self.schedule.batch_size, self.strategy.num_replicas_in_sync
        with naming_exhausted_memory(self.stage, batch_size, replicas, self.hints):
            done, sums, last, source = self.compiled.run(iterator, count)
            done = int(done)
        terms = {name: float(value) for name, value in last.items()}
        finite = np.all(np.isfinite(list(terms.values())))
        good = done if finite else done - 1
        self.checkpoints.means.add({k: float(v) / good for k, v in sums.items() if good}, good)
        if not finite:
            self._stop(step + done, terms, source.numpy())
        if self.run.writes:
            self._alarms.see({k: v for k, v in terms.items() if k.startswith("loss_scale/")})
        return done

    def _save(self, step: int) -> None:
        self.checkpoints.save(step)
        self._saved = step

    def _stop(self, step: int, terms: dict[str, float], source: np.ndarray) -> NoReturn:
        """Saves the state before a bad step if it is sound; writes down and raises what happened.

        The step's own updates were left out, see `utils.training.distribute.apply_updates`.
        """
        optimizers = self.system.optimizers
        variables = [v for net in self.system.networks.values() for v in net.variables]
        for optimizer in optimizers.values():
            variables += optimizer.variables()
        finite = all_finite(variables)
        if finite and step - 1 > self._saved:
            self._save(step - 1)
        bad = BadStep(
            self.stage,
            step,
            terms,
            [self.describe_source(row[None]) for row in source],
            finite,
            updated_before(step, terms, optimizers),
            self._saved or None,
        )
        record = bad.write(self.run.faults) if self.run.writes else None
        raise bad.error(record, self.hints)

    def _summary_writer(self) -> tf.summary.SummaryWriter:
        if not self.run.writes:
            return tf.summary.create_noop_writer()
        return tf.summary.create_file_writer(str(self.run.tensorboard(self.stage)))

    def _log(self, step: int, means: dict[str, float], seconds: float, bar: tqdm) -> None:
        bar.set_postfix({k: f"{v:.3g}" for k, v in means.items() if k.startswith("loss/")})
        for name, value in {**means, "time/step_seconds": seconds}.items():
            tf.summary.scalar(f"{self.stage}/{name}", value, step)
        if self.run.writes:
            self._alarms.see({name: means[name] for name in self.system.monitored})
            row = {"stage": self.stage, "step": step, "seconds_per_step": seconds, **means}
            self.run.append_history(row)

    def _draw(self, step: int) -> None:
        if self.samples is None or not self.run.writes:
            return
        pictures, figures = self.samples()
        for name, picture in pictures.items():
            tf.summary.image(f"{self.stage}/{name}", picture[None], step)
            path = Path(self.run.samples) / f"{self.stage}_{name}_{step:07d}.png"
            write_png(path, picture)
        for name, value in figures.items():
            tf.summary.scalar(f"{self.stage}/{name}", value, step)
        if step > 0:  # before the first step all samples may well be alike
            self._alarms.see(figures)


def check_batch_sizes(
    option: str, schedules: Any, names: Iterable[str], strategy: tf.distribute.Strategy
) -> None:
    """Raises UserError, naming `<option>.<name>.batch_size`, if replicas cannot share a batch.

    `schedules` has a `Schedule` under each of the trainings' names.
    """
    for name in names:
        batch_size = getattr(schedules, name).batch_size
        check_batch_size(f"{option}.{name}.batch_size", batch_size, strategy)


def check_batch_size(option: str, batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError, naming `option`, if the replicas cannot share a batch equally."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UserError(
            f"{option} is {batch_size} but {replicas} devices train together; "
            f"choose a multiple of {replicas}"
        )
