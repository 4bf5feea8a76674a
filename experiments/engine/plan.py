"""`--dry-run`: what a run would do, and how much memory that takes, without doing it."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from data.contract import DataSet, batch_shapes
from experiments.engine.experiment import Experiment, Training
from experiments.engine.request import Request
from experiments.engine.run import Untrained
from models.system import GANSystem
from utils.config import to_yaml
from utils.graphs import peak_bytes
from utils.training.trainer import Schedule

PROCESS_MIB = 1000  # Python, TensorFlow and its compiled graphs


class Planned(Untrained):
    """A run without data, in which the number of updates is not known."""

    def schedule(self, training: Training) -> Schedule:
        """Returns a stage's schedule as it is configured."""
        return training.schedule(self, training.name)

    def total_steps(self, stage: str) -> int:
        """Returns 1, on which no graph depends."""
        return 1


class Memory(NamedTuple):
    """What training takes on one device, bytes.

    Attributes:
        kept: weights, also of networks that only guide, and the optimisers' moments.
        step: peak memory of the tensors of an update.
    """

    kept: int
    step: int


def print_plan(experiment: Experiment, request: Request, replicas: int) -> None:
    """Prints configuration and stages, and each training's networks, length and memory.

    Args:
        experiment: the script.
        request: the command line.
        replicas: devices that share a batch.
    """
    config = request.config
    if dataclasses.fields(config):
        print(to_yaml(config))
    if experiment.sources:
        print(f"works on: {experiment.sources.describe(request)}")
        print(experiment.outline(request) or f"stages: {' -> '.join(request.stages)}")
        return
    print(f"stages: {' -> '.join(request.stages)}\n")
    run = Planned(experiment, request, tf.distribute.get_strategy(), writes=False)
    chosen = experiment.chosen(request.stages)
    _print_networks(run)
    print("\nlength of each training, and an estimate of the memory that it takes on each device;")
    print(f"a process has about {PROCESS_MIB:,} MiB of main memory beside that")
    for training in (stage for stage in chosen if stage in experiment.trainings):
        schedule, reason = run.schedule(training), training.skip(config)
        length = f"{schedule.steps} steps" if schedule.steps else f"{schedule.epochs} epochs"
        line = f"  {training.name:<14}{length} of batch {schedule.batch_size}"
        if reason:
            print(f"{line}  (left out: {reason})")
            continue
        batch_size, size = schedule.batch_size // replicas, run.dataset.size(config.slicing)
        memory = step_memory(run.trained(training), run.dataset, batch_size, size)
        total, kept = ((size / 2**20) for size in (sum(memory), memory.kept))
        print(f"{line}  {total:,.0f} MiB, {kept:,.0f} of it weights and optimisers")


def _print_networks(run: Planned) -> None:
    """Prints the networks of all trainings with their numbers of parameters."""
    print(f"{'network':<10}{'parameters':>14}   optimiser group")
    for training in run.experiment.trainings:
        if training.part_of or training.skip(run.config):
            continue
        system = run.trained(training)
        groups = {net: group for group, nets in system.groups.items() for net in nets}
        for name, network in system.networks.items():
            count = sum(int(tf.size(variable)) for variable in network.trainable_variables)
            print(f"{name:<10}{count:>14,}   {type(system).__name__} {groups.get(name, '')}")


def step_memory(
    system: GANSystem, dataset: DataSet, batch_size: int, size: tuple[int, ...]
) -> Memory:
    """Estimates what a system's training takes on one device, from the graph of its step.

    Args:
        system: the system.
        dataset: what it learns from.
        batch_size: slices per device.
        size: height and width of the slices, pixels.
    """
    step = tf.function(system.train_step, autograph=False)
    shapes = batch_shapes(dataset, batch_size, size)
    batch = {key: tf.TensorSpec(*shape_and_type) for key, shape_and_type in shapes.items()}
    graph = step.get_concrete_function(batch).graph
    owners = (*system.networks.values(), graph)  # the graph also reads networks that only guide
    kept = [v for owner in owners for v in owner.variables]
    kept += [v for optimizer in system.optimizers.values() for v in optimizer.variables()]
    sizes = {v.ref(): v.shape.num_elements() * v.dtype.size for v in kept}
    return Memory(sum(sizes.values()), peak_bytes(graph))
