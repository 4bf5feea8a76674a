"""Configuration of the main system on BRATS-like data: the thesis' settings, two small presets."""

from dataclasses import dataclass, field, fields, replace

from data.augmentation import NO_AUGMENTATION, Augmentation
from data.brats.dataset import BRATS
from data.brats.phantom_kinds import PhantomName
from data.brats.slices import PERCENTILE, SliceConfig
from data.splits import Cohort
from data.structure_maps.cutting import MapConfig
from data.synthetic_sets.building import SyntheticConfig
from experiments.configs.schedules import short_schedule
from models.lesions import SegmentationConfig
from models.networks.adversarial import AdversarialWeights
from models.structure_gan.config import (
    GeneratorConfig,
    PretrainingConfig,
    RegistrationConfig,
    SynthesisConfig,
)
from models.structure_gan.structure_config import StructureConfig, StructureWeights
from utils.errors import BETWEEN_0_AND_1, at_least, check_fields
from utils.metrics.detectability import DetectorConfig
from utils.training.trainer import Schedule


@dataclass(frozen=True)
class Schedules:
    """Length and intervals of each training.

    Args:
        structure: structure-map VAE-GAN.
        segmentation: lesion segmenters.
        registration: modality translator.
        pretraining: generator on extracted maps; `--pretrain false` leaves it out.
        synthesis: generator against discriminator.
    """

    structure: Schedule = field(default_factory=Schedule)
    segmentation: Schedule = field(default_factory=Schedule)
    registration: Schedule = field(default_factory=Schedule)
    pretraining: Schedule = field(default_factory=Schedule)
    synthesis: Schedule = field(default_factory=Schedule)


TRAININGS = tuple(training.name for training in fields(Schedules))


@dataclass(frozen=True)
class MeasuringConfig:
    """What is measured.

    Args:
        batch_size: images per forward pass.
        ssim_pairs: random pairs per set for the diversity figure, of different patients
            if there are several.
        detector: the small network that tells synthetic texture from real.
    """

    batch_size: int = 8
    ssim_pairs: int = 500
    detector: DetectorConfig = field(default_factory=DetectorConfig)

    def __post_init__(self) -> None:
        check_fields(self, "--evaluation.", batch_size=at_least(1), ssim_pairs=at_least(1))


@dataclass(frozen=True)
class StructureGANConfig:
    """Everything that determines a run of the main system; written to config.json.

    Args:
        seed: of initial weights, order, noise, phantom and split.
        phantom: kind of the built-in phantom (used without --data).
        phantom_subjects: number of its patients.
        test_fraction: share of patients held out, of data without a published test part.
        augmentation: random motions of the training images.
        random_maps: generated maps that feed the adversarial steps.
        maps: structure maps and masks.
        structure: structure-map VAE-GAN.
        synthesis: conditional generator.
        dataset: the synthetic set.
        evaluation: measurements.
    """

    seed: int = 0
    phantom: str = ""
    phantom_subjects: int = 20
    test_fraction: float = 0.1
    augmentation: Augmentation = NO_AUGMENTATION
    random_maps: int = 2000
    maps: MapConfig = field(default_factory=MapConfig)
    structure: StructureConfig = field(default_factory=StructureConfig)
    synthesis: GeneratorConfig = field(default_factory=GeneratorConfig)
    dataset: SyntheticConfig = field(default_factory=SyntheticConfig)
    evaluation: MeasuringConfig = field(default_factory=MeasuringConfig)

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--",
            phantom_subjects=at_least(2),
            test_fraction=BETWEEN_0_AND_1,
            random_maps=at_least(1),
        )


@dataclass(frozen=True)
class EvaluationConfig(MeasuringConfig):
    """What is measured on registered slices.

    Args:
        overlap_slices: slices per set, at most, for the registration figure, evenly spread.
    """

    overlap_slices: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, "--evaluation.", overlap_slices=at_least(1))


@dataclass(frozen=True)
class BratsConfig(StructureGANConfig):
    """Everything that determines a run on BRATS-like data; written to config.json.

    Args:
        phantom: kind of the built-in phantom (used without --data). Patients of "varied" differ as
            between scanners and gliomas, those of "easy" little.
        pretrain: self-supervised pre-training of G before the adversarial steps (eq. 18).
        cohort: which patients take part.
        slicing: range, crop and size of the slices.
        segmentation: lesion segmenters.
        registration: modality translator.
        schedule: length of each training.
    """

    phantom: PhantomName = "easy"  # minutes of training suffice for its few differences
    pretrain: bool = False
    cohort: Cohort = field(default_factory=Cohort)
    slicing: SliceConfig = field(default_factory=SliceConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    registration: RegistrationConfig = field(default_factory=RegistrationConfig)
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    schedule: Schedules = field(default_factory=Schedules)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.maps.check(BRATS)


THESIS = BratsConfig()

_CPU_UNET = {
    "initializer": "he_normal",  # mean-filter kernels need days before their filters differ
    "condition": "conditional_instance_norm",  # concatenated codes are cancelled by instance norm
    # As in the thesis' text; the code's norm gives every slice one mean and spread, so that haze
    # fills the background of those with much tissue.
    "output_norm": False,
    "output_offset": -3.0,  # dark, as most of a slice is; from 0 it would take thousands of steps
}
_CPU_GAN = {
    **_CPU_UNET,
    "discriminator": "fine",  # a score of the patch trunk sees 101 pixels, the whole slice
}
# With weight 5 the regression of the modality's index takes most of D's and G's few updates.
_QUIET_MODALITY = AdversarialWeights(modality=0.3)

# Widths 8 and 16 are what a CPU convolves fastest, and minutes allow. Batches of 2 and 4: so few
# minutes need many updates more than quiet ones. Learning rates: 1e-5 needs days.
DEMO = replace(
    THESIS,
    test_fraction=0.2,  # 4 of 20 phantom subjects: 2 would make the held-out figures a lottery
    augmentation=Augmentation(mirror=True),  # few patients: twice the anatomies
    pretrain=True,  # few slices: the thesis recommends it for small sets
    random_maps=400,  # the adversarial steps see 300
    # Half resolution of a 192x144 window: a quarter of the arithmetic, sides divisible by 8.
    # Percentile: a single bright voxel of a real volume makes minmax dark, and thresholds miss.
    slicing=SliceConfig(rows=(34, 226), columns=(48, 192), downsample=2, scaling=PERCENTILE),
    # Window and zoom are pixels: halved with the resolution. Thresholds: the code's 0.035 turns the
    # coarser slices into solid patches, 0.3 opens holes in the ventricles.
    maps=MapConfig(edge_threshold=0.05, structure_median=3, mask_threshold=0.1, mask_zoom=4),
    structure=StructureConfig(
        width=8,
        latent_size=256,  # 16 give clean but uniform maps, 4096 are far more than the data fill
        map_size=(96, 72),  # native size instead of 512x512
        halvings=3,
        keep_encoder=1.0,  # so few steps do not overfit
        initializer="he_normal",  # as in _CPU_UNET
        # 256 numbers hold outline and ventricles; the folds of the cortex need a code of their own.
        fine_channels=4,
        constant_stddev=1.0,  # with 0 half of the random codes decode to rubble
        prior="fitted",  # so few steps leave the codes far from N(0, I), whose maps look alike
        discriminator="fine",  # as in _CPU_GAN
        learning_rate=1e-3,
        discriminator_learning_rate=5e-5,  # at 2e-4 D_s wins, and G_s learns nothing from it
        # Random codes decode to maps only if the codes of real maps form one dense cloud. A number
        # of the fine code (1728 of them) costs twelve times one of the other: it holds the rest.
        weights=StructureWeights(
            kl=0.1, kl_fine=8.0, code_adversarial=1.0, moments=1.0, map_adversarial=5.0
        ),
    ),
    segmentation=SegmentationConfig(
        width=8,
        initializer="he_normal",
        output_norm=False,  # as above: it makes lesions of all sizes alike
        # Logits of the classes' shares: from 0 the first thousand steps only learn these.
        output_offset=(2.0, -3.0, -4.0, -4.0, -4.0),
        learning_rate=2e-3,
    ),
    # Registered pairs and their error alone: with cycles and D_t an update takes three times as
    # long, and minutes are better spent on more updates.
    registration=RegistrationConfig(
        width=8,
        # Told the target alone, the decoder takes a T1 for a T2: the convolutions do not see which
        # of them a slice is.
        code="translation",
        registered=True,
        adversarial=AdversarialWeights(fake=0.0, modality=0.0),
        cycle=0.0,
        consistency=0.0,
        supervised=20.0,
        error="absolute",  # haze of 0.005 costs a squared error nothing, and SSIM a fifth
        learning_rate=5e-3,
        decay="cosine",  # the last updates refine, instead of moving to and fro
        **_CPU_GAN,
    ),
    synthesis=SynthesisConfig(
        width=16,
        discriminator_width=16,
        adversarial=_QUIET_MODALITY,
        reconstruction=2.0,  # kept on, or the few adversarial steps undo what was learned
        outside=25.0,  # as in pre-training, for the random maps
        # Squared errors are smallest for the mean of all slices that a map fits, which is smooth:
        # absolute ones, and D from the start, let G draw one of them. The background is dark
        # within minutes only if its haze costs more than its share.
        pretraining=PretrainingConfig(
            reconstruction=20.0, error="absolute", outside=25.0, adversarial=0.3, learning_rate=2e-3
        ),
        learning_rate=5e-5,  # refines what the pre-training learned at 2e-3
        discriminator_learning_rate=1e-3,
        **_CPU_GAN,
    ),
    schedule=Schedules(
        structure=short_schedule(1100, 4),
        segmentation=short_schedule(1800, 4),
        registration=short_schedule(5000, 2),
        pretraining=short_schedule(1500, 4),
        synthesis=short_schedule(150, 2),
    ),
    # Some random maps have blobs at the brain's rim that the contour test lets pass. Segmenters of
    # a few minutes rarely reach 0.95: nothing is deselected. 200 samples take less than a minute.
    dataset=SyntheticConfig(samples=200, compact_organ=True, min_score=0.0),
)

TINY = replace(
    DEMO,
    phantom_subjects=4,
    random_maps=16,
    # A sixth of the resolution and 20 of the 50 slices: seconds instead of minutes.
    slicing=replace(DEMO.slicing, slices=(70, 90), downsample=6),
    maps=MapConfig(edge_threshold=0.05, structure_median=1, mask_threshold=0.1, mask_zoom=2),
    structure=replace(DEMO.structure, width=4, map_size=(32, 24), halvings=2),
    segmentation=replace(DEMO.segmentation, width=4),
    # All terms of the thesis beside the demo's: what breaks one of them shows within seconds.
    registration=replace(
        DEMO.registration,
        width=4,
        adversarial=replace(_QUIET_MODALITY, fake=0.3),
        cycle=5.0,
        consistency=1.0,
    ),
    synthesis=replace(DEMO.synthesis, width=4, discriminator_width=4),
    schedule=Schedules(
        structure=short_schedule(20, 4),
        segmentation=short_schedule(20, 4),
        registration=short_schedule(10, 2),
        pretraining=short_schedule(20, 4),
        synthesis=short_schedule(10, 2),
    ),
    dataset=replace(DEMO.dataset, samples=8, batch_size=4, map_retries=5),
    evaluation=EvaluationConfig(
        ssim_pairs=20,
        overlap_slices=40,
        detector=DetectorConfig(patch=8, steps=5, tests=50),
    ),
)

PRESETS = {"tiny": TINY, "demo": DEMO, "thesis": THESIS}

_UNETS = ("segmentation", "registration", "synthesis")
# Where the sources differ from each other. The presets follow the thesis, and where it is silent
# its code; the docstring of models.structure_gan has the choices.
VARIANTS = {
    "thesis_text": {  # as the thesis is written, where its code does something else
        "maps.variant": "thesis",
        "structure.separate_mask_optimizer": True,
        "segmentation.loss": "cross_entropy",
        **{f"{net}.activation": "leaky_relu" for net in _UNETS},
        **{f"{net}.output_norm": False for net in _UNETS},
        **{f"{net}.discriminator": "vgg11" for net in ("structure", "registration", "synthesis")},
        **{f"{net}.adversarial.modality_fake": 1.0 for net in ("registration", "synthesis")},
    },
    "released_code": {  # as the code was released, where the preset follows the text
        "structure.dropout_at_generation": True,
        "structure.outside_channels": "both",
        "synthesis.label_input": False,
        "dataset.min_map_score": 0.55,
    },
    "paper": {  # as in the conference paper
        "maps.variant": "paper",
        "registration.discriminator_stddev": 0.2,
        "synthesis.discriminator_stddev": 0.2,
        "synthesis.outside": 1.5,
    },
}
