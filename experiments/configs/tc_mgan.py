"""Configuration of TC-MGAN on BraTS-like data: the paper's settings, two small presets."""

from dataclasses import dataclass, field, fields, replace

from data.augmentation import NO_AUGMENTATION, Augmentation
from data.brats.phantom_kinds import PhantomName
from data.brats.slices import SLICE_MAXIMUM, SliceConfig, output_size
from experiments.configs.schedules import short_schedule
from models.tc_mgan.config import EVALUATION, VARIANTS, SegmenterConfig, TCMGANConfig, Variant
from utils.errors import NOT_NEGATIVE, UserError, at_least, check_fields
from utils.training.trainer import Schedule


@dataclass(frozen=True)
class TCMGANSchedules:
    """Length and intervals of each training.

    Args:
        segmenter: the conditional segmenter S, before the GAN.
        gan: generator and critic, for tc_mgan_bw also S.
    """

    segmenter: Schedule = field(default_factory=Schedule)
    gan: Schedule = field(default_factory=Schedule)


# Patients of the three parts (section 4.1 of the paper), 285 in all. The released code's own draw
# depends on the order of a folder.
SHARES = {"test": 85, "gan": 100, "train": 100}
TRAININGS = tuple(training.name for training in fields(TCMGANSchedules))


@dataclass(frozen=True)
class TranslationConfig:
    """Everything that determines a run; written to config.json.

    Args:
        seed: random seed of initial weights, order, targets and split.
        phantom: kind of the built-in phantom (used without --data). Patients of "varied" differ as
            between scanners and gliomas, those of "easy" little.
        phantom_subjects: number of its patients.
        batch_size: slices per forward pass of the evaluation.
        slicing: range, size and scaling of the slices.
        augmentation: random geometric augmentation of the training slices.
        enhancing_repeats: additional times that each epoch shows the slices with enhancing tumour.
        segmenter: the conditional segmenter S.
        gan: variant, networks and loss weights.
        schedule: length of each training.
    """

    seed: int = 0
    phantom: PhantomName = "easy"  # minutes of training suffice for its few differences
    phantom_subjects: int = 20
    batch_size: int = 8
    slicing: SliceConfig = SliceConfig(
        slices=(0, 155),
        rows=(0, 240),
        columns=(0, 240),
        resize=128,
        min_brain_pixels=2000,
        scaling=SLICE_MAXIMUM,
    )
    augmentation: Augmentation = NO_AUGMENTATION
    enhancing_repeats: int = 0
    segmenter: SegmenterConfig = field(default_factory=SegmenterConfig)
    gan: TCMGANConfig = field(default_factory=TCMGANConfig)
    schedule: TCMGANSchedules = field(default_factory=TCMGANSchedules)

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--",
            phantom_subjects=at_least(3),
            batch_size=at_least(1),
            enhancing_repeats=NOT_NEGATIVE,
        )
        if output_size(self.slicing) != tuple(self.gan.image_size):
            height, width = output_size(self.slicing)
            raise UserError(
                f"--gan.image_size is {self.gan.image_size} but --slicing gives slices of "
                f"{height}x{width} pixels; give the same, such as --gan.image_size "
                f"'[{height},{width}]'"
            )

    @property
    def variant(self) -> Variant:
        """What the chosen variant consists of."""
        return VARIANTS[self.gan.variant]


def _epochs(epochs: int) -> Schedule:
    return Schedule(epochs=epochs, batch_size=64)


# The paper's Adam, 100 epochs of batch 64; S before it for 30.
THESIS = TranslationConfig(schedule=TCMGANSchedules(_epochs(30), _epochs(100)))

# Widths are a quarter of the paper's: a CPU's minutes.
# Batches of 4 for the GAN and 8 for S instead of 64: more updates in that time.
# Rates of 1e-3 instead of 2e-4 (GAN) and 1e-4 (S, released code): so few steps.
DEMO = replace(
    THESIS,
    # 14 patients for S and the GAN. Of half as many, what is learned about the inside of their
    # tumours hardly holds for others, and without augmentation nothing of it does.
    phantom_subjects=40,
    augmentation=Augmentation(mirror=True, rotation=25.0, zoom=0.1, shift=0.06),
    enhancing_repeats=6,  # three slices of five instead of one, for so few updates
    segmenter=replace(THESIS.segmenter, width=16, learning_rate=1e-3),
    gan=replace(
        THESIS.gan,
        width=16,
        critic_width=16,
        learning_rate=1e-3,
        # In T2 the enhancing tumour hardly differs from the non-enhancing one around it, which is
        # likelier in most places: without this factor T1c hardly shows enhancement.
        weights=replace(THESIS.gan.weights, l1_labels=(1.0, 1.0, 1.0, 1.0, 10.0)),
    ),
    # A weak S guides wrongly: it takes a dark rim in T1c for more of a tumour than the real, bright
    # one.
    schedule=TCMGANSchedules(segmenter=short_schedule(1500, 8), gan=short_schedule(10000, 4)),
)

TINY = replace(
    DEMO,
    phantom_subjects=3,
    # A quarter of the resolution and 10 of the 155 slices: seconds instead of minutes.
    slicing=replace(DEMO.slicing, slices=(75, 85), resize=32),
    segmenter=replace(DEMO.segmenter, width=4),
    gan=replace(DEMO.gan, image_size=(32, 32), width=4, critic_width=4),
    schedule=TCMGANSchedules(segmenter=short_schedule(10, 4), gan=short_schedule(10, 4)),
)

PRESETS = {"tiny": TINY, "demo": DEMO, "thesis": THESIS}


@dataclass(frozen=True)
class Table2Config:
    """Table 2: U-Nets that show how useful translated modalities are.

    Args:
        unet: settings of every evaluation U-Net.
        schedule: length of each U-Net's training.
        training: settings of the four variants; `augmentation` and `enhancing_repeats` also hold
            for the slices that the U-Nets learn from.
    """

    unet: SegmenterConfig = EVALUATION
    schedule: Schedule = field(default_factory=lambda: _epochs(30))
    training: TranslationConfig = THESIS


TABLE2_DEMO = Table2Config(
    unet=replace(EVALUATION, width=16), schedule=short_schedule(1000, 8), training=DEMO
)
TABLE2_PRESETS = {
    "tiny": Table2Config(replace(EVALUATION, width=4), short_schedule(10, 4), TINY),
    "demo": TABLE2_DEMO,
    "thesis": Table2Config(),
}
