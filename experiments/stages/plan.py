"""`--dry-run`: what a run would do, without doing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from experiments.configs.brats import TRAININGS, BratsConfig
from models.structure_gan.registration import Registration
from models.structure_gan.segmentation import Segmentation
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Synthesis
from models.system import GANSystem
from utils.config import to_yaml


def print_brats_plan(config: BratsConfig, stages: Sequence[str]) -> None:
    """Prints the plan of the main system."""
    segmenters, translator = Segmentation(config.segmentation), Registration(config.registration)
    systems = (
        StructureGAN(config.structure),
        segmenters,
        translator,
        Synthesis(config.synthesis, translator, segmenters),
    )
    left_out = {} if config.pretrain else {"pretraining": "pretrain is false"}
    print_plan(config, stages, systems, TRAININGS, left_out)


def print_plan(
    config: Any,
    stages: Sequence[str],
    systems: Sequence[GANSystem],
    trainings: Sequence[str],
    left_out: Mapping[str, str],
) -> None:
    """Prints the configuration (with loss weights and schedule), the stages and the networks.

    Args:
        config: with `schedule`, which has a `Schedule` of each training.
        stages: in order.
        systems: freshly built.
        trainings: names in `config.schedule`.
        left_out: by training that will not take place, the reason.
    """
    print(to_yaml(config))
    print(f"stages: {' -> '.join(stages)}\n")
    print(f"{'network':<10}{'parameters':>14}   optimiser group")
    for system in systems:
        _print_networks(system)
    print("\nlength of each training")
    for name in trainings:
        schedule = getattr(config.schedule, name)
        length = f"{schedule.steps} steps" if schedule.steps else f"{schedule.epochs} epochs"
        skipped = f"  (left out: {left_out[name]})" if name in left_out else ""
        print(f"  {name:<14}{length} of batch {schedule.batch_size}{skipped}")


def _print_networks(system: GANSystem) -> None:
    groups = {net: group for group, nets in system.groups.items() for net in nets}
    for name, network in system.networks.items():
        count = sum(int(tf.size(variable)) for variable in network.trainable_variables)
        print(f"{name:<10}{count:>14,}   {type(system).__name__} {groups.get(name, '')}")
