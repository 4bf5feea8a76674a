"""The training stages of the systems, untrained, on their real data pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Callable, NamedTuple, Optional, Union

import numpy as np
import tensorflow as tf

from data.brats.slices import SliceConfig, output_size
from data.pipeline import distributed
from data.splits import Split
from experiments.configs.brats import BratsConfig
from experiments.configs.samr import SAMRRunConfig
from experiments.engine.experiment import Experiment
from experiments.engine.request import Request
from experiments.engine.run import Untrained
from experiments.systems.samr.stages import TRAIN_SAMR
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from models.networks.discriminator import check_image_size
from models.networks.unet import check_sides
from models.structure_gan.structure_config import StructureConfig
from utils.errors import UserError
from utils.runs.files import replacing

SIDE = 240  # of a slice of BRATS, voxels
SUBJECTS = 2  # of the phantom; their number does not change how long a batch takes
EXAMPLES = 16  # maps that stand for generated ones

Size = tuple[int, int]  # height, width
Config = Union[BratsConfig, SAMRRunConfig]


def resized(config: BratsConfig, size: Size) -> BratsConfig:
    """Returns a configuration whose slices and maps have `size`, from the middle of the volumes.

    Raises UserError for a size that the networks cannot halve, or above that of a BRATS slice.
    """
    slicing = _resized_slices(config.slicing, size)
    check_sides("--size", size)
    for stage in ("registration", "synthesis"):
        check_image_size(f"{stage}.discriminator", getattr(config, stage).discriminator, size)
    return replace(config, slicing=slicing, structure=_resized_maps(config.structure, size))


def _resized_slices(slicing: SliceConfig, size: Size) -> SliceConfig:
    height, width = size
    if not all(0 < side <= SIDE for side in size):
        raise UserError(f"--size is {height}x{width}; give sides of 8 to {SIDE} pixels")
    factor = SIDE // max(size)
    rows, columns = (_middle(side * factor) for side in size)
    return replace(slicing, rows=rows, columns=columns, downsample=factor)


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


def _resized_samr(config: SAMRRunConfig, size: Size) -> SAMRRunConfig:
    slicing = _resized_slices(config.slicing, size)
    halvings = config.samr.halvings, config.samr.segmenter_levels, config.segmenter.levels
    check_sides("--size", size, max(halvings), "the deepest network")
    return replace(config, slicing=slicing)


def _widened_samr(config: SAMRRunConfig, width: int) -> SAMRRunConfig:
    widths = dict.fromkeys(("width", "discriminator_width", "segmenter_width"), width)
    return replace(
        config,
        segmenter=replace(config.segmenter, width=width),
        samr=replace(config.samr, **widths),
    )


def _samr_width(config: SAMRRunConfig, stage: str) -> int:
    return (config.samr if stage == "gan" else config.segmenter).width


def with_batches(config: Config, batch_size: int) -> Config:
    """Returns a configuration in which every stage has the same batch size."""
    stages = asdict(config.schedule)
    schedules = {
        stage: replace(getattr(config.schedule, stage), batch_size=batch_size) for stage in stages
    }
    return replace(config, schedule=replace(config.schedule, **schedules))


def stage_width(config: BratsConfig, stage: str) -> int:
    """Returns the base width of a stage's generator, channels."""
    return getattr(config, "synthesis" if stage == "pretraining" else stage).width


def stage_size(config: BratsConfig, stage: str) -> Size:
    """Returns height and width of what a stage's networks see, pixels."""
    return config.structure.map_size if stage == "structure" else output_size(config.slicing)


class System(NamedTuple):
    """A system whose stages are measured.

    Attributes:
        experiment: its script.
        resized: as `resized`, of its configurations.
        widened: as `widened`.
        width: as `stage_width`.
        size: as `stage_size`.
    """

    experiment: Experiment
    resized: Callable[[Config, Size], Config]
    widened: Callable[[Config, int], Config]
    width: Callable[[Config, str], int]
    size: Callable[[Config, str], Size]

    @property
    def stages(self) -> list[str]:
        """Names of the stages, in the order of a training."""
        return [training.name for training in self.experiment.trainings]


MAIN = System(TRAIN_BRATS, resized, widened, stage_width, stage_size)
SYSTEMS = (
    MAIN,
    System(
        TRAIN_SAMR,
        _resized_samr,
        _widened_samr,
        _samr_width,
        lambda config, stage: output_size(config.slicing),
    ),
)


def open_untrained(
    experiment: Experiment,
    config: Config,
    strategy: tf.distribute.Strategy,
    data: Optional[Path],
    cache: Path,
    folder: Path,
) -> Untrained:
    """Returns the run of all subjects of `data`, or of a small phantom; UserError for bad data.

    Args:
        experiment: whose stages are measured.
        config: settings.
        strategy: the distribution strategy.
        data: the user's folder, or None for the phantom.
        cache: of phantom and prepared slices.
        folder: an empty one, in which only maps are written.
    """
    experiment = replace(experiment, divide=_all_train)
    config = replace(config, phantom_subjects=SUBJECTS)
    request = Request(folder, config, data=data, cache=cache)
    return Untrained(experiment, request, strategy, writes=False).open_data()


def _all_train(ids: Sequence[str], config: Config) -> Split:
    return Split(train=tuple(ids), test=())


def stage_batches(run: Untrained, stage: str) -> Iterable[dict[str, tf.Tensor]]:
    """Returns the endless batches that a stage trains on, dealt out to the replicas."""
    training = run.experiment.stage(stage)
    if stage == "synthesis":
        _keep_extracted_maps(run)
    batch_size = run.schedule(training).batch_size
    return distributed(run.strategy, batch_size, training.batches(run, training))


def _keep_extracted_maps(run: Untrained) -> None:
    """Puts maps of real slices in the place of generated ones.

    Untrained networks generate none that pass the filter.
    """
    structure = run.experiment.stage("structure")
    batch = next(iter(structure.batches(run, structure)(batch_size=EXAMPLES)))
    maps = {name: batch[name].numpy().astype(np.uint8) for name in ("structure", "outside")}
    path = run.checkpoints("synthesis") / "random_maps.npz"
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **maps)
