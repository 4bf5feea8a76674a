"""Configuration of Tables 2 and 3: the baselines' settings in three presets, and the measures."""

from dataclasses import dataclass, field, replace

from models.baselines.config import GAN_SHARP, SKRGAN_STAR, BaselineConfig
from utils.errors import at_least, check_fields
from utils.metrics.quality import QualityConfig


@dataclass(frozen=True)
class QualityTableConfig:
    """Everything that determines the table besides the trained run; written to config.json.

    Args:
        seed: random seed of the baselines' weights, data order and noise, of pairs and subsets.
        samples: synthetic slices per system; the trained run's set is extended if it has fewer.
        steps: updates of each baseline; 0 = as many as the trained run's generator got.
        skrgan_star: settings of SkrGAN*.
        gan_sharp: settings of GAN#.
        quality: settings of the measurements.
    """

    seed: int = 0
    samples: int = 2000
    steps: int = 0
    skrgan_star: BaselineConfig = field(default_factory=lambda: SKRGAN_STAR)
    gan_sharp: BaselineConfig = field(default_factory=lambda: GAN_SHARP)
    quality: QualityConfig = field(default_factory=QualityConfig)

    def __post_init__(self) -> None:
        check_fields(self, "--", samples=at_least(2), steps=at_least(0))


THESIS = QualityTableConfig()

_CPU = {
    "width": 16,  # that of the main system's demo
    "discriminator_width": 16,
    "initializer": "he_normal",  # mean-filter kernels need days before their filters differ
    "output_norm": False,  # as in the main system's demo: dark from the start, and free to be as
    "output_offset": -3.0,  # bright as a slice needs
}

DEMO = replace(
    THESIS,
    samples=200,  # as many as the main system's demo
    # 1e-5 needs days. Not tuned: between the main generator's rates of its two phases.
    skrgan_star=replace(SKRGAN_STAR, learning_rate=1e-3, **_CPU),
    gan_sharp=replace(GAN_SHARP, learning_rate=1e-3, **_CPU),
    # Pixels: halved with the resolution.
    quality=QualityConfig(pairs=1000, crop_size=44, crop_margin=2, smallest_lesion=25),
)

TINY = replace(
    DEMO,
    samples=8,
    skrgan_star=replace(DEMO.skrgan_star, width=4, discriminator_width=4),
    gan_sharp=replace(DEMO.gan_sharp, width=4, discriminator_width=4),
    quality=QualityConfig(pairs=20, subsets=5, crop_size=22, crop_margin=1, smallest_lesion=3),
)

PRESETS = {"tiny": TINY, "demo": DEMO, "thesis": THESIS}
