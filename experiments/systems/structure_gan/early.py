"""The early paper's stages, around the maps, the set and the measures of the main system."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

import numpy as np
import tensorflow as tf

from data.brats.dataset import BRATS
from data.contract import MAPS
from data.pipeline import RandomMaps, lesion_labels
from experiments.configs.early import PRESETS, TRAININGS, VARIANTS, EarlyConfig
from experiments.engine.experiment import Experiment, Training
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.systems.structure_gan import pictures
from experiments.systems.structure_gan.stages import (
    DRAWING,
    STRUCTURE,
    closing_tasks,
    pretraining,
    slices_and_maps,
    take_pretrained,
    trained,
    training,
)
from models.early_gan.images import EarlyGAN, Pretraining
from models.early_gan.lesions import LesionNets
from models.early_gan.map_networks import sizes_of
from models.early_gan.maps import EarlyMaps
from models.networks.discriminator import check_image_size
from models.networks.unet import CODE_HALVINGS, check_sides
from models.system import GANSystem
from utils.runs.files import replacing
from utils.runs.reading import read_arrays
from utils.training.distribute import wait_for_all_workers
from utils.training.trainer import check_batch_sizes


def build_maps(run: Run) -> GANSystem:
    """Returns the networks of the map stage, the paper's own or the main system's."""
    if run.config.map_stage == "early":
        # Of the configuration: a plan has no slices.
        return EarlyMaps(run.config.early_maps, BRATS.size(run.config.slicing))
    return STRUCTURE.build(run)


def maps_rate(config: EarlyConfig) -> str:
    """Returns the option that sets the learning rate of the chosen map stage."""
    group = "early_maps" if config.map_stage == "early" else STRUCTURE.name
    return f"--{group}.learning_rate"


def image_batches(run: Run, training: Training) -> Callable:
    """Returns what makes batches of unregistered modalities beside extracted maps and labels."""
    labels = lesion_labels(run.prepared, run.split.train)
    augment = run.config.dataset.augment_labels
    arrays, match = extracted_maps(run, training), run.config.match_labels
    maps = RandomMaps(**arrays, labels=labels, augment=augment, match=match)
    return slices_and_maps(run, training, unpaired=True, random_maps=maps)


def extracted_maps(run: Run, training: Training) -> dict[str, np.ndarray]:
    """Returns `structure` and `outside` of training slices, uint8 [N,H,W,1], kept in the run."""
    path, count = run.checkpoints(training.name) / "extracted_maps.npz", run.config.random_maps
    if not path.exists():
        if run.writes:
            size, found = 8, {name: [] for name in MAPS}
            for batch in slices_and_maps(run, training)(batch_size=size).take(-(-count // size)):
                for name in MAPS:
                    found[name].append(batch[name].numpy().astype(np.uint8))
            arrays = {name: np.concatenate(parts)[:count] for name, parts in found.items()}
            with replacing(path) as temporary:
                np.savez_compressed(temporary, **arrays)
        wait_for_all_workers(run.strategy)
    return read_arrays(path)


def check(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError for sizes that networks cannot halve, or batches that nobody can share."""
    config = request.config
    size = BRATS.size(config.slicing)
    what = "A slice cut by --slicing.rows, .columns, .downsample and .resize"
    check_sides(what, size, CODE_HALVINGS, "an encoder")
    if config.map_stage == "early":
        sizes_of(size)
    check_image_size("synthesis.discriminator", config.synthesis.discriminator, size)
    check_batch_sizes("--schedule", config.schedule, trained(config, TRAININGS), strategy)


TRAIN_EARLY = Experiment(
    "experiments/train_early.py",
    "Train the early paper's system: maps and all modalities in one code space.",
    PRESETS,
    stages=(
        replace(STRUCTURE, build=build_maps, learning_rate=maps_rate),
        training(  # the lesion nets of --segmentation.scheme on real slices
            "segmentation",
            build=lambda run: LesionNets(run.config.segmentation),
            batches=slices_and_maps,
            draw=pictures.draw_segmentation,
        ),
        # The same networks as below, on registered slices.
        pretraining(lambda run: Pretraining(run.config.synthesis)),
        training(  # EC_R, EC_M and DC_M against D_M and FD_R
            "synthesis",
            needs=("segmentation",),
            begin=take_pretrained,
            build=lambda run: EarlyGAN(
                run.config.synthesis, run.trained("segmentation"), run.config.joint_lesions
            ),
            batches=image_batches,
            draw=pictures.draw_synthesis,
        ),
        *closing_tasks(("structure", "segmentation", "synthesis"), ("segmentation", "synthesis")),
    ),
    variants=VARIANTS,
    shown=("slicing.label_scheme", "segmentation.scheme", "dataset.samples"),
    data=BRATS,
    check=check,
    drawing=DRAWING,
)
