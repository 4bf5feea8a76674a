"""One stage measured: its step, the wait for data, its reference, bare convolutions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Callable, NamedTuple, Optional

import tensorflow as tf

from experiments.benchmarking.reference import reference_step
from experiments.benchmarking.stages import Untrained, stage_batches
from models.system import Batch, Terms
from utils.benchmarking.convolutions import Convolution, forward_convolutions, step_flops
from utils.benchmarking.profiling import operation_shares
from utils.benchmarking.timing import Spread, interleaved, peak_mib, timed

WARM_UP = 2  # updates before the first that counts
STEP, REFERENCE = "step", "reference"


class Training(NamedTuple):
    """Updates as a training makes them: a batch from the pipeline, a step, and so on.

    Attributes:
        waiting: seconds of all waits for `next(iterator)`.
        stepping: seconds of all steps.
        updates: their number.
    """

    waiting: float
    stepping: float
    updates: int


def measured(
    context: Untrained, stage: str, repeats: int, compare: bool, profile: bool
) -> dict[str, Any]:
    """Returns the measurements of a stage by their names in the table.

    A step is an update on a batch in memory. `conv_gflops` is the rate of bare convolutions: every
    different Conv2D of the step by itself, weighted with its number. `conv_fraction` is the
    fraction of a step that its convolutions, forward and backward, would take at that rate.
    `peak_mib` is the process' most memory so far, without this stage's reference implementation but
    with all of earlier stages.

    Args:
        context: the run.
        stage: one of its trainings.
        repeats: updates in training order, then turns of step, reference and convolutions.
        compare: whether to measure the reference implementation; without it its results are None.
        profile: whether to give `operations`, see `operation_shares`, of a step; otherwise None.
    """
    system, batches = context.build(stage), iter(stage_batches(context, stage))
    step = compiled(system.train_step, context.strategy)
    training = train(step, batches, repeats)
    peak, batch = peak_mib(), next(batches)
    reference = compiled(lambda batch: reference_step(system, batch), context.strategy)
    actions: dict[Any, Callable[[], Callable[[], Any]]] = {STEP: lambda: lambda: step(batch)}
    if compare:
        actions[REFERENCE] = lambda: lambda: reference(batch)
    graph = step.get_concrete_function(batch).graph
    convolutions = forward_convolutions(graph)
    actions.update({convolution: convolution.bare for convolution in convolutions})
    times = interleaved(actions, repeats)
    batch_size = getattr(context.config.schedule, stage).batch_size
    devices = context.strategy.num_replicas_in_sync
    reference_graph = reference.get_concrete_function(batch).graph if compare else None
    return {
        **_step_figures(times[STEP], times.get(REFERENCE)),
        "images_per_s": batch_size * training.updates / (training.waiting + training.stepping),
        "data_wait": training.waiting / (training.waiting + training.stepping),
        **_convolution_figures(step_flops(graph), convolutions, times, devices),
        "plain_conv_gflop": reference_graph and step_flops(reference_graph) / 1e9,
        "peak_mib": peak,
        "operations": operation_shares(lambda: step(batch)) if profile else None,
    }


def compiled(
    train_step: Callable[[Batch], Terms], strategy: tf.distribute.Strategy
) -> tf.types.experimental.GenericFunction:
    """Returns a step on a batch of the strategy's, compiled like that of a training."""
    return tf.function(lambda batch: strategy.run(train_step, args=(batch,)), autograph=False)


def train(step: Callable[[Batch], Any], batches: Iterator[Batch], updates: int) -> Training:
    """Makes updates, one batch after the other, and measures them."""
    for _ in range(WARM_UP):
        step(next(batches))
    waiting = stepping = 0.0
    for _ in range(updates):
        taken, batch = timed(partial(next, batches))
        waiting += taken
        stepping += timed(partial(step, batch))[0]
    return Training(waiting, stepping, updates)


def _step_figures(step: list[float], reference: Optional[list[float]]) -> dict[str, Any]:
    """Returns milliseconds and quartiles of the seconds of both, and their ratio."""
    figures: dict[str, Any] = {"speedup": None}
    for title, seconds in (("step_ms", step), ("plain_step_ms", reference)):
        figures.update({title: None, f"{title}_quartiles": None})
        if seconds:
            spread = Spread.of([1000 * taken for taken in seconds])
            figures.update({title: spread.median, f"{title}_quartiles": [spread.low, spread.high]})
    if reference:
        figures["speedup"] = figures["plain_step_ms"] / figures["step_ms"]
    return figures


def _convolution_figures(
    flops: int,
    convolutions: Mapping[Convolution, int],
    times: Mapping[Any, list[float]],
    devices: int,
) -> dict[str, float]:
    """Returns the step's convolutions in GFLOP, the rate of bare ones, and `conv_fraction`."""
    bare_flops = sum(count * each.flops for each, count in convolutions.items())
    bare_seconds = sum(
        count * Spread.of(times[each]).median for each, count in convolutions.items()
    )
    rate = bare_flops / bare_seconds
    # Logical CPUs share the cores with which the rate was measured; GPUs do not.
    sources = devices if tf.config.list_physical_devices("GPU") else 1
    share = flops / (rate * sources) / Spread.of(times[STEP]).median
    return {"conv_gflop": flops / 1e9, "conv_gflops": rate / 1e9, "conv_fraction": share}
