"""The stages of SAMR, and the script that runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import tensorflow as tf

from data.atlas import Atlas
from data.brats.described import described_layout
from data.brats.label_schemes import to_2015
from data.brats.layouts import kind_named
from data.brats.names import MODALITIES
from data.brats.tissues import with_tissues
from data.brats.with_brain import BRATS_WITH_BRAIN, label_with_brain
from data.contract import DataSet
from data.nnunet.dataset import described_dataset, known_values, labelled
from data.nnunet.description import FILE, Description, read_description
from data.nnunet.exported import exported_dataset, read_exported
from data.nnunet.postsurgical import DESCRIPTION, POSTSURGICAL_DATA
from experiments.configs.samr import PRESETS, TRAININGS, VARIANTS, SAMRRunConfig
from experiments.engine.experiment import Experiment, Task, Training
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.synthetic_sets import own_set_drawn
from experiments.systems.samr.atlas import ATLAS, atlas_file, check_atlas, make_atlas
from experiments.systems.samr.dataset import build_dataset, write_datasheet
from experiments.systems.samr.evaluation import evaluate
from experiments.systems.samr.pictures import draw_labels, draw_slices
from experiments.systems.samr.report import write_report
from models.samr.gan import SAMR
from models.samr.segmenter import LabelNet
from utils.training.trainer import check_batch_sizes


def description_of(config: SAMRRunConfig, folder: Optional[Path]) -> Optional[Description]:
    """Returns what an nnU-Net raw folder says of its data, None for BRATS.

    Without a folder it is that of the phantom. A raw folder with BRATS' four modalities is read as
    BRATS.
    """
    if folder is None:
        return DESCRIPTION if config.phantom == POSTSURGICAL_DATA.name else None
    if not (folder / FILE).is_file():
        return None
    description = read_description(folder)
    kinds = {kind_named(name) for name in description.channels}
    return None if set(MODALITIES) <= kinds else description


def dataset_of(config: SAMRRunConfig, folder: Optional[Path]) -> DataSet:
    """Returns the data set of a folder or of the phantom, see `description_of`.

    A folder that `export_nnunet.py` wrote is read back, see `data.nnunet.exported`. If the
    configuration says so, brain is divided into its tissues.
    """
    data = _with_plain_brain(config, folder)
    return with_tissues(data, config.tissue_maps) if config.samr.tissues else data


def _with_plain_brain(config: SAMRRunConfig, folder: Optional[Path]) -> DataSet:
    description = description_of(config, folder)
    if folder is None:
        return POSTSURGICAL_DATA if description else BRATS_WITH_BRAIN
    dataset = described_dataset(description) if description else BRATS_WITH_BRAIN
    exported = read_exported(folder)
    if exported is None:
        return dataset

    def label_of(values: np.ndarray, images: np.ndarray, path: Path) -> np.ndarray:
        if description:
            return labelled(known_values(path, values, description), images, description)
        scheme = config.slicing.label_scheme or described_layout(folder / FILE).scheme
        return label_with_brain(images, to_2015(values, scheme, path))

    return exported_dataset(dataset, exported, label_of)


def build_gan(run: Run) -> SAMR:
    """Returns the system with the run's atlas, or a black one if the run has no data yet."""
    config, data = run.config, run.dataset
    if atlas_file(run).exists():
        atlas = Atlas.load(atlas_file(run))
    else:  # a plan
        size = data.most_slices(config.slicing), *data.size(config.slicing), len(data.channels)
        atlas = Atlas(np.zeros(size, np.float32), 0)
    return build_system(config, data.num_classes, atlas, run.total_steps("gan"))


def build_system(config: SAMRRunConfig, labels: int, atlas: Atlas, total_steps: int) -> SAMR:
    """Returns the system of a configuration with an atlas, which it may not use."""
    images = atlas.images if config.samr.sees_atlas else None
    sequences = atlas.images.shape[-1]
    return SAMR(config.samr, sequences, labels, images, total_steps, atlas.first)


def build_segmenter(run: Run) -> LabelNet:
    """Returns the segmenter that judges generated slices."""
    data, steps = run.dataset, run.total_steps("segmenter")
    return LabelNet(run.config.segmenter, len(data.channels), data.num_classes, steps)


def moved_slices(run: Run, training: Training) -> Callable:
    """Returns the function that builds batches of augmented slices."""
    return run.pipeline(training, maps=None, augmentation=run.config.augmentation)


def check(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError for batches that the replicas cannot share, or an atlas that is not one."""
    request.config.check_sizes()
    check_batch_sizes("--schedule", request.config.schedule, TRAININGS, strategy)
    check_atlas(request, dataset_of(request.config, request.data))


def write_pages(run: Run) -> None:
    """Writes the set's datasheet anew, with the run's figures, and report.html."""
    write_datasheet(run)
    write_report(run)


def evaluated(run: Any) -> bool:
    """Returns whether the run's metrics.json contains the metrics of the stage "evaluate"."""
    return "synthesis/ssim" in run.read_metrics()  # the last one


KEYS = ("images", "label", "seed", "source")
TRAIN_SAMR = Experiment(
    "experiments/train_samr.py",
    "Train SAMR: from lesion label and atlas to T1, T2, T1c and Flair at once.",
    PRESETS,
    variants=VARIANTS,
    shown=("dataset.samples",),
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
        Task("dataset", build_dataset, done=own_set_drawn, needs=("segmenter", "gan")),
        Task("evaluate", evaluate, done=evaluated, needs=("segmenter", "gan")),
        Task(
            "report",
            write_pages,
            done=lambda run: run.report.exists(),
            needs=("gan", "dataset", "evaluate"),
            always=True,
        ),
    ),
    data=dataset_of,
    options=(ATLAS,),
    check=check,
)
