"""The training stages: structure, segmentation, registration, synthesis (with pre-training)."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Callable, Optional

import numpy as np
import tensorflow as tf

from data.pipeline import RandomMaps, lesion_labels
from data.synthetic_sets.building import random_maps
from experiments.engine.fitting import train_stage
from experiments.systems.structure_gan.context import Context
from experiments.systems.structure_gan.pictures import DRAW
from models.system import GANSystem
from utils.runs.files import replacing
from utils.seeding import derive_seed
from utils.training.distribute import wait_for_all_workers


def train_structure(context: Context) -> None:
    """Trains E_s, G_s, G_m, D_z, D_s on extracted maps."""
    _train(context, "structure")


def train_segmentation(context: Context) -> None:
    """Trains the lesion segmenters G_l on real slices."""
    _train(context, "segmentation")


def train_registration(context: Context) -> None:
    """Trains the translator G_t on unregistered (or registered) modalities."""
    _train(context, "registration", unpaired=not context.config.registration.registered)


def train_synthesis(context: Context, match: bool = True) -> None:
    """Trains G: optionally on extracted maps first, then adversarially on generated maps.

    Without `match` the labels of the latter need not lie inside the mask (Table 1).
    """
    initialise = None
    if context.config.pretrain:
        pretraining = _train(context, "pretraining")
        initialise = functools.partial(_copy_generator, pretraining)
    maps = dataclasses.replace(generated_maps(context), match=match)
    _train(context, "synthesis", initialise, unpaired=True, random_maps=maps)


def _copy_generator(pretraining: GANSystem, synthesis: GANSystem) -> None:
    source, target = pretraining.networks["G"].variables, synthesis.networks["G"].variables
    for old, new in zip(source, target):
        new.assign(old)


def _train(
    context: Context,
    stage: str,
    initialise: Optional[Callable[[GANSystem], None]] = None,
    **pipeline: Any,
) -> GANSystem:
    """Brings one system to the end of its schedule, from wherever its checkpoint stands."""
    config = context.config
    system = context.build(stage)
    if initialise is not None:
        initialise(system)  # a checkpoint of this stage, if any, replaces it below
    pipeline = {"maps": config.maps, "augmentation": config.augmentation, **pipeline}
    train_stage(context, stage, system, DRAW[stage], **pipeline)
    return system


def generated_maps(context: Context) -> RandomMaps:
    """Returns the random maps that feed the adversarial steps, drawn once and kept in the run."""
    path = context.run.checkpoints("synthesis") / "random_maps.npz"
    config = context.config
    if not path.exists():
        decode = map_decoder(context)  # networks are built by all workers together
        if context.run.writes:
            seed = derive_seed(config.seed, "random maps")
            structure, outside, after_retries = random_maps(
                decode, config.random_maps, config.dataset, seed
            )
            context.run.update_metrics(
                {"synthesis/random_maps/accepted_after_retries": after_retries}
            )
            with replacing(path) as temporary:
                np.savez_compressed(temporary, structure=structure, outside=outside)
        wait_for_all_workers(context.strategy)
    with np.load(path, allow_pickle=False) as arrays:
        maps: dict[str, np.ndarray] = {name: arrays[name] for name in arrays.files}
    labels = lesion_labels(context.prepared, context.split.train)
    return RandomMaps(**maps, labels=labels, augment=config.dataset.augment_labels)


def map_decoder(context: Context) -> Callable[[np.ndarray], tuple]:
    """Returns the function from seeds [B,2] to random maps and masks [B,H,W,1], and scores [B]."""
    system = context.trained("structure")
    batch_size = context.config.dataset.batch_size
    size = context.prepared.size

    @tf.function(autograph=False)
    def decode(seeds: tf.Tensor) -> tuple:
        maps = system.random_maps(tf.ensure_shape(seeds, [batch_size, 2]), size)
        return maps["structure"], maps["outside"], maps["score"]

    return lambda seeds: tuple(tensor.numpy() for tensor in decode(seeds))
