"""Configuration of MM-GAN on BraTS-like volumes: the paper's settings, two small presets."""

from dataclasses import dataclass, field, replace

from data.brats.names import MODALITIES
from data.brats.phantom_kinds import PhantomName
from data.brats.volumes import VolumeConfig
from data.synthetic_sets.reshaped import ReshapedConfig
from experiments.configs.schedules import short_schedule
from models.mm_gan_3d.config import MMGANConfig
from models.mm_gan_3d.regions import RegionsConfig
from utils.errors import Rule, at_least, check_fields
from utils.training.trainer import Schedule

_KNOWN = Rule(
    f"some of {', '.join(MODALITIES)}",
    lambda names: set(names.split(",")) <= set(MODALITIES),
)


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
        check_fields(self, "--", phantom_subjects=at_least(2), modalities=_KNOWN)

    @property
    def made(self) -> tuple[str, ...]:
        """The modalities that get a generator, in the data set's order."""
        return tuple(name for name in MODALITIES if name in self.modalities.split(","))


# The paper: 200 epochs of single volumes; it does not tell those of the segmenter.
_EPOCHS = Schedule(epochs=200, batch_size=1)
THESIS = VolumesConfig(
    regions=RegionsConfig(network="generator", width=8, learning_rate=2e-4),
    schedule=MMGANSchedules(_EPOCHS, _EPOCHS),
)

DEMO = replace(
    THESIS,
    slicing=VolumeConfig(spacing=(4.0, 4.0, 4.0)),
    regions=replace(THESIS.regions, learning_rate=2e-3, decay="cosine"),
    schedule=MMGANSchedules(short_schedule(1000, 1), short_schedule(600, 1)),
    dataset=ReshapedConfig(samples=8),
)

TINY = replace(
    DEMO,
    phantom_subjects=3,
    slicing=VolumeConfig(spacing=(10.0, 10.0, 10.0)),
    gan=replace(DEMO.gan, width=2, discriminator_width=2),
    regions=replace(DEMO.regions, width=2),
    schedule=MMGANSchedules(short_schedule(20, 1), short_schedule(20, 1)),
    dataset=ReshapedConfig(samples=2),
)

PRESETS = {"tiny": TINY, "demo": DEMO, "thesis": THESIS}
