"""The context of a run of the main system: its systems, its stages, its checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import tensorflow as tf

from data.brats.dataset import BRATS
from data.brats.slices import output_size
from data.splits import Split, split_subjects
from experiments.configs.brats import TRAININGS, BratsConfig
from experiments.engine.run_context import RunContext, open_data
from models.networks.discriminator import check_image_size
from models.networks.unet import check_sides
from models.structure_gan.registration import Registration
from models.structure_gan.segmentation import Segmentation
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Pretraining, Synthesis
from models.system import GANSystem
from utils.runs.run_directory import RunDirectory
from utils.seeding import derive_seed
from utils.training.trainer import check_batch_sizes


@dataclass(frozen=True)
class Context(RunContext):
    """One run of the main system in progress."""

    config: BratsConfig

    def builders(self) -> Mapping[str, Callable[[], GANSystem]]:
        """Returns what builds the systems of structure .. synthesis, with its pre-training."""
        config = self.config
        return {
            "structure": lambda: StructureGAN(config.structure),
            "segmentation": lambda: Segmentation(config.segmentation),
            "registration": lambda: Registration(config.registration),
            "pretraining": lambda: Pretraining(config.synthesis),
            "synthesis": self._build_synthesis,
        }

    def _build_synthesis(self) -> Synthesis:
        translator, segmenters = self.trained("registration"), self.trained("segmentation")
        tf.keras.utils.set_random_seed(derive_seed(self.config.seed, "synthesis"))
        return Synthesis(self.config.synthesis, translator, segmenters)

    def finished(self, stage: str) -> bool:
        """Returns whether the run directory holds the complete result of a stage.

        Raises UserError if a checkpoint's files are missing or unreadable.
        """
        if stage == "dataset":
            return (self.run.synthetic / "manifest.json").exists()
        if stage == "evaluate":
            return "diversity/synthetic/ssim" in self.run.read_metrics()  # its last figure
        if stage == "report":
            return self.run.report.exists()
        return self.trained_to_the_end(stage)


def open_context(
    config: BratsConfig,
    run: RunDirectory,
    strategy: tf.distribute.Strategy,
    data: Optional[Path],
    cache: Path,
) -> Context:
    """Returns the context of a run on `data` or on the phantom, see `open_data`.

    Raises UserError for sizes that do not fit (see `check_sizes`), bad data, and on resume for
    other cases than those of splits.json.
    """
    check_sizes(config, strategy)

    def divide(ids: list[str]) -> Split:
        fraction, patient_of = config.test_fraction, BRATS.patient_of
        return split_subjects(ids, fraction, seed=config.seed, patient_of=patient_of)

    found = open_data(config, run, data, cache, Split, divide)
    return Context(config, run, strategy, **found)


def check_sizes(config: BratsConfig, strategy: tf.distribute.Strategy) -> None:
    """Checks sizes of slices, maps and batches against networks and devices.

    Raises UserError for sides that the U-Nets cannot halve, images that a discriminator shrinks to
    one pixel, or batches that the replicas cannot share.
    """
    size = output_size(config.slicing)
    check_sides("A slice cut by --slicing.rows, .columns, .downsample and .resize", size)
    for stage in ("registration", "synthesis"):
        check_image_size(f"{stage}.discriminator", getattr(config, stage).discriminator, size)
    trainings = [stage for stage in TRAININGS if stage != "pretraining" or config.pretrain]
    check_batch_sizes("--schedule", config.schedule, trainings, strategy)
