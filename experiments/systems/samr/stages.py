"""The stages of SAMR, and the script that runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from data.atlas import Atlas, build_atlas
from data.brats.with_brain import BRATS_WITH_BRAIN
from experiments.configs.samr import PRESETS, TRAININGS, VARIANTS, SAMRRunConfig
from experiments.engine.experiment import Experiment, Task, Training
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.systems.samr.evaluation import evaluate
from experiments.systems.samr.pictures import draw_labels, draw_slices
from experiments.systems.samr.report import write_report
from models.samr.gan import SAMR
from models.samr.segmenter import LabelNet
from utils.runs.run_directory import RunDirectory
from utils.training.trainer import check_batch_sizes


def atlas_file(run: RunDirectory) -> Path:
    """Returns where the run keeps its atlas."""
    return run.path / "atlas.npz"


def make_atlas(run: Run) -> None:
    """Writes the mean of the training patients; no held-out patient is in it."""
    build_atlas(run.prepared, run.split.train).save(atlas_file(run))


def build_gan(run: Run) -> SAMR:
    """Returns the system with the run's atlas, or a black one if the run has no data yet."""
    config, data = run.config, BRATS_WITH_BRAIN
    if atlas_file(run).exists():
        atlas = Atlas.load(atlas_file(run))
    else:  # a plan
        size = data.most_slices(config.slicing), *data.size(config.slicing), len(data.channels)
        atlas = Atlas(np.zeros(size, np.float32), 0)
    return build_system(config, atlas, run.total_steps("gan"))


def build_system(config: SAMRRunConfig, atlas: Atlas, total_steps: int) -> SAMR:
    """Returns the system of a configuration with an atlas, which it may not use."""
    data = BRATS_WITH_BRAIN
    images = atlas.images if config.samr.sees_atlas else None
    sizes = len(data.channels), data.num_classes
    return SAMR(config.samr, *sizes, images, total_steps, atlas.first)


def build_segmenter(run: Run) -> LabelNet:
    """Returns the segmenter that judges generated slices."""
    data, steps = BRATS_WITH_BRAIN, run.total_steps("segmenter")
    return LabelNet(run.config.segmenter, len(data.channels), data.num_classes, steps)


def moved_slices(run: Run, training: Training) -> Callable:
    """Returns the function that builds batches of augmented slices."""
    return run.pipeline(training, maps=None, augmentation=run.config.augmentation)


def check_batches(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError for batches that the replicas cannot share."""
    check_batch_sizes("--schedule", request.config.schedule, TRAININGS, strategy)


def evaluated(run: Any) -> bool:
    """Returns whether the run's metrics.json contains the metrics of the stage "evaluate"."""
    return "synthesis/ssim" in run.read_metrics()  # the last one


KEYS = ("images", "label", "seed", "source")
TRAIN_SAMR = Experiment(
    "experiments/train_samr.py",
    "Train SAMR: from lesion label and atlas to T1, T2, T1c and Flair at once.",
    PRESETS,
    variants=VARIANTS,
    stages=(
        Task("atlas", make_atlas, done=lambda run: atlas_file(run).exists()),
        Training(
            "segmenter",  # on real slices; it judges
            build=build_segmenter,
            batches=moved_slices,
            draw=draw_labels,
            keys=KEYS,
            learning_rate="--segmenter.learning_rate",
            batch_size="--schedule.segmenter.batch_size",
        ),
        Training(
            "gan",  # generator, discriminators, segmentation module
            needs=("atlas",),
            build=build_gan,
            batches=moved_slices,
            draw=draw_slices,
            keys=KEYS,
            learning_rate="--samr.learning_rate",
            batch_size="--schedule.gan.batch_size",
        ),
        Task("evaluate", evaluate, done=evaluated, needs=("segmenter", "gan")),
        Task(
            "report",
            write_report,
            done=lambda run: run.report.exists(),
            needs=("gan", "evaluate"),
            always=True,
        ),
    ),
    data=BRATS_WITH_BRAIN,
    check=check_batches,
)
