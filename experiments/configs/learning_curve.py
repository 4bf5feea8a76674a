"""Configuration of the learning curve: Table 5 with few patients, from whom the GAN learns too."""

from dataclasses import dataclass, field, replace

from experiments.configs import brats, table5
from experiments.configs.brats import BratsConfig
from experiments.configs.schedules import short_schedule
from models.lesions import SegmentationConfig
from utils.errors import Rule, at_least, check_fields


def numbers(text: str) -> list[int]:
    """Returns the numbers in a text such as "2,4,8"; empty if it is no such text."""
    words = [word.strip() for word in text.split(",")]
    return sorted({int(word) for word in words}) if all(map(str.isdecimal, words)) else []


@dataclass(frozen=True)
class LearningCurveConfig(table5.MixingConfig):
    """Everything that determines the curve; written to config.json.

    Args:
        patients: numbers of training patients, such as 2,4,8,16.
        generators: systems trained for each number, on patients of their own choice.
        repeats: segmenters trained on each mixture, with other initial weights and order.
        generator: settings of the systems; `seed` and `cohort` are set for each.
    """

    patients: str = "2,4,8,16"
    generators: int = 2
    repeats: int = 3
    generator: BratsConfig = field(default_factory=BratsConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(
            self,
            "--",
            patients=Rule(
                "numbers above 0 such as 2,4,8,16", lambda text: min(numbers(text), default=0) > 0
            ),
            generators=at_least(1),
            repeats=at_least(1),
        )


# With squared errors some initial weights never find a lesion of few patients: where a sigmoid is
# sure of "no lesion" its gradient is near 0, a cross-entropy's is not.
LOSS = "cross_entropy"
_SEGMENTATION = replace(brats.DEMO.segmentation, loss=LOSS)

_SHARED = {"inputs": "four_channel"}  # as most segmenters are trained, and a quarter of the time
THESIS = LearningCurveConfig(**_SHARED, segmentation=SegmentationConfig(loss=LOSS))

DEMO = LearningCurveConfig(
    **_SHARED,
    evaluation_batch_size=40,
    segmentation=_SEGMENTATION,
    schedule=short_schedule(600, 4),
    generator=replace(
        brats.DEMO,
        phantom="varied",  # of the easy one, few patients already teach all
        phantom_subjects=28,  # 16 for the largest number, 12 held out
        test_fraction=12 / 28,
        random_maps=120,
        segmentation=_SEGMENTATION,
        # About half of the demo's updates: there are eight systems.
        schedule=brats.Schedules(
            structure=short_schedule(500, 4),
            segmentation=short_schedule(500, 4),
            registration=short_schedule(1200, 2),
            pretraining=short_schedule(800, 4),
            synthesis=short_schedule(60, 2),
        ),
        dataset=replace(brats.DEMO.dataset, samples=60),
    ),
)

TINY = replace(
    DEMO,
    patients="1,2",
    repeats=1,
    resamples=200,
    segmentation=brats.TINY.segmentation,
    schedule=replace(DEMO.schedule, steps=4, log_every=4),
    generator=replace(brats.TINY, test_fraction=0.5),
)

PRESETS = {"tiny": TINY, "demo": DEMO, "thesis": THESIS}
