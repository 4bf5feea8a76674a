"""Configurations of MM-GAN's tables and figures: segmenters that learn from new patients."""

from dataclasses import dataclass, field, replace

from experiments.configs.mm_gan import DEMO, SMALL_UNET, THESIS, TINY, VolumesConfig
from experiments.configs.schedules import short_schedule
from models.mm_gan_3d.regions import RegionsConfig
from utils.errors import at_least, check_fields
from utils.training.trainer import Schedule


@dataclass(frozen=True)
class NewPatientsConfig:
    """What determines a row's result beside the trained run and the row itself.

    Args:
        seed: random seed of initial weights, orders, parts of the real data, and bootstrap.
        rows: those that are measured, with commas: 100R (all real training patients), 100F (as many
            new ones), 300F+100R (three times as many beside the real ones), 10R (a tenth of the
            real ones), FT (as many new ones as real ones, then a tenth of these), and so on.
        segmenters: unet (3D U-Net with context modules), cascade, or both with a comma.
        resamples: number of bootstrap resamples.
        unet: the U-Net.
        cascade: the cascade of three networks in three views.
        schedule: length of every training, the same for all rows; one epoch presents as many
            volumes as there are real training patients.
    """

    seed: int = 0
    rows: str = "100R,100F,100F+100R,300F+100R,500F+100R"
    segmenters: str = "unet,cascade"
    resamples: int = 10000
    unet: RegionsConfig = field(default_factory=RegionsConfig)
    cascade: RegionsConfig = RegionsConfig(network="cascade")
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=200, batch_size=1))

    def __post_init__(self) -> None:
        check_fields(self, "--", resamples=at_least(100))


@dataclass(frozen=True)
class PoolConfig:
    """Fig. 7: runs that differ in their image pool.

    Args:
        training: of both; its pool is that of the run with one.
    """

    training: VolumesConfig = THESIS


def _presets(thesis: NewPatientsConfig, rows: str) -> dict[str, NewPatientsConfig]:
    """Returns presets: `demo` and `tiny` are of a CPU."""
    demo = replace(
        thesis,
        rows=rows,
        unet=SMALL_UNET,
        cascade=replace(thesis.cascade, width=8, learning_rate=2e-3, decay="cosine"),
        schedule=short_schedule(400, 1),
    )
    tiny = replace(
        demo,
        resamples=200,
        unet=replace(demo.unet, width=2, levels=3),
        cascade=replace(demo.cascade, width=2),
        schedule=short_schedule(10, 1),
    )
    return {"tiny": tiny, "demo": demo, "thesis": thesis}


_MIXED = "100R,100F,100F+100R,300F+100R"
TABLE1 = _presets(NewPatientsConfig(), _MIXED)
TABLE2 = _presets(NewPatientsConfig(segmenters="unet"), _MIXED)
_FEW = "100R,10R,100F,FT"
FIGURE10 = _presets(NewPatientsConfig(rows=_FEW), _FEW)
FIGURE7 = {"tiny": PoolConfig(TINY), "demo": PoolConfig(DEMO), "thesis": PoolConfig(THESIS)}
