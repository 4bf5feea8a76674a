"""All baselines of the thesis' tables: trainings on the images of a run of the main system."""

from __future__ import annotations

import functools
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
from experiments.systems.latent_gans import KEYS, build_latent_gan, draw_images
from models.baselines.config import BaselineConfig
from models.baselines.latent_config import LATENT_GANS
from models.baselines.latent_gan import LatentGAN
from models.baselines.pggan import THOUSAND
from models.baselines.system import Baseline
from models.networks.discriminator import check_image_size
from utils.benchmarking.timing import timed
from utils.inference import infer, seeds_of
from utils.reporting.pictures import grid, plain_row
from utils.runs.files import read_json, write_json
from utils.runs.results import kept
from utils.training.trainer import Schedule, check_batch_size

TIMED = 10  # updates whose mean time is taken


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
        skip=functools.partial(_left_out, name=name),
        schedule=lambda run, _: same_length(run.source, run.config.steps),
    )


def _left_out(config: Any, name: str) -> str:
    return "" if name in config.models.split(",") else f"--models has no {name}"


def classic(name: str) -> Training:
    """Returns the training of a GAN of random vectors, see `experiments.systems.latent_gans`.

    It is shown as many images, or takes as long, as the trained run's generator.
    """
    return Training(
        name,
        part_of="baselines",
        build=functools.partial(_build_classic, name=name),
        batches=_batches,
        draw=draw_images,
        keys=KEYS,
        learning_rate=f"--{name}.learning_rate",
        skip=functools.partial(_left_out, name=name),
        schedule=_classic_schedule,
    )


def _build_classic(run: Run, name: str) -> LatentGAN:
    """Returns the system with initial weights; PGGAN's phases share what it is shown."""
    config, data = getattr(run.config, name), run.prepared
    if name == "pggan":
        schedule = _classic_schedule(run, name)
        part = schedule.steps * schedule.batch_size / THOUSAND / (2 * config.doublings + 1)
        config = replace(config, stable_images=part, fade_images=part)
    return build_latent_gan(name, config, data.dataset, data.size)


def _classic_schedule(run: Run, name: str) -> Schedule:
    """Returns as many updates as show the images, or take the time, of the run's generator."""
    config = run.config
    batch_size = config.batch_sizes[list(LATENT_GANS).index(name)]
    ours = same_length(run.source, config.steps)
    steps = max(1, ours.steps * ours.batch_size // batch_size)
    schedule = replace(ours, batch_size=batch_size, steps=steps)
    if config.budget == "time":
        file = run.path / "updates" / f"{name}.json"
        if not file.exists():
            seconds = _seconds_of_update(run, name, batch_size)
            file.parent.mkdir(exist_ok=True)
            updates = max(1, round(_seconds_of_generator(run.source) / seconds))
            write_json(file, {"updates": updates, "seconds_of_update": seconds})
        schedule = replace(schedule, steps=read_json(file)["updates"])
    return schedule


def _seconds_of_generator(source: Run) -> float:
    """Returns how long the trained run's generator took, seconds."""
    history, total = source.read_history(), 0.0
    for name, phase in zip(_phases(source), generator_phases(source)):
        own = [row["seconds_per_step"] for row in history if row["stage"] == name]
        total += phase.steps * float(np.mean(own))
    return total


def _seconds_of_update(run: Run, name: str, batch_size: int) -> float:
    """Returns the mean time of an update, seconds; of PGGAN at its full size."""
    config, data = getattr(run.config, name), run.prepared
    system = build_latent_gan(name, config, data.dataset, data.size)
    if name == "pggan":
        system.networks["progress"].shown.assign(10**12)
    batch = {
        "images": tf.zeros([batch_size, *data.size, len(data.dataset.channels)]),
        "label": tf.zeros([batch_size, *data.size, 1], tf.int32),
        "seed": seeds_of(batch_size, run.config.seed, name),
    }
    step = tf.function(system.train_step, autograph=False)
    step(batch)  # compiles
    return timed(lambda: [step(batch) for _ in range(TIMED)])[0] / TIMED


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
    for training in chosen_trainings(run):
        settings: Any = getattr(run.config, training.name)
        if training.name not in LATENT_GANS:
            option = f"{training.name}.discriminator"
            check_image_size(option, settings.discriminator, run.prepared.size)
        batch_size = run.schedule(training).batch_size
        check_batch_size(f"batch size of {training.name}", batch_size, run.strategy)


def chosen_trainings(run: Run) -> list[Training]:
    """Returns the trainings of the baselines that `--models` names."""
    return [training for training in run.experiment.trainings if not training.skip(run.config)]


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
    slices = number_of_slices(source.prepared, source.split.train)
    schedules = [getattr(source.config.schedule, name) for name in _phases(source)]
    return [replace(phase, steps=phase.total_steps(slices)) for phase in schedules]


def _phases(source: Run) -> tuple[str, ...]:
    return ("pretraining", "synthesis") if source.config.pretrain else ("synthesis",)


def same_length(source: Run, steps: int = 0) -> Schedule:
    """Returns the schedule of as many updates as a trained run's generator got, or of `steps`.

    Batches and intervals are those of the generator's longest phase.
    """
    phases = generator_phases(source)
    longest = max(phases, key=lambda phase: phase.steps)
    return replace(longest, steps=steps or sum(phase.steps for phase in phases))
