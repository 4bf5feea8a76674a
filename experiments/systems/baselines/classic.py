"""DCGAN, ACGAN, WGAN, WGAN-GP and PGGAN on a data set of slices: stages, measures, report."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from data.brats.dataset import BRATS
from data.chest_xray.dataset import CHEST_XRAY
from data.contract import IMAGE, DataSet
from data.lung_ct.dataset import LUNG_CT
from data.retina.dataset import RETINA
from data.slice_sets import real_slices
from data.tianchi_ct.dataset import TIANCHI_CT
from experiments.configs.baselines import presets
from experiments.engine.experiment import Experiment, Task, Training
from experiments.engine.fitting import Pictures, Synthesize
from experiments.engine.pictures import image_row
from experiments.engine.report import add_trainings, begin_report
from experiments.engine.request import Request
from experiments.engine.resuming import saved_run
from experiments.engine.run import Run
from models.baselines.latent_config import LATENT_GANS
from models.baselines.latent_gan import ACGAN, DCGAN, WGAN, WGANGP, LatentGAN, Size
from models.baselines.pggan import PGGAN
from utils.errors import UserError
from utils.inference import infer, seeds_of
from utils.metrics.features import texture_features
from utils.metrics.quality import TEXTURE, quality_figures
from utils.reporting.pictures import grid, plain_row
from utils.runs.results import kept
from utils.seeding import derive_seed
from utils.training.trainer import Schedule, check_batch_size

DATA: dict[str, DataSet] = {d.name: d for d in (BRATS, CHEST_XRAY, LUNG_CT, RETINA, TIANCHI_CT)}
PLAIN = {"dcgan": DCGAN, "wgan": WGAN, "wgan_gp": WGANGP, "pggan": PGGAN}
SCRIPT = "experiments/train_baseline.py"
GAN = "gan"  # the stage that trains
KEYS = ("images", "seed", "source")
SHOWN = 8  # images of a report's row


def build_latent_gan(model: str, config: Any, dataset: DataSet, size: Size) -> LatentGAN:
    """Returns a system with initial weights.

    The classes of ACGAN are those of whole images, or the modalities; images of one kind are one.
    """
    channels = len(dataset.channels)
    if model != "acgan":
        return PLAIN[model](config, size, channels)
    if dataset.has_label and dataset.label_kind == IMAGE:
        return ACGAN(config, size, channels, dataset.num_classes)
    return ACGAN(config, size, channels, classes=int(dataset.one_image))


def draw_images(synthesize: Synthesize, examples: dict, dataset: DataSet) -> Pictures:
    """Returns a grid of generated images, a row for each modality."""
    return {"samples": picture_of(synthesize(examples)["images"].numpy(), dataset)}


def picture_of(images: np.ndarray, dataset: DataSet, title: str = "") -> np.ndarray:
    """Returns a grid [H,W,3] of images [N,H,W,M], a row for each modality."""
    if dataset.one_image:
        return grid([image_row(images, dataset)], titles=[title])
    rows = [plain_row(images[..., i]) for i in range(len(dataset.channels))]
    return grid(rows, titles=[f"{title} {name}".strip() for name in dataset.channels])


def made_images(run: Run, stage: str, count: int) -> np.ndarray:
    """Returns the first images that a run's network makes, [N,H,W,M]; kept in sets/<stage>.npz."""

    return kept_images(run, stage, {}, count, 8)


def kept_images(
    run: Run, stage: str, inputs: Mapping[str, np.ndarray], count: int, batch_size: int
) -> np.ndarray:
    """Returns what a stage's network makes of inputs and seeds, [N,H,W,M]; made once."""

    def render() -> dict[str, np.ndarray]:
        synthesize = tf.function(run.trained(stage).synthesize, autograph=False)
        batch = {**inputs, "seed": seeds_of(count, run.config.seed, stage)}
        return {"images": infer(synthesize, batch, batch_size, padded=True)["images"]}

    settings = {"weights": run.weights_hash(stage), "seed": run.config.seed, "samples": count}
    return kept(run.path / "sets" / f"{stage}.npz", render, settings)["images"]


def evaluate(run: Run) -> None:
    """Compares real and generated images with held-out ones: `real/...`, `synthetic/...`."""
    config, split = run.config, run.split
    real, held_out = (
        real_slices(
            run.prepared, subjects, config.samples, derive_seed(config.seed, "real", *subjects)
        )
        for subjects in (split.train, split.test)
    )
    sets = {
        "real": (real.images, real.subjects),
        "synthetic": (made_images(run, GAN, config.samples), None),
    }
    for name, (images, subjects) in sets.items():
        seed = derive_seed(config.seed, "quality")
        others, extractors = held_out.images, {TEXTURE: texture_features}
        found = quality_figures(images, others, extractors, config.quality, seed, subjects)
        run.update_metrics({f"{name}/{key}": float(v.mean()) for key, v in found.items()})


def evaluated(run: Run) -> bool:
    """Returns whether the run's metrics.json contains the metrics of the stage "evaluate"."""
    return f"synthetic/kernel_{TEXTURE}" in run.read_metrics()  # the last one


def write_report(run: Run) -> None:
    """Writes report.html: figures, real and generated images, curves, settings."""
    config, dataset = run.config, run.prepared.dataset
    report = begin_report(run, f"{config.model}: images from a random vector")
    report.add_section(
        "Results",
        f"Data: {run.data_note}. Unlabelled images, of which none was chosen. Real: images of "
        "training patients beside held-out ones, what a perfect set would score.",
    )
    metrics = run.read_metrics()
    table = {
        kind: {key[len(kind) + 1 :]: v for key, v in metrics.items() if key.startswith(f"{kind}/")}
        for kind in ("real", "synthetic")
    }
    report.add_table(pd.DataFrame(table).round(4), "Compared with held-out images")
    real = real_slices(run.prepared, run.split.train, SHOWN, config.seed).images
    for title, images in (("real", real), ("synthetic", made_images(run, GAN, config.samples))):
        report.add_picture(title, "", picture_of(images[:SHOWN], dataset))
    add_trainings(report, run)
    report.write(run.report)


def check_precision(models: Iterable[str], precision: str) -> None:
    """Raises UserError for the scaled losses of 16 bits, which know no updates in turns."""
    in_turns = [name for name in models if name.startswith("wgan")]
    if in_turns and precision == "mixed_float16":
        raise UserError(
            f"--precision is mixed_float16, in which {in_turns[0]} cannot leave updates of G out; "
            "give float32 or mixed_bfloat16"
        )


def schedule_of(run: Run, name: str) -> Schedule:
    """Returns the configuration's schedule; without steps PGGAN grows to its end."""
    config = run.config
    if config.model != "pggan" or config.schedule.steps:
        return config.schedule
    return replace(config.schedule, steps=config.gan.updates(config.schedule.batch_size))


def warn_of_small_images(config: Any) -> None:
    """Tells where PGGAN's updates end before it has grown to its full size."""
    schedule = config.schedule
    if config.model != "pggan" or not schedule.steps:
        return
    levels = range(config.gan.doublings + 1)
    needed = [config.gan.updates(schedule.batch_size, level) for level in levels]
    reached = sum(updates <= schedule.steps for updates in needed)
    if reached < len(needed):
        print(
            f"pggan: {schedule.steps} updates do not grow it to {config.gan.size} pixels, which "
            f"takes {needed[-1]}; --schedule.steps and --gan.stable_images set both"
        )


def check(request: Request, strategy: tf.distribute.Strategy, names: tuple[str, str]) -> None:
    """Raises UserError for batches that the devices cannot share, or a model named too late."""
    config = request.config
    for option, given, known in zip(("model", "dataset"), (config.model, config.dataset), names):
        if given != known:
            raise UserError(
                f"a --config file, or a changed setting, has the {option} {given}, but this run is "
                f"of {known}; give --{option} {given} on the command line of a new run"
            )
    check_precision([config.model], request.precision)
    check_batch_size("--schedule.batch_size", config.schedule.batch_size, strategy)
    warn_of_small_images(config)


@functools.cache
def train_baseline(model: str, dataset: str) -> Experiment:
    """Returns the script that trains a model on a data set."""
    data = DATA[dataset]
    return Experiment(
        SCRIPT,
        f"Train {model} on {dataset} (--model and --dataset choose others).",
        presets(model, dataset),
        stages=(
            Training(
                GAN,
                build=lambda run: build_latent_gan(
                    model, run.config.gan, data, data.size(run.config.slicing)
                ),
                batches=lambda run, stage: run.pipeline(
                    stage, maps=None, augmentation=run.config.augmentation
                ),
                draw=draw_images,
                keys=KEYS,
                learning_rate="--gan.learning_rate",
                batch_size="--schedule.batch_size",
                schedule=schedule_of,
            ),
            Task("evaluate", evaluate, done=evaluated, needs=(GAN,)),
            Task(
                "report",
                write_report,
                done=lambda run: run.report.exists(),
                needs=(GAN, "evaluate"),
                always=True,
            ),
        ),
        shown=("gan.size", "schedule.steps"),
        data=data,
        check=functools.partial(check, names=(model, dataset)),
    )


def chosen_experiment(argv: Sequence[str]) -> Experiment:
    """Returns the script of the model and data set that a command line, or its run, names.

    Raises UserError for a run that cannot be resumed.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model")
    parser.add_argument("--dataset")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resume", action="store_true")
    first, _ = parser.parse_known_args(argv)
    saved: Mapping[str, Any] = {}
    if first.resume and first.out and (first.out / "config.json").is_file():
        saved = saved_run(first.out, "--resume needs --out with")["config"]
    model, dataset = (saved.get(name, getattr(first, name)) for name in ("model", "dataset"))
    # The script's own parser refuses names that there are not.
    return train_baseline(
        model if model in LATENT_GANS else "dcgan", dataset if dataset in DATA else "brats"
    )
