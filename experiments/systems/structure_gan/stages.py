"""The stages of the main system, and the script that runs them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from data.brats.dataset import BRATS
from data.contract import MAPS
from data.pipeline import RandomMaps, lesion_labels
from data.synthetic_sets.building import random_maps
from data.synthetic_sets.matching import FittingLabels
from experiments.configs.brats import PRESETS, TRAININGS, VARIANTS, StructureGANConfig
from experiments.engine.experiment import Experiment, Task, Training
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.synthetic_sets import Drawing
from experiments.systems.structure_gan import pictures
from experiments.systems.structure_gan.dataset import build_dataset, lesion_scorer
from experiments.systems.structure_gan.datasheet import describe, write_datasheet
from experiments.systems.structure_gan.evaluation import evaluate, evaluated
from experiments.systems.structure_gan.maps import map_decoder
from experiments.systems.structure_gan.report import write_report
from models.lesions import Segmentation
from models.networks.discriminator import check_image_size
from models.networks.unet import check_sides
from models.structure_gan.guidance import brats_guides
from models.structure_gan.registration import Registration
from models.structure_gan.structure import StructureGAN
from models.structure_gan.synthesis import Pretraining, Synthesis
from models.system import GANSystem
from utils.runs.files import replacing
from utils.runs.reading import read_arrays
from utils.seeding import derive_seed
from utils.training.distribute import wait_for_all_workers
from utils.training.trainer import check_batch_sizes


def slices_and_maps(run: Run, training: Training, **arguments: Any) -> Callable:
    """Returns what makes batches of moved slices with their maps; see `Run.pipeline`."""
    config = run.config
    maps = {"maps": config.maps, "augmentation": config.augmentation}
    return run.pipeline(training, **maps, **arguments)


def registration_batches(run: Run, training: Training) -> Callable:
    """Returns what makes batches of unregistered (or registered) modalities."""
    return slices_and_maps(run, training, unpaired=not run.config.registration.registered)


def synthesis_batches(run: Run, training: Training, match: bool = True) -> Callable:
    """Returns what makes batches of generated maps beside unregistered slices.

    Without `match` the labels of the maps need not lie inside the mask (Table 1).
    """
    maps = generated_maps(run, match)
    return slices_and_maps(run, training, unpaired=True, random_maps=maps)


def build_synthesis(run: Run) -> Synthesis:
    """Returns G and D, guided by the run's trained translator and segmenters."""
    config = run.config.synthesis
    translator, segmenters = run.trained("registration"), run.trained("segmentation")
    return Synthesis(config, brats_guides(translator, segmenters, config))


def skip_pretraining(config: StructureGANConfig) -> str:
    """Returns why the stage "pretraining" has nothing to do, or "" if it has."""
    return "" if config.pretrain else "pretrain is false"


def trained(config: StructureGANConfig, trainings: Iterable[str]) -> list[str]:
    """Returns the names of the trainings that take place."""
    return [name for name in trainings if name != "pretraining" or config.pretrain]


def take_pretrained(run: Run, synthesis: GANSystem) -> None:
    """Gives the networks that took part in it the weights of the pre-training, if there was one."""
    if not run.config.pretrain:
        return
    for name, network in run.trained("pretraining").networks.items():
        for old, new in zip(network.variables, synthesis.networks[name].variables):
            new.assign(old)


def generated_maps(run: Run, match: bool = True) -> RandomMaps:
    """Returns the random maps that feed the adversarial steps, with labels of training slices."""
    labels = lesion_labels(run.prepared, run.split.train)
    augment = run.config.dataset.augment_labels
    return RandomMaps(**random_map_arrays(run), labels=labels, augment=augment, match=match)


def random_map_arrays(run: Run) -> dict[str, np.ndarray]:
    """Returns random maps, `structure` and `outside`, drawn once and kept in the run."""
    path = run.checkpoints("synthesis") / "random_maps.npz"
    config = run.config
    if not path.exists():
        decode = map_decoder(run)  # networks are built by all workers together
        if run.writes:
            seed = derive_seed(config.seed, "random maps")
            structure, outside, after_retries = random_maps(
                decode, config.random_maps, config.dataset, seed
            )
            run.update_metrics({"synthesis/random_maps/accepted_after_retries": after_retries})
            with replacing(path) as temporary:
                np.savez_compressed(temporary, structure=structure, outside=outside)
        wait_for_all_workers(run.strategy)
    return read_arrays(path)


def check_sizes(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Checks sizes of slices, maps and batches against networks and devices.

    Raises UserError for sides that the U-Nets cannot halve, images that a discriminator shrinks to
    one pixel, or batches that the replicas cannot share.
    """
    config = request.config
    size = BRATS.size(config.slicing)
    check_sides("A slice cut by --slicing.rows, .columns, .downsample and .resize", size)
    for stage in ("registration", "synthesis"):
        check_image_size(f"{stage}.discriminator", getattr(config, stage).discriminator, size)
    check_batch_sizes("--schedule", config.schedule, trained(config, TRAININGS), strategy)


def write_pages(run: Run) -> None:
    """Writes the set's datasheet anew, with the run's figures, and report.html."""
    write_datasheet(run)
    write_report(run)


def drawn(run: Run) -> bool:
    """Returns whether the synthetic set is complete and counted."""
    there = (run.synthetic / "manifest.json").exists()
    return there and "dataset/accepted_after_retries" in run.read_metrics()


def training(name: str, rate: str = "", **stage: Any) -> Training:
    """A training whose settings stand in groups of the configuration named like it."""
    options = (f"--{rate or name}.learning_rate", f"--schedule.{name}.batch_size")
    return Training(name, learning_rate=options[0], batch_size=options[1], **stage)


STRUCTURE = training(  # E_s, G_s, G_m, D_z, D_s on extracted maps
    "structure",
    build=lambda run: StructureGAN(run.config.structure),
    batches=slices_and_maps,
    draw=pictures.draw_structure,
    keys=(*MAPS, "seed", "source"),
)


def pretraining(build: Callable[[Run], GANSystem], **stage: Any) -> Training:
    """The first part of the stage synthesis, on extracted maps, which `--pretrain` turns on."""
    return training(
        "pretraining",
        rate="synthesis.pretraining",
        part_of="synthesis",
        skip=skip_pretraining,
        build=build,
        batches=slices_and_maps,
        **{"draw": pictures.draw_pretraining, **stage},
    )


def closing_tasks(
    trainings: tuple[str, ...],
    judges: tuple[str, ...],
    measure: Callable[[Run], None] = evaluate,
    pages: Callable[[Run], None] = write_pages,
) -> tuple[Task, ...]:
    """Returns set, measures and report; the set needs `trainings`, the measures need `judges`."""
    return (
        Task("dataset", build_dataset, done=drawn, needs=trainings),
        Task(
            "evaluate",
            measure,
            done=evaluated,
            needs=(*judges, "dataset"),
        ),
        Task(
            "report",
            pages,
            done=lambda run: run.report.exists(),
            needs=("dataset", "evaluate"),
            always=True,
        ),
    )


DRAWING = Drawing(
    networks=("structure", "segmentation", "synthesis"),
    labels=lambda run: functools.partial(
        FittingLabels, lesion_labels(run.prepared, run.split.train)
    ),
    score=lambda run: lesion_scorer(run.trained("segmentation")),
    describe=describe,
)
TRAIN_BRATS = Experiment(
    "experiments/train_brats.py",
    "Train the main system and build a labelled, registered, synthetic MRI set with it.",
    PRESETS,
    stages=(
        STRUCTURE,
        training(  # the lesion segmenters G_l on real slices
            "segmentation",
            build=lambda run: Segmentation(run.config.segmentation),
            batches=slices_and_maps,
            draw=pictures.draw_segmentation,
        ),
        training(  # the translator G_t
            "registration",
            build=lambda run: Registration(
                run.config.registration, run.total_steps("registration")
            ),
            batches=registration_batches,
            draw=pictures.draw_registration,
        ),
        pretraining(lambda run: Pretraining(run.config.synthesis)),  # G on extracted maps
        training(  # G against D on generated maps
            "synthesis",
            needs=("structure", "segmentation", "registration"),
            build=build_synthesis,
            begin=take_pretrained,
            batches=synthesis_batches,
            draw=pictures.draw_synthesis,
        ),
        *closing_tasks(
            ("structure", "segmentation", "registration", "synthesis"),
            ("segmentation", "registration"),
        ),
    ),
    variants=VARIANTS,
    shown=("slicing.label_scheme", "slicing.layout", "dataset.samples"),
    data=BRATS,
    check=check_sizes,
    drawing=DRAWING,
)
