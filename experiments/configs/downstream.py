"""Configurations of Tables 6, 7 and 8: networks that learn from real and synthetic images."""

from dataclasses import dataclass, field, replace
from typing import Any

from data.augmentation import Augmentation
from data.retina.rough_label import RIM
from experiments.configs import images
from experiments.configs.schedules import short_schedule
from models.structure_gan.classification import ClassificationConfig
from models.structure_gan.detection import DetectionConfig
from models.structure_gan.vessels import VesselConfig
from utils.errors import Rule, at_least, check_fields
from utils.training.trainer import Schedule


@dataclass(frozen=True)
class DownstreamConfig:
    """What determines a row's result beside the trained run and the row itself.

    Args:
        seed: random seed of initial weights, orders and bootstrap.
        repeats: trainings of each row, with other initial weights and orders.
        synthetic: number of synthetic images that are added.
        augmentation: of all images that are learned from, real and synthetic.
        evaluation_batch_size: images per forward pass.
        resamples: number of bootstrap resamples.
        schedule: length of every training, the same for all rows; one epoch presents as many images
            as there are real ones.
    """

    seed: int = 0
    repeats: int = 2
    synthetic: int = 2000
    augmentation: Augmentation = field(default_factory=Augmentation)
    evaluation_batch_size: int = 8
    resamples: int = 10000
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("repeats", "synthetic", "evaluation_batch_size"), at_least(1))
        check_fields(self, "--", **counts, resamples=at_least(100))


@dataclass(frozen=True)
class VesselTableConfig(DownstreamConfig):
    """What determines a row of Table 6 beside the trained run.

    Args:
        network: that finds the vessels.
        rim: width of the rim of the field of view in which a synthetic image has no vessels, share
            of its side.
    """

    network: VesselConfig = field(default_factory=VesselConfig)
    rim: float = RIM

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, "--", rim=Rule("0 to 0.25", lambda rim: 0 <= rim <= 0.25))


@dataclass(frozen=True)
class XrayTableConfig(DownstreamConfig):
    """What determines a row of Table 7 beside the trained run.

    Args:
        network: that finds the class.
    """

    network: ClassificationConfig = field(default_factory=ClassificationConfig)


@dataclass(frozen=True)
class DetectionTableConfig(DownstreamConfig):
    """What determines a row of Table 8 beside the trained run.

    Args:
        network: that finds the boxes.
    """

    network: DetectionConfig = field(default_factory=DetectionConfig)


def _presets(thesis: DownstreamConfig, steps: int, batch_size: int, demo: Any, tiny: Any) -> dict:
    """Returns presets: `demo` and `tiny` are the networks of a CPU."""
    short = replace(thesis, synthetic=200, network=demo, schedule=short_schedule(steps, batch_size))
    seconds = replace(
        short, synthetic=8, network=tiny, schedule=short_schedule(10, 4), resamples=200
    )
    return {"tiny": seconds, "demo": short, "thesis": thesis}


_VESSELS = VesselConfig(
    width=8,
    initializer="he_normal",
    output_norm=False,
    learning_rate=2e-3,
    decay="cosine",
)
TABLE6 = _presets(VesselTableConfig(), 1000, 4, _VESSELS, replace(_VESSELS, width=2))
TABLE7 = _presets(
    XrayTableConfig(),
    900,
    16,
    images.DEMO["chest_xray"].classification,
    images.TINY["chest_xray"].classification,
)
TABLE8 = _presets(
    DetectionTableConfig(synthetic=20000),
    1500,
    8,
    images.DEMO["tianchi_ct"].detection,
    images.TINY["tianchi_ct"].detection,
)
# A detector without it knows the lesions of its series by heart.
TABLE8["demo"] = replace(TABLE8["demo"], augmentation=images.DEMO["tianchi_ct"].augmentation)
