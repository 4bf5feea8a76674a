"""The stages of MM-GAN on a data set of volumes, and the scripts that run them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from data.brats.volumes import BRATS_VOLUMES
from data.contract import DataSet
from data.cropping import volume_size
from data.liver_ct.dataset import LIVER_VOLUMES
from experiments.configs.mm_gan import LIVER_PRESETS, PRESETS
from experiments.engine.experiment import Experiment, Task, Training
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.synthetic_sets import own_set_drawn
from experiments.systems.mm_gan.dataset import build_dataset, write_datasheet
from experiments.systems.mm_gan.evaluation import evaluate, gan, segmenter
from experiments.systems.mm_gan.pictures import draw_regions, drawing_of
from experiments.systems.mm_gan.report import write_report
from models.mm_gan_3d.gan import MMGAN
from models.mm_gan_3d.networks import check_volume_size
from models.mm_gan_3d.regions import Regions
from utils.training.trainer import check_batch_sizes


def build_generator(config: Any, dataset: DataSet, modality: str, total_steps: int) -> MMGAN:
    """Returns G and D of a modality with initial weights."""
    size, channel = volume_size(config.slicing), dataset.channels.index(modality)
    return MMGAN(config.gan, size, total_steps, dataset.num_classes, dataset.organ, channel)


def build_segmenter(config: Any, dataset: DataSet, modality: str, total_steps: int) -> Regions:
    """Returns S of a modality with initial weights."""
    channel, regions = dataset.channels.index(modality), list(dataset.regions.values())
    return Regions(config.regions, (channel,), regions, total_steps)


def _build(run: Run, modality: str) -> MMGAN:
    return build_generator(run.config, run.dataset, modality, run.total_steps(gan(modality)))


def _build_segmenter(run: Run, modality: str) -> Regions:
    return build_segmenter(run.config, run.dataset, modality, run.total_steps(segmenter(modality)))


def evaluated(run: Any) -> bool:
    """Returns whether the run's metrics.json contains the metrics of the stage "evaluate"."""
    return any(key.endswith("/ssim") for key in run.read_metrics())


def _left_out(config: Any, modality: str) -> str:
    return "" if modality in config.made else f"--modalities has no {modality}"


def _training(modality: str, channel: int) -> Training:
    return Training(
        gan(modality),
        part_of="gan",
        build=functools.partial(_build, modality=modality),
        batches=lambda run, stage: run.pipeline(stage, maps=None),
        draw=drawing_of(channel),
        keys=("images", "label", "seed", "source"),
        learning_rate="--gan.learning_rate",
        batch_size="--schedule.gan.batch_size",
        skip=functools.partial(_left_out, modality=modality),
        schedule=lambda run, name: run.config.schedule.gan,
    )


def _segmenter_training(modality: str) -> Training:
    return Training(
        segmenter(modality),
        part_of="regions",
        build=functools.partial(_build_segmenter, modality=modality),
        batches=lambda run, stage: run.pipeline(stage, maps=None),
        draw=draw_regions,
        keys=("images", "label", "seed", "source"),
        learning_rate="--regions.learning_rate",
        batch_size="--schedule.regions.batch_size",
        skip=functools.partial(_left_out, modality=modality),
        schedule=lambda run, name: run.config.schedule.regions,
    )


def check_sizes(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError for volumes or batches that do not fit the networks or devices."""
    config = request.config
    check_volume_size("A volume of --slicing", volume_size(config.slicing))
    check_batch_sizes("--schedule", config.schedule, ("gan", "regions"), strategy)


def write_pages(run: Run) -> None:
    """Writes the set's datasheet anew, with the run's figures, and report.html."""
    write_datasheet(run)
    write_report(run)


def volume_experiment(
    script: str, description: str, presets: Mapping[str, Any], dataset: DataSet
) -> Experiment:
    """Returns the stages of MM-GAN on a data set of volumes, which tells the organ's class."""
    return Experiment(
        script,
        description,
        presets,
        stages=(
            *(_training(name, number) for number, name in enumerate(dataset.channels)),
            *map(_segmenter_training, dataset.channels),
            Task("dataset", build_dataset, done=own_set_drawn, needs=("gan",)),
            Task(
                "evaluate",
                evaluate,
                done=evaluated,
                needs=("gan", "regions"),
            ),
            Task(
                "report",
                write_pages,
                done=lambda run: run.report.exists(),
                needs=("gan", "dataset", "evaluate"),
                always=True,
            ),
        ),
        shown=("slicing.spacing", "dataset.samples"),
        data=dataset,
        check=check_sizes,
    )


TRAIN_MM_GAN = volume_experiment(
    "experiments/train_mm_gan.py",
    "Train MM-GAN: from a label volume to a volume of each modality.",
    PRESETS,
    BRATS_VOLUMES,
)
TRAIN_MM_GAN_LIVER = volume_experiment(
    "experiments/train_mm_gan_liver.py",
    "Train MM-GAN on the liver: from a label volume to a CT volume.",
    LIVER_PRESETS,
    LIVER_VOLUMES,
)
VOLUME_TRAININGS = (TRAIN_MM_GAN, TRAIN_MM_GAN_LIVER)
