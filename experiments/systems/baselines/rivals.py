"""All baselines of the thesis' tables: trainings on the images of a run of the main system."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, replace
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from data.contract import MAPS, DataSet
from data.pipeline import number_of_slices
from experiments.engine.experiment import Training
from experiments.engine.run import Run
from experiments.systems.baselines.classic import (
    KEYS,
    build_latent_gan,
    check_precision,
    draw_images,
    kept_images,
)
from models.baselines.config import BaselineConfig
from models.baselines.latent_config import LATENT_GANS, PGGANConfig
from models.baselines.latent_gan import LatentGAN
from models.baselines.system import Baseline
from models.networks.discriminator import check_image_size
from utils.benchmarking.timing import timed
from utils.errors import UserError
from utils.inference import seeds_of
from utils.runs.files import read_json, write_json
from utils.training.distribute import wait_for_all_workers
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
        draw=draw_images,
        keys=("images", *MAPS, "seed", "source"),
        learning_rate=f"--{name}.learning_rate",
        skip=functools.partial(_left_out, name=name),
        schedule=lambda run, _: same_length(run.source, run.config.steps),
    )


def _left_out(config: Any, name: str) -> str:
    return "" if name in config.chosen else f"--models has no {name}"


def classic(name: str) -> Training:
    """Returns the training of a GAN of random vectors, see `experiments.systems.baselines.classic`.

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
        config = _equal_phases(run, config)
    return build_latent_gan(name, config, data.dataset, data.size)


def _classic_schedule(run: Run, name: str) -> Schedule:
    """Returns as many updates as show the images, or take the time, of the run's generator."""
    config = run.config
    batch_size = config.batch_sizes[list(LATENT_GANS).index(name)]
    ours = same_length(run.source, config.steps)
    if config.budget == "time":
        steps = _updates_in_time(run, name, batch_size)
    elif name == "pggan":
        steps = _equal_phases(run, config.pggan).updates(batch_size)
    else:
        steps = max(1, ours.steps * ours.batch_size // batch_size)
    return replace(ours, batch_size=batch_size, steps=steps)


def _equal_phases(run: Run, config: PGGANConfig) -> PGGANConfig:
    """Returns PGGAN's settings with phases that share the images it is shown.

    In a budget of time these are what its largest size would be shown.
    """
    ours, phases = same_length(run.source, run.config.steps), 2 * config.doublings + 1
    images = ours.steps * ours.batch_size
    if run.config.budget == "time":
        given = run.config.batch_sizes[list(LATENT_GANS).index("pggan")]
        size = config.batch_size(config.doublings, given)
        images = _updates_in_time(run, "pggan", given) * size
    part = images / phases / 1000
    return replace(config, stable_images=part, fade_images=part)


def _updates_in_time(run: Run, name: str, batch_size: int) -> int:
    """Returns how many updates take as long as the run's generator did; reckoned once.

    Raises UserError for a run without a record of its times.
    """
    file = run.path / "updates" / f"{name}.json"
    settings = {"batch_size": batch_size, **asdict(getattr(run.config, name))}
    settings = json.loads(json.dumps(settings))
    known = read_json(file) if file.exists() else {}
    if known.get("settings") != settings and run.writes:
        wanted, each = _seconds_of_generator(run.source), _seconds_of_update(run, name, batch_size)
        file.parent.mkdir(exist_ok=True)
        updates = max(1, round(wanted / each))
        write_json(file, {"updates": updates, "seconds_of_update": each, "settings": settings})
    wait_for_all_workers(run.strategy)
    return read_json(file)["updates"]


def _seconds_of_generator(source: Run) -> float:
    """Returns how long the trained run's generator took, seconds, by the median of its updates."""
    history, total = source.read_history(), 0.0
    for name, phase in zip(_phases(source), generator_phases(source)):
        own = [row["seconds_per_step"] for row in history if row["stage"] == name]
        if not own:
            raise UserError(
                f"--budget time needs the times of the run {source.path}, but its metrics.jsonl "
                f"has none of {name}; give --budget images"
            )
        total += phase.steps * float(np.median(own))
    return total


def _seconds_of_update(run: Run, name: str, batch_size: int) -> float:
    """Returns the mean time of an update, seconds; of PGGAN at its full size.

    WGAN's are those of its short turns.
    """
    config, data = getattr(run.config, name), run.prepared
    system = build_latent_gan(name, config, data.dataset, data.size)
    if name == "pggan":
        system.networks["progress"].shown.assign(10**12)
    if name == "wgan":
        system.networks["turns"].made.assign(config.long_starts + 1)
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


def check_baselines(run: Run) -> None:
    """Raises UserError for slices or batches that do not fit the networks or devices."""
    for training in chosen_trainings(run):
        settings: Any = getattr(run.config, training.name)
        if training.name not in LATENT_GANS:
            option = f"{training.name}.discriminator"
            check_image_size(option, settings.discriminator, run.prepared.size)
        batch_size = run.schedule(training).batch_size
        check_batch_size(f"batch size of {training.name}", batch_size, run.strategy)
    names = [training.name for training in chosen_trainings(run)]
    check_precision(names, run.request.precision)


def chosen_trainings(run: Run) -> list[Training]:
    """Returns the trainings of the baselines that `--models` names."""
    return [training for training in run.experiment.trainings if not training.skip(run.config)]


def baseline_images(run: Run, training: Training, maps: np.ndarray) -> np.ndarray:
    """Returns one synthetic image per map, float32 [N,H,W,M] in (0,1); maps [N,H,W] or [N,H,W,K].

    They are rendered once and kept in sets/<name>.npz.
    """
    structure = maps.reshape(*maps.shape[:3], -1).astype(np.float32)
    inputs, size = {"structure": structure}, run.source.config.dataset.batch_size
    return kept_images(run, training.name, inputs, len(maps), size)


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
