"""The stages of TC-MGAN, and the script that runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import tensorflow as tf

from data.brats.dataset import BRATS
from data.splits import ThreeWaySplit, split_three_ways
from experiments.configs.tc_mgan import PRESETS, SHARES, TRAININGS, TranslationConfig
from experiments.engine.experiment import Experiment, Task, Training
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.systems.tc_mgan.evaluation import evaluate_translation
from experiments.systems.tc_mgan.pictures import draw_lesions, draw_translations
from experiments.systems.tc_mgan.report import write_translation_report
from models.tc_mgan.gan import TCMGAN
from models.tc_mgan.segmenter import Segmenter
from utils.training.trainer import check_batch_sizes


def moved_slices(run: Run, training: Training) -> Callable:
    """Returns the function that builds batches of augmented slices.

    Slices with enhancing tumour come more often.
    """
    config = run.config
    repeats = {"enhancing": config.enhancing_repeats}
    moves = {"augmentation": config.augmentation, "repeats": repeats}
    return run.pipeline(training, maps=None, **moves)


def build_gan(run: Run) -> TCMGAN:
    """Returns generator and critic, with the run's trained S if the variant has one."""
    config = run.config
    segmenter = run.trained("segmenter") if config.variant.tumour else None
    return TCMGAN(config.gan, segmenter, run.total_steps("gan"))


def without_segmenter(config: TranslationConfig) -> str:
    """Returns why S is not trained; "" if it is."""
    return "" if config.variant.tumour else f"{config.gan.variant} has none"


def divide(ids: Sequence[str], config: TranslationConfig) -> ThreeWaySplit:
    """Returns the run's split by patient, with a part "gan" that S and G share."""
    return split_three_ways(ids, SHARES, seed=config.seed, patient_of=BRATS.patient_of)


def check_batches(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError for batches that the replicas cannot share."""
    check_batch_sizes("--schedule", request.config.schedule, TRAININGS, strategy)


def evaluated(run: Any) -> bool:
    """Returns whether the run's metrics.json contains the metrics of the stage "evaluate"."""
    return "translation/ssim" in run.read_metrics()  # the last one


KEYS = ("images", "label", "seed", "source")
TRAIN_TC_MGAN = Experiment(
    "experiments/train_tc_mgan.py",
    "Train TC-MGAN: from T2 to Flair, T1c and T1, tumour kept.",
    PRESETS,
    stages=(
        Training(
            "segmenter",  # the conditional S on real slices
            skip=without_segmenter,
            build=lambda run: Segmenter(run.config.segmenter),
            batches=moved_slices,
            draw=draw_lesions,
            keys=KEYS,
            learning_rate="--segmenter.learning_rate",
            batch_size="--schedule.segmenter.batch_size",
            subjects="gan",
        ),
        Training(
            "gan",  # generator and critic
            needs=("segmenter",),
            build=build_gan,
            batches=moved_slices,
            draw=draw_translations,
            keys=KEYS,
            learning_rate="--gan.learning_rate",
            batch_size="--schedule.gan.batch_size",
            subjects="gan",
        ),
        Task("evaluate", evaluate_translation, done=evaluated, needs=("gan",)),
        Task(
            "report",
            write_translation_report,
            done=lambda run: run.report.exists(),
            needs=("gan", "evaluate"),
            always=True,
        ),
    ),
    data=BRATS,
    divide=divide,
    split=ThreeWaySplit,
    check=check_batches,
)
