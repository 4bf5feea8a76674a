"""Configurations of the early paper's tables and figures."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from data.synthetic_sets.mixing import SubsetRule
from experiments.configs import early, table5
from experiments.configs.figures import presets
from experiments.configs.table5 import MixingConfig, Table5Config
from models.early_gan.config import LesionNetsConfig
from models.lesions import Inputs
from utils.errors import at_least, check_fields

# The released code's segmenter of all modalities together, with its weights and learning rate.
FOUR_CHANNEL = {"scheme": "1seg_4channel", "class_weights": (1.0, 15.0, 85.0, 85.0, 85.0)}
RATE = 1e-4


@dataclass(frozen=True)
class Table2Config(MixingConfig):
    """Everything that determines a row's result beside the trained run and the row itself.

    Args:
        subset: how a part of the real data is chosen: slices of all patients, or whole patients.
        segmentation: settings of the segmenter, whose scheme is one of the lesion nets'.
    """

    inputs: ClassVar[Inputs] = "four_channel"  # the scheme tells it
    subset: SubsetRule = "slices"
    segmentation: LesionNetsConfig = field(
        default_factory=lambda: LesionNetsConfig(**FOUR_CHANNEL, learning_rate=RATE)
    )


def _table2(config: Table5Config, lesions: LesionNetsConfig) -> Table2Config:
    """Returns a preset with the lengths of the thesis' table and the networks of `lesions`."""
    names = ("evaluation_batch_size", "resamples", "schedule")
    return Table2Config(
        segmentation=replace(lesions, **FOUR_CHANNEL),
        **{name: getattr(config, name) for name in names},
    )


_NETS = {name: config.segmentation for name, config in early.PRESETS.items()}
_NETS["thesis"] = replace(_NETS["thesis"], learning_rate=RATE)
TABLE2 = {name: _table2(config, _NETS[name]) for name, config in table5.PRESETS.items()}


@dataclass(frozen=True)
class SchemesConfig:
    """The table of the lesion nets' schemes, beside the trained run.

    Args:
        seed: of the segmenters that judge, and of the bootstrap.
        samples: largest number of samples of the run's set whose maps and labels are taken.
        batch_size: slices per forward pass.
        resamples: number of bootstrap resamples.
    """

    seed: int = 1
    samples: int = 2000
    batch_size: int = 8
    resamples: int = 10000

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--",
            samples=at_least(2),
            batch_size=at_least(1),
            resamples=at_least(100),
        )


TABLE1 = {
    "tiny": SchemesConfig(samples=8, resamples=200),
    "demo": SchemesConfig(samples=200),
    "thesis": SchemesConfig(),
}


@dataclass(frozen=True)
class ExamplesConfig:
    """Figures of what is made of a few slices or maps.

    Args:
        seed: random seed of the choice.
        examples: number of them.
    """

    seed: int = 0
    examples: int = 2

    def __post_init__(self) -> None:
        check_fields(self, "--", examples=at_least(1))


FIGURES = presets(ExamplesConfig, examples=1)
