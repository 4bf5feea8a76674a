"""`--dry-run`: what a run would do, and how much memory that takes, without doing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

import tensorflow as tf

from data.brats.dataset import BRATS
from data.contract import batch_shapes
from experiments.configs.brats import TRAININGS, BratsConfig
from models.structure_gan.registration import Registration
from models.structure_gan.segmentation import Segmentation
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Pretraining, Synthesis
from models.system import GANSystem
from utils.config import to_yaml
from utils.graphs import peak_bytes

PROCESS_MIB = 1000  # Python, TensorFlow and its compiled graphs


class Memory(NamedTuple):
    """What training takes on one device, bytes.

    Attributes:
        kept: weights, also of networks that only guide, and the optimisers' moments.
        step: the most that the tensors of an update hold at once.
    """

    kept: int
    step: int


def print_brats_plan(config: BratsConfig, stages: Sequence[str], replicas: int) -> None:
    """Prints the plan of the main system."""
    segmenters, translator = Segmentation(config.segmentation), Registration(config.registration)
    systems = {
        "structure": StructureGAN(config.structure),
        "segmentation": segmenters,
        "registration": translator,
        "synthesis": Synthesis(config.synthesis, translator, segmenters),
    }
    trainings = {**systems, "pretraining": Pretraining(config.synthesis)}
    chosen = [*stages, *(["pretraining"] if "synthesis" in stages else [])]
    left_out = {} if config.pretrain else {"pretraining": "pretrain is false"}
    print_settings(config, stages, systems.values())
    in_order = {name: trainings[name] for name in TRAININGS if name in chosen}
    print_trainings(config, in_order, left_out, replicas)


def print_settings(config: Any, stages: Sequence[str], systems: Iterable[GANSystem]) -> None:
    """Prints the configuration (with loss weights and schedule), the stages and the networks."""
    print(to_yaml(config))
    print(f"stages: {' -> '.join(stages)}\n")
    print(f"{'network':<10}{'parameters':>14}   optimiser group")
    for system in systems:
        groups = {net: group for group, nets in system.groups.items() for net in nets}
        for name, network in system.networks.items():
            count = sum(int(tf.size(variable)) for variable in network.trainable_variables)
            print(f"{name:<10}{count:>14,}   {type(system).__name__} {groups.get(name, '')}")


def print_trainings(
    config: Any,
    systems: Mapping[str, Optional[GANSystem]],
    left_out: Mapping[str, str],
    replicas: int,
) -> None:
    """Prints how long each training is and what memory it takes; estimates take seconds.

    Args:
        config: with `slicing`, and `schedule`, which has a `Schedule` of each training.
        systems: freshly built, by training, in order; None for one that is left out.
        left_out: by training that will not take place, the reason.
        replicas: devices that share a batch.
    """
    print("\nlength of each training, and an estimate of the memory that it takes on each device;")
    print(f"a process has about {PROCESS_MIB:,} MiB of main memory beside that")
    for name, system in systems.items():
        schedule = getattr(config.schedule, name)
        length = f"{schedule.steps} steps" if schedule.steps else f"{schedule.epochs} epochs"
        line = f"  {name:<14}{length} of batch {schedule.batch_size}"
        if name in left_out:
            print(f"{line}  (left out: {left_out[name]})")
            continue
        memory = step_memory(system, schedule.batch_size // replicas, BRATS.size(config.slicing))
        total, kept = ((size / 2**20) for size in (sum(memory), memory.kept))
        print(f"{line}  {total:,.0f} MiB, {kept:,.0f} of it weights and optimisers")


def step_memory(system: GANSystem, batch_size: int, size: tuple[int, int]) -> Memory:
    """Estimates what a system's training takes on one device, from the graph of its step.

    Args:
        system: the system.
        batch_size: slices per device.
        size: height and width of the slices, pixels.
    """
    step = tf.function(system.train_step, autograph=False)
    shapes = batch_shapes(BRATS, batch_size, size)
    batch = {key: tf.TensorSpec(*shape_and_type) for key, shape_and_type in shapes.items()}
    graph = step.get_concrete_function(batch).graph
    owners = (*system.networks.values(), graph)  # the graph also reads networks that only guide
    kept = [v for owner in owners for v in owner.variables]
    kept += [v for optimizer in system.optimizers.values() for v in optimizer.variables()]
    sizes = {v.ref(): v.shape.num_elements() * v.dtype.size for v in kept}
    return Memory(sum(sizes.values()), peak_bytes(graph))
