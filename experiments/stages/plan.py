"""`--dry-run`: what a run would do, without doing it."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from experiments.configs.brats import TRAININGS, BratsConfig
from models.structure_gan.registration import Registration
from models.structure_gan.segmentation import Segmentation
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Synthesis
from models.system import GANSystem
from utils.config import to_yaml


def print_plan(config: BratsConfig, stages: Sequence[str]) -> None:
    """Prints the configuration (with loss weights and schedule), the stages and the networks."""
    print(to_yaml(config))
    print(f"stages: {' -> '.join(stages)}\n")
    print(f"{'network':<10}{'parameters':>14}   optimiser group")
    segmenters, translator = Segmentation(config.segmentation), Registration(config.registration)
    for system in (
        StructureGAN(config.structure),
        segmenters,
        translator,
        Synthesis(config.synthesis, translator, segmenters),
    ):
        _print_networks(system)
    print("\nlength of each training")
    for name in TRAININGS:
        schedule = getattr(config.schedule, name)
        length = f"{schedule.steps} steps" if schedule.steps else f"{schedule.epochs} epochs"
        skipped = "  (left out: pretrain is false)" if name == "pretraining" else ""
        skipped = "" if config.pretrain else skipped
        print(f"  {name:<14}{length} of batch {schedule.batch_size}{skipped}")


def _print_networks(system: GANSystem) -> None:
    groups = {net: group for group, nets in system.groups.items() for net in nets}
    for name, network in system.networks.items():
        count = sum(int(tf.size(variable)) for variable in network.trainable_variables)
        print(f"{name:<10}{count:>14,}   {type(system).__name__} {groups.get(name, '')}")
