"""Whole T2 volumes translated by the generator of a finished run; the run's data is not needed."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import tensorflow as tf

from data.brats.translation import VolumeTranslator
from experiments.configs.tc_mgan import TranslationConfig
from experiments.engine.derived import network_hash
from experiments.engine.resuming import finished_config
from experiments.systems.tc_mgan.stages import TRAIN_TC_MGAN, evaluated
from models.tc_mgan.gan import TCMGAN
from models.tc_mgan.modalities import NUM_MODALITIES, TARGETS
from utils.runs.run_directory import RunDirectory
from utils.training.checkpoints import checkpoint_index, load_networks


class Translator(VolumeTranslator):
    """The generator of a finished run of `train_tc_mgan.py`.

    Args:
        path: the run directory.

    Raises:
        UserError: the folder holds no such run or no checkpoint, or the run is not finished.
    """

    def __init__(self, path: Path):
        run = RunDirectory(path, writes=False)
        config = finished_config(path, TranslationConfig, TRAIN_TC_MGAN.script, evaluated)
        # What S did is in the generator's weights: the generator alone is that of the variant mgan.
        variant = "mgan" if config.variant.conditional else "pix2pix"
        system = TCMGAN(replace(config.gan, variant=variant), None, total_steps=1)
        load_networks(system, run.checkpoints("gan"))

        def translate(slices: tf.Tensor) -> tf.Tensor:
            images = tf.repeat(slices[..., None], NUM_MODALITIES, axis=-1)  # only T2 is read
            return system.synthesize({"images": images})["images"]

        network = network_hash(asdict(config.slicing), checkpoint_index(run.checkpoints("gan")))
        compiled = tf.function(translate, autograph=False, reduce_retracing=True)
        super().__init__(compiled, TARGETS, config.slicing, network)
