"""Configurations of the classic GANs on every data set of slices, in three presets.

Data sets keep the slicing, phantom and split that the main system has with the same preset. In
`thesis` each method has its own settings, networks, batches and length: no source has any for
medical images. DCGAN and WGAN have 25 passes over the data, which are far fewer updates than on
their authors' hundreds of thousands of images: `--schedule.epochs` or `.steps` gives more. ACGAN
has 50,000 updates, WGAN-GP 200,000 of G. PGGAN stops when it has grown, where its authors go on at
the full size until 12 million images were shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass, replace
from typing import Any, Literal

from data.augmentation import NO_AUGMENTATION, Augmentation
from experiments.configs import brats, images
from experiments.configs.schedules import short_schedule
from models.baselines.latent_config import LATENT_GANS, WGANGPConfig
from utils.errors import BETWEEN_0_AND_1, at_least, check_fields
from utils.metrics.quality import QualityConfig
from utils.training.trainer import Schedule

Model = Literal["dcgan", "acgan", "wgan", "wgan_gp", "pggan"]
Data = Literal["brats", "chest_xray", "lung_ct", "retina", "tianchi_ct"]
DATA_PRESETS: dict[str, dict[str, Any]] = {
    "brats": brats.PRESETS,
    **{name: images.presets(name) for name in images.THESIS},
}


@dataclass(frozen=True)
class BaselineRunConfig:
    """Everything that determines a run; written to config.json.

    Args:
        model: dcgan, acgan, wgan, wgan_gp or pggan.
        dataset: what --data holds, or the phantom shows: brats, chest_xray, lung_ct, retina or
            tianchi_ct.
        seed: of initial weights, order, noise, phantom and split.
        phantom: kind of the built-in phantom (used without --data).
        phantom_subjects: number of its patients.
        test_fraction: share of patients held out, of data without a published test part.
        augmentation: random motions of the training images.
        samples: images that are made and compared with held-out ones.
        schedule: length of the training; of dcgan, acgan and pggan an update is one of D and one of
            G, of wgan and wgan_gp one of the critic. Without `steps` pggan grows to its end.
        quality: settings of the measurements.
    """

    model: Model = "dcgan"
    dataset: Data = "brats"
    seed: int = 0
    phantom: str = ""
    phantom_subjects: int = 20
    test_fraction: float = 0.1
    augmentation: Augmentation = NO_AUGMENTATION
    samples: int = 2000
    schedule: Schedule = field(default_factory=Schedule)
    quality: QualityConfig = field(default_factory=QualityConfig)

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--",
            phantom_subjects=at_least(2),
            test_fraction=BETWEEN_0_AND_1,
            samples=at_least(2),
        )


# Batches and lengths of each method's own; PGGAN's length is that of its phases.
_OWN = {
    "dcgan": Schedule(epochs=25, batch_size=128),
    "acgan": Schedule(steps=50_000, batch_size=100),
    "wgan": Schedule(epochs=25, batch_size=64),
    "wgan_gp": Schedule(steps=200_000 * WGANGPConfig().critic_steps, batch_size=64),
    "pggan": Schedule(batch_size=128),
}
# Networks and lengths that a CPU has time for; images of 64x64 pixels.
_DEMO = {
    "dcgan": ({"width": 32}, short_schedule(1500, 32)),
    "acgan": ({"size": 64, "width": 32}, short_schedule(1500, 16)),
    "wgan": ({"width": 32, "learning_rate": 2e-4, "long_steps": 25}, short_schedule(4000, 32)),
    # With the published five updates of the critic for each of G, G gets too few: its blocks show.
    "wgan_gp": (
        {"width": 16, "learning_rate": 5e-4, "critic_steps": 2},
        short_schedule(1500, 16),
    ),
    "pggan": (
        {
            "size": 64,
            "latent": 64,
            "width": 32,
            "stable_images": 5.0,
            "fade_images": 5.0,
            "batch_sizes": (16,),
            "mean_decay": 0.99,
        },
        short_schedule(3000, 16),  # it has grown to the end after 2500
    ),
}
_TINY = {"size": 32, "latent": 8, "width": 4}
_TINY_OF = {
    "acgan": {"discriminator_width": 2},
    "wgan": {"long_steps": 2, "long_starts": 1, "critic_steps": 2},
    "wgan_gp": {"critic_steps": 2},
    "pggan": {"stable_images": 0.008, "fade_images": 0.008, "batch_sizes": (4,)},
}
_QUALITY = QualityConfig(pairs=1000)


def _settings(model: str, preset: str) -> dict[str, Any]:
    """Returns the fields of a preset that depend on the model."""
    gan = LATENT_GANS[model]()
    if preset == "thesis":
        return {"gan": gan, "schedule": _OWN[model]}
    if preset == "demo":
        changes, schedule = _DEMO[model]
        demo = {"schedule": schedule, "samples": 200, "quality": _QUALITY}
        return {"gan": replace(gan, **changes), **demo}
    return {
        "gan": replace(gan, **{**_TINY, **_TINY_OF.get(model, {})}),
        "schedule": short_schedule(20, 4),
        "samples": 8,
        "quality": QualityConfig(pairs=20, subsets=5, crop_size=22),
    }


def presets(model: str, dataset: str) -> dict[str, BaselineRunConfig]:
    """Returns the presets of a model on a data set, by name."""
    found = {}
    for preset, data in DATA_PRESETS[dataset].items():
        own = _settings(model, preset)
        shared = ("phantom", "phantom_subjects", "test_fraction", "augmentation", "slicing")
        values = {name: getattr(data, name) for name in shared}
        kind = _config_type(model, dataset)
        found[preset] = kind(model=model, dataset=dataset, **values, **own)
    return found


_TYPES: dict[tuple[str, str], type] = {}


def _config_type(model: str, dataset: str) -> type:
    """Returns the class of a model's configurations on a data set: slicing and gan differ."""
    if (model, dataset) not in _TYPES:
        slicing = type(DATA_PRESETS[dataset]["thesis"].slicing)
        gan = LATENT_GANS[model]
        added = [
            (name, kind, field(default_factory=kind))
            for name, kind in (("slicing", slicing), ("gan", gan))
        ]
        _TYPES[model, dataset] = make_dataclass(
            "BaselineRunConfig", added, bases=(BaselineRunConfig,), frozen=True
        )
    return _TYPES[model, dataset]
