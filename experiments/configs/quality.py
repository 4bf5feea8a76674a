"""Configuration of Tables 2 and 3: the baselines' settings in three presets, and the measures."""

from dataclasses import dataclass, field, replace
from typing import Literal

from experiments.configs.baselines import presets
from models.baselines.config import GAN_SHARP, SKRGAN_STAR, BaselineConfig
from models.baselines.latent_config import (
    LATENT_GANS,
    ACGANConfig,
    DCGANConfig,
    PGGANConfig,
    WGANConfig,
    WGANGPConfig,
)
from utils.errors import Rule, at_least, check_fields
from utils.metrics.quality import QualityConfig

RIVALS = ("skrgan_star", "gan_sharp", *LATENT_GANS)


@dataclass(frozen=True)
class QualityTableConfig:
    """Everything that determines the table besides the trained run; written to config.json.

    Args:
        seed: random seed of the baselines' weights, data order and noise, of pairs and subsets.
        samples: synthetic slices per system; the trained run's set is extended if it has fewer.
        models: the baselines, with commas: skrgan_star, gan_sharp, dcgan, acgan, wgan, wgan_gp,
            pggan.
        budget: how long the classic GANs (dcgan to pggan) are trained: images, as many real ones as
            the trained run's generator was shown; time, as many minutes, reckoned from the time of
            an update on this machine.
        steps: updates of SkrGAN* and GAN#, whose images are those shown; 0 = as many as the trained
            run's generator got.
        batch_sizes: images per update of the classic GANs: of dcgan, acgan, wgan, wgan_gp, pggan.
        skrgan_star: settings of SkrGAN*.
        gan_sharp: settings of GAN#.
        dcgan: settings of DCGAN.
        acgan: settings of ACGAN.
        wgan: settings of WGAN.
        wgan_gp: settings of WGAN-GP.
        pggan: settings of PGGAN; all of its phases are equally long here.
        quality: settings of the measurements.
    """

    seed: int = 0
    samples: int = 2000
    models: str = ",".join(RIVALS)
    budget: Literal["images", "time"] = "images"
    steps: int = 0
    batch_sizes: tuple[int, int, int, int, int] = (128, 100, 64, 64, 128)
    skrgan_star: BaselineConfig = field(default_factory=lambda: SKRGAN_STAR)
    gan_sharp: BaselineConfig = field(default_factory=lambda: GAN_SHARP)
    dcgan: DCGANConfig = field(default_factory=DCGANConfig)
    acgan: ACGANConfig = field(default_factory=ACGANConfig)
    wgan: WGANConfig = field(default_factory=WGANConfig)
    wgan_gp: WGANGPConfig = field(default_factory=WGANGPConfig)
    pggan: PGGANConfig = field(default_factory=PGGANConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)

    def __post_init__(self) -> None:
        known = Rule(
            f"some of {', '.join(RIVALS)}, with commas", lambda names: set(self.chosen) <= {*RIVALS}
        )
        sizes = Rule("numbers of 1 or more", lambda sizes: min(sizes) >= 1)
        check_fields(
            self, "--", samples=at_least(2), steps=at_least(0), models=known, batch_sizes=sizes
        )

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names in `models`."""
        return tuple(name.strip() for name in self.models.split(","))


THESIS = QualityTableConfig()

_CPU = {
    "width": 16,  # that of the main system's demo
    "discriminator_width": 16,
    "initializer": "he_normal",  # mean-filter kernels need days before their filters differ
    "output_norm": False,  # as in the main system's demo: dark from the start, and free to be as
    "output_offset": -3.0,  # bright as a slice needs
}


def _classic(preset: str) -> dict:
    """Returns networks and batches of the classic GANs as `train_baseline.py` has them.

    WGAN has no long turns: in a demo's few hundred updates they would leave G none.
    """
    found = {name: presets(name, "brats")[preset] for name in LATENT_GANS}
    sizes = tuple(config.schedule.batch_size for config in found.values())
    gans = {name: config.gan for name, config in found.items()}
    gans["wgan"] = replace(gans["wgan"], long_starts=0, long_every=0)
    return {**gans, "batch_sizes": sizes}


DEMO = replace(
    THESIS,
    **_classic("demo"),
    samples=200,  # as many as the main system's demo
    # 1e-5 needs days. Not tuned: between the main generator's rates of its two phases.
    skrgan_star=replace(SKRGAN_STAR, learning_rate=1e-3, **_CPU),
    gan_sharp=replace(GAN_SHARP, learning_rate=1e-3, **_CPU),
    # Pixels: halved with the resolution.
    quality=QualityConfig(pairs=1000, crop_size=44, crop_margin=2, smallest_lesion=25),
)

TINY = replace(
    DEMO,
    **_classic("tiny"),
    samples=8,
    skrgan_star=replace(DEMO.skrgan_star, width=4, discriminator_width=4),
    gan_sharp=replace(DEMO.gan_sharp, width=4, discriminator_width=4),
    quality=QualityConfig(pairs=20, subsets=5, crop_size=22, crop_margin=1, smallest_lesion=3),
)

PRESETS = {"tiny": TINY, "demo": DEMO, "thesis": THESIS}
