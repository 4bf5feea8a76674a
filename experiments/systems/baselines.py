"""GAN# and SkrGAN*: trainings on the images of a finished run of the main system."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from data.contract import MAPS, DataSet
from data.pipeline import number_of_slices
from experiments.engine.experiment import Training
from experiments.engine.fitting import Pictures, Synthesize
from experiments.engine.pictures import image_row
from experiments.engine.run import Run
from models.baselines.config import BaselineConfig
from models.baselines.system import Baseline
from models.networks.discriminator import check_image_size
from utils.inference import infer, seeds_of
from utils.reporting.pictures import grid, plain_row
from utils.runs.results import kept
from utils.training.trainer import Schedule, check_batch_size


def baseline(name: str) -> Training:
    """Returns a baseline's training, as long as that of the trained run's generator.

    Its settings stand in the group `name` of the configuration, which has `steps` and `seed`.
    """
    return Training(
        name,
        part_of="baselines",
        build=lambda run: _build(run.prepared.dataset, getattr(run.config, name)),
        batches=_batches,
        draw=_draw,
        keys=("images", *MAPS, "seed", "source"),
        learning_rate=f"--{name}.learning_rate",
        schedule=lambda run, _: same_length(run.source, run.config.steps),
    )


def _build(dataset: DataSet, config: BaselineConfig) -> Baseline:
    channels = len(dataset.channels) if dataset.one_image else 1
    return Baseline(config, len(dataset.channels) // channels, channels, dataset.map_channels)


def _batches(run: Run, training: Training) -> Callable:
    """Returns what makes batches of the same images, moved in the same ways, as for ours."""
    config = run.source.config
    return run.pipeline(training, maps=config.maps, augmentation=config.augmentation)


def _draw(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    images = synthesize(examples)["images"].numpy()
    if dataset.one_image:
        return {"samples": grid([image_row(images, dataset)])}
    rows = [plain_row(images[..., i]) for i in range(len(dataset.channels))]
    return {"samples": grid(rows, titles=dataset.channels)}


def check_baselines(run: Run) -> None:
    """Raises UserError for slices or batches that do not fit the networks or devices."""
    for training in run.experiment.trainings:
        option = f"{training.name}.discriminator"
        settings: Any = getattr(run.config, training.name)
        check_image_size(option, settings.discriminator, run.prepared.size)
        batch_size = run.schedule(training).batch_size
        check_batch_size(f"batch size of {training.name}", batch_size, run.strategy)


def baseline_images(run: Run, training: Training, maps: np.ndarray) -> np.ndarray:
    """Returns one synthetic image per map, float32 [N,H,W,M] in (0,1); maps [N,H,W] or [N,H,W,K].

    They are rendered once and kept in sets/<name>.npz.
    """

    def render() -> dict[str, np.ndarray]:
        synthesize = tf.function(run.trained(training).synthesize, autograph=False)
        structure = maps.reshape(*maps.shape[:3], -1).astype(np.float32)
        seed = seeds_of(len(maps), run.config.seed, training.name)
        size = run.source.config.dataset.batch_size
        batch = {"structure": structure, "seed": seed}
        return {"images": infer(synthesize, batch, size, padded=True)["images"]}

    weights = run.weights_hash(training.name)
    settings = {"weights": weights, "seed": run.config.seed, "samples": len(maps)}
    return kept(run.path / "sets" / f"{training.name}.npz", render, settings)["images"]


def generator_phases(source: Run) -> list[Schedule]:
    """Returns the trainings of a run's generator, with their numbers of steps.

    These are the pre-training, if there was one, and the adversarial steps.
    """
    names = ("pretraining", "synthesis") if source.config.pretrain else ("synthesis",)
    slices = number_of_slices(source.prepared, source.split.train)
    schedules = [getattr(source.config.schedule, name) for name in names]
    return [replace(phase, steps=phase.total_steps(slices)) for phase in schedules]


def same_length(source: Run, steps: int = 0) -> Schedule:
    """Returns the schedule of as many updates as a trained run's generator got, or of `steps`.

    Batches and intervals are those of the generator's longest phase.
    """
    phases = generator_phases(source)
    longest = max(phases, key=lambda phase: phase.steps)
    return replace(longest, steps=steps or sum(phase.steps for phase in phases))
