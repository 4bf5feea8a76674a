"""Configuration of Table 5: the thesis' settings and two small presets."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from data.synthetic_sets.mixing import SubsetRule
from experiments.configs import brats
from models.lesions import Inputs, SegmentationConfig
from utils.errors import at_least, check_fields
from utils.training.trainer import Schedule


@dataclass(frozen=True)
class MixingConfig:
    """What determines a row's result beside the trained run, the row and its real slices.

    Args:
        seed: random seed of initial weights, orders, parts of the real data, and bootstrap.
        inputs: per_modality trains a U-Net for each modality; four_channel a single one for all,
            which the early code weighs --segmentation.class_weights=[1,15,85,85,85].
        max_draws: synthetic samples drawn at most, as a multiple of those needed, when the main
            run's selection rejects some.
        evaluation_batch_size: slices per forward pass.
        resamples: number of bootstrap resamples.
        segmentation: settings of the segmenter.
        schedule: length of every row's training; one epoch presents as many slices as all real
            training slices.
    """

    subset: ClassVar[SubsetRule] = "slices"  # only rows with a part of the real slices need one
    seed: int = 0
    inputs: Inputs = "per_modality"
    max_draws: int = 4
    evaluation_batch_size: int = 8
    resamples: int = 10000
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=100))

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("max_draws", "evaluation_batch_size"), at_least(1))
        check_fields(self, "--", **counts, resamples=at_least(100))


@dataclass(frozen=True)
class Table5Config(MixingConfig):
    """Everything that determines a row's result beside the trained run and the row itself.

    Args:
        subset: how a part of the real data is chosen: slices of all patients, or whole patients.
    """

    subset: SubsetRule = "slices"


THESIS = Table5Config()

# The trained run's segmenter: width and learning rate for minutes on a CPU.
DEMO = replace(
    THESIS,
    evaluation_batch_size=40,
    segmentation=brats.DEMO.segmentation,
    # 2.25 epochs of the phantom's 800 training slices, so that 27 rows fit into 45 minutes on 2
    # cores. Batches of 2: so little time needs many updates more than quiet ones.
    schedule=Schedule(
        steps=900, batch_size=2, steps_per_call=10, log_every=50, checkpoint_minutes=1.0
    ),
)

TINY = replace(
    DEMO,
    resamples=200,
    segmentation=brats.TINY.segmentation,
    schedule=replace(DEMO.schedule, steps=20, batch_size=4, log_every=20),
)

PRESETS = {"tiny": TINY, "demo": DEMO, "thesis": THESIS}
