"""Volumes of any modality translated by EC_M and DC_M of a finished run of the early paper."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import tensorflow as tf

from data.brats.names import MODALITIES
from data.brats.translation import VolumeTranslator
from experiments.configs.early import EarlyConfig
from experiments.engine.derived import network_hash
from experiments.engine.resuming import finished_config
from experiments.systems.structure_gan.early import TRAIN_EARLY
from experiments.systems.structure_gan.evaluation import evaluated
from models.early_gan.images import EarlyGAN
from utils.runs.run_directory import RunDirectory
from utils.training.checkpoints import checkpoint_index, load_networks


class EarlyTranslator(VolumeTranslator):
    """EC_M and DC_M of a finished run of `train_early.py`; the run's data is not needed.

    Args:
        path: the run directory.
        source: the modality that is translated to the three others.

    Raises:
        UserError: the folder holds no such run or no checkpoint, or the run is not finished.
    """

    def __init__(self, path: Path, source: str):
        run = RunDirectory(path, writes=False)
        config = finished_config(path, EarlyConfig, TRAIN_EARLY.script, evaluated)
        system = EarlyGAN(config.synthesis)
        load_networks(system, run.checkpoints("synthesis"))
        others = [i for i, name in enumerate(MODALITIES) if name != source]

        def translate(slices: tf.Tensor) -> tf.Tensor:
            codes = system.encode(slices[..., None])
            wanted = tf.tile(tf.constant(others, tf.int32), [tf.shape(slices)[0]])
            rows = system.decode(codes, wanted)  # three targets of each slice in a row
            shape = [-1, len(others), *rows.shape[1:3]]
            return tf.transpose(tf.reshape(rows[..., 0], shape), [0, 2, 3, 1])

        index = checkpoint_index(run.checkpoints("synthesis"))
        network = network_hash([source, asdict(config.slicing)], index)
        compiled = tf.function(translate, autograph=False, reduce_retracing=True)
        names = [MODALITIES[i] for i in others]
        super().__init__(compiled, names, config.slicing, network)
