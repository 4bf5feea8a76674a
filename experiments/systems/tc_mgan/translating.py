"""Whole T2 volumes translated by the generator of a finished run; the run's data is not needed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple, Union

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from data.brats.slices import SliceConfig
from data.brats.translation import predicted_volume, source_slices
from data.grids import StoredGrid, check_spacing
from data.volumes import read_volume_and_grid
from experiments.configs.tc_mgan import TranslationConfig
from experiments.engine.resuming import finished_config
from experiments.systems.tc_mgan.stages import TRAIN_TC_MGAN, evaluated
from models.tc_mgan.gan import TCMGAN
from models.tc_mgan.modalities import NUM_MODALITIES, TARGETS
from utils.runs.names import printable
from utils.runs.run_directory import RunDirectory
from utils.training.checkpoints import checkpoint_index, load_networks


class Source(NamedTuple):
    """A T2 volume and its slices.

    Attributes:
        path: its file.
        slices: float32 [N,h,w] in [0,1], see `source_slices`.
        axial: int64 [N], the index of each in the volume.
        array: [D,H,W], the volume.
        grid: grid of its file.
    """

    path: Path
    slices: np.ndarray
    axial: np.ndarray
    array: np.ndarray
    grid: StoredGrid


class Translator:
    """The generator of a finished run of `train_tc_mgan.py`.

    Args:
        path: the run directory.

    Attributes:
        slicing: how slices are cut for it.
        network: hash of the generator and of `slicing`.

    Raises:
        UserError: the folder holds no such run or no checkpoint, or the run is not finished.
    """

    def __init__(self, path: Path):
        run = RunDirectory(path, writes=False)
        config = finished_config(path, TranslationConfig, TRAIN_TC_MGAN.script, evaluated)
        # What S did is in the generator's weights: the generator alone is that of the variant mgan.
        variant = "mgan" if config.variant.conditional else "pix2pix"
        self._system = TCMGAN(replace(config.gan, variant=variant), None, total_steps=1)
        load_networks(self._system, run.checkpoints("gan"))
        self._translate = tf.function(self._of_batch, autograph=False, reduce_retracing=True)
        self.slicing: SliceConfig = config.slicing
        digest = hashlib.sha256(json.dumps(asdict(config.slicing)).encode())
        digest.update(checkpoint_index(run.checkpoints("gan")))
        self.network = digest.hexdigest()

    def _of_batch(self, slices: tf.Tensor) -> tf.Tensor:
        """T2 slices [B,h,w] -> the targets [B,h,w,3]."""
        images = tf.repeat(slices[..., None], NUM_MODALITIES, axis=-1)  # only T2 is read
        return self._system.synthesize({"images": images})["images"]

    def read(self, path: Union[str, Path]) -> Source:
        """Reads a T2 volume and cuts its slices.

        Raises UserError if the volume is damaged, is not on the 1 mm grid or not skull-stripped, or
        holds no brain.
        """
        path = Path(path)
        volume, grid = read_volume_and_grid(path)
        check_spacing(path, volume)
        return Source(path, *source_slices(volume.array, self.slicing, path), volume.array, grid)

    def volumes(self, source: Source, batch_size: int = 8) -> dict[str, np.ndarray]:
        """Returns a volume's translations by modality: int16 [D,H,W], 0..1000, LPS order.

        Each slice is scaled by its own maximum, so values are not comparable between slices.
        """
        starts = range(0, len(source.slices), batch_size)
        bar = tqdm(starts, desc=printable(source.path.name), unit="batch")
        batches = (tf.constant(source.slices[start : start + batch_size]) for start in bar)
        images = np.concatenate([self._translate(batch) for batch in batches])
        return {
            name: predicted_volume(images[..., i], source.axial, source.array, self.slicing)
            for i, name in enumerate(TARGETS)
        }
