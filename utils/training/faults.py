"""Faults that stop a training: one sentence for the user, a record of the causes in the run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import tensorflow as tf

from utils.errors import TrainingError
from utils.runs.files import write_json

CHANGE = "--resume --allow-config-change"


class NonFiniteError(TrainingError):
    """A loss or gradient stopped being a number."""


class OutOfMemoryError(TrainingError):
    """A training step needed more memory than its device has."""


@dataclass(frozen=True)
class Hints:
    """What the sentences about a training's faults can name.

    Attributes:
        learning_rate: option that sets it, such as "--structure.learning_rate".
        batch_size: option that sets it.
        size: height and width of the slices, pixels.
    """

    learning_rate: str = "learning rate"
    batch_size: str = "batch size"
    size: Optional[tuple[int, int]] = None


NO_HINTS = Hints()


@dataclass(frozen=True)
class BadStep:
    """A step with a loss or gradient that is not finite.

    Attributes:
        stage: name of the training.
        step: number of the step, from 1.
        terms: all terms of the step.
        cases: a name for each slice of the batch, of this process' replicas.
        finite_state: whether all weights and optimisers are finite.
        updated: optimisers that had made their update before the bad gradient was known.
        checkpoint: step of the newest checkpoint, or None if there is none.
    """

    stage: str
    step: int
    terms: Mapping[str, float]
    cases: Sequence[str]
    finite_state: bool
    updated: Sequence[str]
    checkpoint: Optional[int]

    def write(self, folder: Path) -> Path:
        """Writes `<stage>-<step>.json` and returns its path; "nan" and "inf" are strings in it."""
        bad = {name: str(value) for name, value in self.terms.items() if not math.isfinite(value)}
        content = {
            "stage": self.stage,
            "step": self.step,
            "bad_terms": bad,
            "other_terms": {k: v for k, v in self.terms.items() if k not in bad},
            "cases": list(self.cases),
            "finite_state": self.finite_state,
            "updated_before": list(self.updated),
            "checkpoint_step": self.checkpoint,
        }
        path = folder / f"{self.stage}-{self.step}.json"
        write_json(path, content)
        return path

    def error(self, record: Optional[Path], hints: Hints) -> NonFiniteError:
        """Returns the error that names terms, cases, checkpoint, record and how to go on."""
        bad = sorted(name for name, value in self.terms.items() if not math.isfinite(value))
        are = "is" if len(bad) == 1 else "are"
        parts = [
            f"{self.stage}: {', '.join(bad)} {are} not finite at step {self.step}; cases: "
            f"{'; '.join(self.cases)}",
            self._state(),
            *([f"{record} has all terms"] if record else []),
            f"go on with {CHANGE} and a smaller {hints.learning_rate}{_or_float32()}",
        ]
        return NonFiniteError("; ".join(parts))

    def _state(self) -> str:
        saved = "" if self.checkpoint is None else f"the checkpoint of step {self.checkpoint}"
        if not self.finite_state:
            earlier = f"{saved} is the last good one" if saved else "there is no checkpoint yet"
            return f"weights are not finite any more either, {earlier}"
        if self.updated:
            return f"{saved} holds the state before it, but for the update of {self.updated[0]}"
        return f"{saved} holds the state before it" if saved else "it was the first step"


def _or_float32() -> str:
    policy = tf.keras.mixed_precision.global_policy().name
    return "" if policy == "float32" else " or --precision float32"


def all_finite(variables: Iterable[tf.Variable]) -> bool:
    """Returns whether all floating-point variables are finite everywhere."""
    values = (tf.convert_to_tensor(v) for v in variables if v.dtype.is_floating)
    return all(bool(tf.reduce_all(tf.math.is_finite(value))) for value in values)


def updated_before(
    step: int, terms: Mapping[str, float], optimizers: Mapping[str, tf.keras.optimizers.Optimizer]
) -> list[str]:
    """Returns the optimisers whose own gradient of a bad step was finite and has been applied.

    Only systems that update their networks in turns have them. Each makes one update a step; what
    loss scaling skips counts, too, but has the norm 0.
    """
    counted = [name for name, adam in optimizers.items() if adam.iterations.numpy() >= step]
    return [name for name in counted if terms.get(f"gradient_norm/{name}") != 0.0]


@contextmanager
def naming_exhausted_memory(
    stage: str, batch_size: int, replicas: int, hints: Hints
) -> Iterator[None]:
    """Raises OutOfMemoryError instead of TensorFlow's error of a training step.

    Args:
        stage: name of the training.
        batch_size: slices per step over all replicas.
        replicas: number of devices.
        hints: options to name.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        policy = tf.keras.mixed_precision.global_policy().name
        size = f" of {hints.size[0]}x{hints.size[1]} pixels" if hints.size else ""
        smaller = "" if policy != "float32" else ", --precision mixed_bfloat16"
        raise OutOfMemoryError(
            f"{stage}: a device has too little memory for {batch_size // replicas} samples{size} "
            f"per device in {policy}; the last checkpoint is intact; go on with {CHANGE} and a "
            f"smaller {hints.batch_size}{smaller} or more --devices, or start a new run with "
            "narrower networks or smaller images"
        ) from error
