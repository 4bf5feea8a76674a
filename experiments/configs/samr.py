"""Configuration of SAMR on BRATS-like data: the paper's settings, two small presets."""

from dataclasses import dataclass, field, fields, replace
from typing import Literal, Optional

from data.augmentation import NO_AUGMENTATION, Augmentation
from data.brats.phantom_kinds import PhantomName
from data.brats.slices import PERCENTILE, SliceConfig, output_size
from data.synthetic_sets.changed import ChangedConfig
from experiments.configs.schedules import short_schedule
from models.networks.unet import check_sides
from models.samr.config import METHODS, LabelNetConfig, SAMRConfig, SAMRWeights
from utils.errors import BETWEEN_0_AND_1, at_least, check_fields
from utils.training.trainer import Schedule


@dataclass(frozen=True)
class SAMRSchedules:
    """Length and intervals of each training.

    Args:
        segmenter: the segmenter that judges generated images.
        gan: generator, discriminators and segmentation module.
    """

    segmenter: Schedule = field(default_factory=Schedule)
    gan: Schedule = field(default_factory=Schedule)


TRAININGS = tuple(training.name for training in fields(SAMRSchedules))


@dataclass(frozen=True)
class SAMRRunConfig:
    """Everything that determines a run; written to config.json.

    Args:
        seed: random seed of initial weights, order and split.
        phantom: kind of the built-in phantom (used without --data). Patients of "varied" differ as
            between scanners and gliomas, those of "easy" little; "postsurgical" has the paper's
            five sequences and labels.
        phantom_subjects: number of its patients.
        tissue_maps: folder with a map of each case's tissues, for samr.tissues; by default
            tissue_maps in the data folder.
        test_fraction: share of patients held out.
        batch_size: slices per forward pass of the synthetic set and the evaluation.
        slicing: range, size and scaling of the slices.
        augmentation: random geometric augmentation of the training slices.
        segmenter: the segmenter that judges generated images.
        samr: networks, ablations and loss weights.
        schedule: length of each training.
        dataset: the synthetic set.
    """

    seed: int = 0
    # Of the easy one, minutes of training suffice for its few differences.
    phantom: Literal[PhantomName, "postsurgical"] = "easy"
    phantom_subjects: int = 20
    tissue_maps: Optional[str] = None
    test_fraction: float = 0.2
    batch_size: int = 8
    # The paper's 256 pixels, which pix2pix halves eight times: BRATS' 240, the rest is background.
    slicing: SliceConfig = SliceConfig(rows=(0, 256), columns=(0, 256), scaling=PERCENTILE)
    augmentation: Augmentation = NO_AUGMENTATION
    segmenter: LabelNetConfig = field(default_factory=LabelNetConfig)
    samr: SAMRConfig = field(default_factory=SAMRConfig)
    schedule: SAMRSchedules = field(default_factory=SAMRSchedules)
    dataset: ChangedConfig = ChangedConfig()  # as many as the paper has training slices

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--",
            phantom_subjects=at_least(2),
            test_fraction=BETWEEN_0_AND_1,
            batch_size=at_least(1),
        )

    def check_sizes(self) -> None:
        """Raises UserError for slices that a network cannot halve as often as it has to."""
        size = output_size(self.slicing)
        for network, halvings in (
            ("the generator", self.samr.halvings),
            ("the segmentation module", self.samr.segmenter_levels),
            ("the segmenter", self.segmenter.levels),
        ):
            check_sides("--slicing", size, halvings, network)


# 500 epochs of batch 8, the rate falls in the second half; the segmenter 200 of batch 16.
THESIS = SAMRRunConfig(
    schedule=SAMRSchedules(
        segmenter=Schedule(epochs=200, batch_size=16), gan=Schedule(epochs=500, batch_size=8)
    )
)

DEMO = replace(
    THESIS,
    # Half resolution, and little beside the brain: a tenth of the arithmetic.
    slicing=SliceConfig(rows=(34, 226), columns=(48, 192), downsample=2, scaling=PERCENTILE),
    phantom_subjects=40,
    augmentation=Augmentation(mirror=True),  # few patients: twice the anatomies
    segmenter=LabelNetConfig(levels=3, width=16, learning_rate=2e-3),
    samr=SAMRConfig(
        width=8,
        # Deep trunks weave their grid into the brain while there are few updates.
        down_samplings=1,
        doubling="nearest",  # no stripes, from the first update on
        blocks=4,
        unet_levels=3,
        # Batch norm of small batches at rest is not that of its training: pictures change.
        norm="instance",
        discriminator_width=16,
        discriminator_halvings=2,  # at half resolution a score sees as much of the brain
        segmenter_levels=3,
        segmenter_width=16,
        learning_rate=5e-4,
        # Adversarial terms alone need days to draw a brain, and with little beside them they soon
        # draw specks into white matter.
        weights=SAMRWeights(matching=4.0, absolute=25.0),
    ),
    # Small batches: instance norm needs no large ones, and the time is worth more in updates.
    schedule=SAMRSchedules(segmenter=short_schedule(1500, 8), gan=short_schedule(4000, 2)),
    dataset=ChangedConfig(samples=400),
)

TINY = replace(
    DEMO,
    phantom_subjects=4,
    test_fraction=0.5,
    # A sixth of the resolution and 20 of the 50 slices: seconds instead of minutes.
    slicing=replace(DEMO.slicing, slices=(70, 90), downsample=6),
    segmenter=replace(DEMO.segmenter, width=4),
    samr=replace(DEMO.samr, width=2, blocks=1, discriminator_width=2, segmenter_width=2),
    schedule=SAMRSchedules(segmenter=short_schedule(10, 4), gan=short_schedule(10, 4)),
    dataset=ChangedConfig(samples=6),
)

PRESETS = {"tiny": TINY, "demo": DEMO, "thesis": THESIS}

# What the released code builds if it is not told otherwise; the trunk has the same channels.
_CODE = {"down_samplings": 3, "width": 64, "norm": "instance"}
VARIANTS = {
    name: {f"samr.{field}": value for field, value in changes.items()}
    for name, changes in {**METHODS, "code": _CODE}.items()
    if changes
}


@dataclass(frozen=True)
class SAMRTable2Config:
    """Table 2: segmenters that learn from real slices and from slices made of changed labels.

    Args:
        experiments: some of 1 (real and as many made slices), 2 (half as many), 3 (real alone) and
            4 (as 1, SAMR without one of its parts each).
        rivals: which of experiments 1 and 2 to compare with; shin needs maps of the tissues.
        segmenter: settings of each segmenter.
        schedule: length of each segmenter's training.
        rival_width: base width of the rivals' generators, channels.
        rival_halvings: how often pix2pixHD's halves the label; the others halve it as often
            as `training.samr.unet_levels`.
        resamples: number of bootstrap resamples.
        training: settings of SAMR's run, from which those of the others differ as they are named.
    """

    experiments: str = "1,3"
    rivals: str = "pix2pix,pix2pixhd,shin"
    segmenter: LabelNetConfig = THESIS.segmenter
    schedule: Schedule = THESIS.schedule.segmenter
    rival_width: int = 64
    rival_halvings: int = 4
    resamples: int = 10000
    training: SAMRRunConfig = THESIS

    def __post_init__(self) -> None:
        rules = dict.fromkeys(("rival_width", "rival_halvings"), at_least(1))
        check_fields(self, "--", **rules, resamples=at_least(100))


TABLE2_PRESETS = {
    # Three eighths of the demo's updates: there are eight systems, and more segmenters.
    "demo": SAMRTable2Config(
        segmenter=DEMO.segmenter,
        schedule=DEMO.schedule.segmenter,
        rival_width=16,
        rival_halvings=3,
        training=replace(
            DEMO, schedule=SAMRSchedules(short_schedule(10, 8), short_schedule(1500, 2))
        ),
    ),
    "tiny": SAMRTable2Config(
        segmenter=TINY.segmenter,
        schedule=TINY.schedule.segmenter,
        rival_width=2,
        rival_halvings=2,
        resamples=200,
        training=TINY,
    ),
    "thesis": SAMRTable2Config(),
}
