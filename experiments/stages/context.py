"""What all stages share: the run, the data, the split, and each trained system on demand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import tensorflow as tf

from data.label_schemes import resolve_scheme
from data.phantom import cached_phantom
from data.pipeline import number_of_slices
from data.shards import PreparedSlices, prepare_shards
from data.slices import output_size
from data.splits import Split, split_subjects
from data.subjects import find_subjects
from experiments.configs.brats import TRAININGS, BratsConfig
from models.networks.discriminator import check_image_size
from models.networks.unet import check_sides
from models.structure_gan.registration import Registration
from models.structure_gan.segmentation import Segmentation
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Pretraining, Synthesis
from models.system import GANSystem
from utils.checkpoints import load_networks, saved_step
from utils.errors import UserError
from utils.run_directory import RunDirectory
from utils.seeding import derive_seed
from utils.trainer import check_batch_size

PHANTOM_NOTE = (
    "built-in phantom (a demonstration object made from MNI152 templates, not medical data)"
)


@dataclass(frozen=True)
class Context:
    """One run in progress.

    Attributes:
        config: the resolved configuration.
        run: the run directory.
        strategy: the distribution strategy.
        prepared: cached slices of all subjects.
        split: training and held-out subjects.
        data_note: what the data is, for the report and the manifest.
    """

    config: BratsConfig
    run: RunDirectory
    strategy: tf.distribute.Strategy
    prepared: PreparedSlices
    split: Split
    data_note: str

    def build(self, stage: str) -> GANSystem:
        """Returns a stage's system with its initial weights, a function of seed and stage."""
        with self.strategy.scope():
            tf.keras.utils.set_random_seed(derive_seed(self.config.seed, stage))
            return self._builders()[stage]()

    def _builders(self) -> dict[str, Callable[[], GANSystem]]:
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

    def trained(self, stage: str) -> GANSystem:
        """Returns a finished stage's system; UserError if it has not been trained to its end."""
        step, total = saved_step(self.run.checkpoints(stage)), self.total_steps(stage)
        if 0 < step < total:
            raise UserError(
                f"The stage {stage} stands at step {step} of {total}; finish it with --resume "
                f"--stages {stage}."
            )
        system = self.build(stage)
        load_networks(system, self.run.checkpoints(stage))
        return system

    def total_steps(self, stage: str) -> int:
        """Returns the number of updates of a training stage."""
        slices = number_of_slices(self.prepared, self.split.train)
        return getattr(self.config.schedule, stage).total_steps(slices)

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
        return saved_step(self.run.checkpoints(stage)) >= self.total_steps(stage)

    def describe_source(self, source: np.ndarray) -> str:
        """Names the cases behind rows (subject index, slice): "patient slice 70; ..."."""
        names = self.prepared.subject_ids
        return "; ".join(f"{names[subject]} slice {index}" for subject, index in source)


def open_context(
    config: BratsConfig,
    run: RunDirectory,
    strategy: tf.distribute.Strategy,
    data: Path | None,
    cache: Path,
) -> Context:
    """Finds the data (or makes the phantom), prepares its slices and splits its patients.

    The split is written to splits.json once and read from there on resume. What can be refused is
    refused before slices are prepared, which may take an hour.

    Raises UserError for sizes that do not fit (see `check_sizes`), bad data, and on resume for
    other cases than those of splits.json.
    """
    check_sizes(config, strategy)
    note = str(data.name) if data else PHANTOM_NOTE
    root = data or cached_phantom(cache, config.phantom_subjects, config.seed)
    subjects = find_subjects(root)
    scheme = resolve_scheme(subjects, config.slicing.label_scheme)
    ids = [subject.id for subject in subjects]
    if run.splits.exists():
        split = Split.load(run.splits)
        split.check_subjects(ids, run.splits)
    else:
        split = split_subjects(ids, config.test_fraction, seed=config.seed)
    prepared = prepare_shards(subjects, config.slicing, scheme, cache)
    if run.writes and not run.splits.exists():
        split.save(run.splits)
    return Context(config, run, strategy, prepared, split, note)


def check_sizes(config: BratsConfig, strategy: tf.distribute.Strategy) -> None:
    """Checks sizes of slices, maps and batches against networks and devices.

    Raises UserError for sides that the U-Nets cannot halve, images that a discriminator shrinks to
    one pixel, or batches that the replicas cannot share.
    """
    size = output_size(config.slicing)
    check_sides("A slice cut by --slicing.rows, .columns and .downsample", size)
    for stage in ("registration", "synthesis"):
        check_image_size(f"{stage}.discriminator", getattr(config, stage).discriminator, size)
    for stage in TRAININGS:
        if stage != "pretraining" or config.pretrain:
            batch_size = getattr(config.schedule, stage).batch_size
            check_batch_size(f"--schedule.{stage}.batch_size", batch_size, strategy)
