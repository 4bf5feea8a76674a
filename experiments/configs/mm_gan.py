"""Configurations of MM-GAN on volumes of brain and liver: the paper's settings, small presets."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from data.brats.names import MODALITIES
from data.brats.phantom_kinds import PhantomName
from data.brats.volumes import VolumeConfig
from data.liver_ct.dataset import CHANNELS, LiverConfig
from data.synthetic_sets.reshaped import ReshapedConfig
from experiments.configs.schedules import short_schedule
from models.mm_gan_3d.config import MMGANConfig
from models.mm_gan_3d.regions import RegionsConfig
from utils.errors import Rule, at_least, check_fields
from utils.training.trainer import Schedule


@dataclass(frozen=True)
class MMGANSchedules:
    """Length and intervals of each training.

    Args:
        gan: G and D of each modality.
        regions: the segmenter of each modality.
    """

    gan: Schedule = field(default_factory=Schedule)
    regions: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True)
class VolumesConfig:
    """Everything that determines a run; written to config.json.

    Args:
        seed: random seed of initial weights, order, pool and split.
        phantom: kind of the built-in phantom (used without --data).
        phantom_subjects: number of its patients.
        test_fraction: share of the patients that are held out.
        modalities: those that get a generator, with commas.
        slicing: voxels and part of each scan.
        gan: networks, losses and image pool.
        regions: segmenter of real volumes that judges generated ones.
        schedule: length of each training.
        dataset: number and labels of the new patients.
    """

    channels: ClassVar[tuple[str, ...]] = MODALITIES  # of the data set

    seed: int = 0
    phantom: PhantomName = "easy"
    phantom_subjects: int = 20
    test_fraction: float = 0.2
    modalities: str = ",".join(MODALITIES)
    slicing: VolumeConfig = field(default_factory=VolumeConfig)
    gan: MMGANConfig = field(default_factory=MMGANConfig)
    regions: RegionsConfig = field(default_factory=RegionsConfig)
    schedule: MMGANSchedules = field(default_factory=MMGANSchedules)
    dataset: ReshapedConfig = ReshapedConfig()  # 300 % of the paper's patients

    def __post_init__(self) -> None:
        known = Rule(
            f"some of {', '.join(self.channels)}",
            lambda names: set(names.split(",")) <= set(self.channels),
        )
        check_fields(self, "--", phantom_subjects=at_least(2), modalities=known)

    @property
    def made(self) -> tuple[str, ...]:
        """The modalities that get a generator, in the data set's order."""
        return tuple(name for name in self.channels if name in self.modalities.split(","))


@dataclass(frozen=True)
class LiverVolumesConfig(VolumesConfig):
    """Everything that determines a run on abdominal CT; written to config.json."""

    channels: ClassVar[tuple[str, ...]] = CHANNELS

    phantom: Literal["abdomen"] = "abdomen"
    modalities: str = ",".join(CHANNELS)
    slicing: LiverConfig = field(default_factory=LiverConfig)


# The paper: 200 epochs of single volumes; it does not tell those of the segmenter.
_EPOCHS = Schedule(epochs=200, batch_size=1)
THESIS = VolumesConfig(
    regions=RegionsConfig(network="generator", width=8, learning_rate=2e-4),
    schedule=MMGANSchedules(_EPOCHS, _EPOCHS),
)

# With the published D and rates 500 steps end in noise, with a large reconstruction term in blur.
# SimGAN's D without instance norm, faster rates and a reconstruction term give brains.
_MINUTES = MMGANConfig(
    discriminator="simgan",
    discriminator_width=64,
    reconstruction=2.0,
    learning_rate=1e-3,
    discriminator_learning_rate=2e-3,
)
# A U-Net with context modules that learns within minutes.
SMALL_UNET = RegionsConfig(width=8, levels=4, heads=2, learning_rate=2e-3, decay="cosine")
DEMO = replace(
    THESIS,
    slicing=VolumeConfig(spacing=(4.0, 4.0, 4.0)),
    gan=_MINUTES,
    regions=replace(THESIS.regions, learning_rate=2e-3, decay="cosine"),
    schedule=MMGANSchedules(short_schedule(900, 1), short_schedule(500, 1)),
    dataset=ReshapedConfig(samples=8),
)

TINY = replace(
    DEMO,
    phantom_subjects=7,  # a tenth of those that are not held out is one
    slicing=VolumeConfig(spacing=(10.0, 10.0, 10.0)),
    gan=replace(DEMO.gan, width=2, discriminator_width=2),
    regions=replace(DEMO.regions, width=2),
    schedule=MMGANSchedules(short_schedule(20, 1), short_schedule(20, 1)),
    dataset=ReshapedConfig(samples=2),
)

PRESETS = {"tiny": TINY, "demo": DEMO, "thesis": THESIS}

# The paper's rates for the liver, which fall after 50 of 100 epochs; 300 % of its 100 patients.
LIVER_THESIS = LiverVolumesConfig(
    dataset=ReshapedConfig(samples=300),
    gan=MMGANConfig(learning_rate=4e-5, discriminator_learning_rate=1e-5),
    regions=THESIS.regions,
    schedule=MMGANSchedules(replace(_EPOCHS, epochs=100), replace(_EPOCHS, epochs=100)),
)

# Larger voxels than the brain's, for the crop is larger, and the brain's rates: with ten times
# lower ones it takes more steps than a CPU has time for. A network like G finds the liver, but none
# of its lesions, which are a thousandth of a volume.
LIVER_DEMO = replace(
    LIVER_THESIS,
    slicing=LiverConfig(spacing=(5.0, 5.0, 5.0)),
    gan=DEMO.gan,
    regions=SMALL_UNET,
    schedule=replace(DEMO.schedule, regions=short_schedule(600, 1)),
    dataset=DEMO.dataset,
)

LIVER_TINY = replace(
    LIVER_DEMO,
    phantom_subjects=TINY.phantom_subjects,
    slicing=LiverConfig(spacing=(12.0, 12.0, 12.0)),
    gan=TINY.gan,
    regions=replace(SMALL_UNET, width=2, levels=3),
    schedule=TINY.schedule,
    dataset=TINY.dataset,
)

LIVER_PRESETS = {"tiny": LIVER_TINY, "demo": LIVER_DEMO, "thesis": LIVER_THESIS}
