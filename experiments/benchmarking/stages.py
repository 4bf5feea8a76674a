"""The training stages of the main system, untrained, on their real data pipelines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from data.brats.slices import output_size
from data.pipeline import RandomMaps, distributed, lesion_labels, training_batches
from data.splits import Split
from experiments.configs.brats import TRAININGS, BratsConfig, Schedules
from experiments.engine.run_context import open_data
from experiments.systems.structure_gan.context import Context
from models.networks.discriminator import check_image_size
from models.networks.unet import check_sides
from models.structure_gan.config import StructureConfig
from models.system import GANSystem
from utils.errors import UserError
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed

SIDE = 240  # of a slice of BRATS, voxels
SUBJECTS = 2  # of the phantom; their number does not change how long a batch takes
EXAMPLES = 16  # maps that stand for generated ones

Size = tuple[int, int]  # height, width


class Untrained(Context):
    """A run in which initial weights stand for trained ones: a step takes as long with either."""

    def trained(self, stage: str) -> GANSystem:
        """Returns a stage's system with its initial weights."""
        return self.build(stage)


def resized(config: BratsConfig, size: Size) -> BratsConfig:
    """Returns a configuration whose slices and maps have `size`, from the middle of the volumes.

    Raises UserError for a size that the networks cannot halve, or above that of a BRATS slice.
    """
    height, width = size
    if not all(0 < side <= SIDE for side in size):
        raise UserError(f"--size is {height}x{width}; give sides of 8 to {SIDE} pixels")
    check_sides("--size", size)
    for stage in ("registration", "synthesis"):
        check_image_size(f"{stage}.discriminator", getattr(config, stage).discriminator, size)
    factor = SIDE // max(size)
    rows, columns = (_middle(side * factor) for side in size)
    slicing = replace(config.slicing, rows=rows, columns=columns, downsample=factor)
    return replace(config, slicing=slicing, structure=_resized_maps(config.structure, size))


def _middle(length: int) -> tuple[int, int]:
    start = (SIDE - length) // 2
    return start, start + length


def _resized_maps(config: StructureConfig, size: Size) -> StructureConfig:
    """Halves maps as often as the configuration does, or as often as their size allows."""
    fits = [n for n in range(1, config.halvings + 1) if all(_halves(side, n) for side in size)]
    return replace(config, map_size=size, halvings=max(fits))


def _halves(side: int, times: int) -> bool:
    return side % 2**times == 0 and side >= 2 * 2**times


def widened(config: BratsConfig, width: int) -> BratsConfig:
    """Returns a configuration in which every network has the base width `width`, channels."""
    return replace(
        config,
        structure=replace(config.structure, width=width),
        segmentation=replace(config.segmentation, width=width),
        registration=replace(config.registration, width=width),
        synthesis=replace(config.synthesis, width=width, discriminator_width=width),
    )


def with_batches(config: BratsConfig, batch_size: int) -> BratsConfig:
    """Returns a configuration in which every stage has the same batch size."""
    schedules = {
        stage: replace(getattr(config.schedule, stage), batch_size=batch_size)
        for stage in TRAININGS
    }
    return replace(config, schedule=Schedules(**schedules))


def stage_width(config: BratsConfig, stage: str) -> int:
    """Returns the base width of a stage's generator, channels."""
    return getattr(config, "synthesis" if stage == "pretraining" else stage).width


def stage_size(config: BratsConfig, stage: str) -> Size:
    """Returns height and width of what a stage's networks see, pixels."""
    return config.structure.map_size if stage == "structure" else output_size(config.slicing)


def open_untrained(
    config: BratsConfig,
    strategy: tf.distribute.Strategy,
    data: Optional[Path],
    cache: Path,
    folder: Path,
) -> Untrained:
    """Returns the context of all subjects of `data`, or of a small phantom; UserError for bad data.

    Args:
        config: settings.
        strategy: the distribution strategy.
        data: the user's folder, or None for the phantom.
        cache: of phantom and prepared slices.
        folder: an empty one, in which nothing is written.
    """
    config = replace(config, phantom_subjects=SUBJECTS)
    run = RunDirectory(folder, writes=False)

    def all_train(ids: list[str]) -> Split:
        return Split(train=tuple(ids), test=())

    return Untrained(config, run, strategy, **open_data(config, run, data, cache, Split, all_train))


def stage_batches(context: Untrained, stage: str) -> Iterable[dict[str, tf.Tensor]]:
    """Returns the endless batches that a stage trains on, dealt out to the replicas."""
    config = context.config
    arguments: dict[str, Any] = {
        "prepared": context.prepared,
        "subject_ids": context.subjects(stage),
        "maps": config.maps,
        "seed": derive_seed(config.seed, stage, "data"),
        "augmentation": config.augmentation,
    }
    if stage == "registration":
        arguments["unpaired"] = not config.registration.registered
    if stage == "synthesis":
        maps = _extracted_maps(arguments, context)
        arguments.update(unpaired=True, random_maps=maps)
    batch_size = getattr(config.schedule, stage).batch_size
    return distributed(context.strategy, batch_size, **arguments)


def _extracted_maps(arguments: dict[str, Any], context: Untrained) -> RandomMaps:
    """Returns maps of real slices: untrained networks generate none that pass the filter."""
    batch = next(iter(training_batches(batch_size=EXAMPLES, **arguments)))
    maps = {name: batch[name].numpy().astype(np.uint8) for name in ("structure", "outside")}
    labels = lesion_labels(context.prepared, context.split.train)
    return RandomMaps(**maps, labels=labels, augment=context.config.dataset.augment_labels)
