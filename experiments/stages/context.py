"""What all stages share: the run, the data, the split, and each trained system on demand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import tensorflow as tf

from data.label_schemes import resolve_scheme
from data.phantom import cached_phantom
from data.shards import PreparedSlices, prepare_shards
from data.splits import Split, split_subjects
from data.subjects import find_subjects
from experiments.configs.brats import BratsConfig
from models.networks.unet import check_sides
from models.structure_gan.registration import Registration
from models.structure_gan.segmentation import Segmentation
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Pretraining, Synthesis
from models.system import GANSystem
from utils.checkpoints import load_networks
from utils.run_directory import RunDirectory
from utils.seeding import derive_seed

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
        """Returns a finished stage's system; UserError if it has not been trained."""
        system = self.build(stage)
        load_networks(system, self.run.checkpoints(stage))
        return system

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

    The split is written to splits.json once and read from there on resume.
    """
    note = str(data.name) if data else PHANTOM_NOTE
    root = data or cached_phantom(cache, config.phantom_subjects, config.seed)
    subjects = find_subjects(root)
    scheme = resolve_scheme(subjects, config.slicing.label_scheme)
    prepared = prepare_shards(subjects, config.slicing, scheme, cache)
    check_sides("A slice cut by --slicing.rows, .columns and .downsample", prepared.size)
    if run.splits.exists():
        split = Split.load(run.splits)
    else:
        split = split_subjects(prepared.subject_ids, config.test_fraction, seed=config.seed)
        if run.writes:
            split.save(run.splits)
    return Context(config, run, strategy, prepared, split, note)
