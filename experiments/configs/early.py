"""Configurations of the early paper on BRATS-like data: its code's settings, small presets."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from data.brats.dataset import BRATS
from data.brats.phantom_kinds import PhantomName
from data.brats.slices import SliceConfig
from data.splits import Cohort
from data.structure_maps.cutting import MapConfig
from experiments.configs import brats
from experiments.configs.brats import EvaluationConfig, StructureGANConfig
from experiments.configs.schedules import short_schedule
from models.early_gan.config import (
    GUIDE_WEIGHTS,
    LESION_WEIGHTS,
    EarlyGANConfig,
    EarlyMapsConfig,
    LesionNetsConfig,
    MadeWeights,
    RealWeights,
)
from models.networks.adversarial import AdversarialWeights
from utils.errors import check_fields, one_of
from utils.training.trainer import Schedule


@dataclass(frozen=True)
class Schedules:
    """Length and intervals of each training.

    Args:
        structure: structure-map VAE-GAN.
        segmentation: lesion nets.
        pretraining: image stage on registered slices; `--pretrain false` leaves it out.
        synthesis: image stage.
    """

    structure: Schedule = field(default_factory=Schedule)
    segmentation: Schedule = field(default_factory=Schedule)
    pretraining: Schedule = field(default_factory=Schedule)
    synthesis: Schedule = field(default_factory=Schedule)


MapStage = Literal["early", "thesis"]
TRAININGS = tuple(training.name for training in fields(Schedules))


@dataclass(frozen=True)
class EarlyConfig(StructureGANConfig):
    """Everything that determines a run of the early paper; written to config.json.

    Args:
        phantom: kind of the built-in phantom (used without --data).
        maps: structure maps and masks; both stages have the edge threshold of the code's second.
        pretrain: train the image stage on registered slices first; the paper does not.
        map_stage: networks of the map stage: early (EC_F, DC_F, D_F, FD_F and the mask net) or
            thesis (those of the main system, of which --structure tells more).
        early_maps: map stage with the paper's networks.
        joint_lesions: train the lesion nets on beside the images, on real slices; off: they are
            frozen once they are trained.
        match_labels: labels beside the maps lie inside of the organ; off: anywhere.
        random_maps: extracted maps that the image stage sees, with labels of other slices.
        cohort: which patients take part.
        slicing: range, crop and size of the slices.
        segmentation: lesion nets.
        synthesis: image stage.
        schedule: length of each training.
    """

    phantom: PhantomName = "easy"
    pretrain: bool = False
    joint_lesions: bool = False
    match_labels: bool = True
    maps: MapConfig = MapConfig(variant="paper_image_stage")
    map_stage: MapStage = "early"
    early_maps: EarlyMapsConfig = field(default_factory=EarlyMapsConfig)
    cohort: Cohort = field(default_factory=Cohort)
    slicing: SliceConfig = field(default_factory=SliceConfig)
    segmentation: LesionNetsConfig = field(default_factory=LesionNetsConfig)
    synthesis: EarlyGANConfig = field(default_factory=EarlyGANConfig)
    schedule: Schedules = field(default_factory=Schedules)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.maps.check(BRATS)
        check_fields(self, "--", map_stage=one_of(get_args(MapStage)))


_EPOCHS = Schedule(epochs=100)
THESIS = EarlyConfig(schedule=Schedules(*[_EPOCHS] * len(TRAININGS)))


def _small(config: brats.BratsConfig, width: int, schedule: Schedules) -> EarlyConfig:
    """Returns a preset for a CPU, on the slices and with the maps of the main system's.

    Maps are cut as there (`maps.variant` code). The lesion nets of all schemes have the class
    weights of 4SEG, so that schemes differ in their networks alone.
    """
    shared = {f.name for f in fields(StructureGANConfig)} - {"synthesis"}
    data = {name: getattr(config, name) for name in (*shared, "slicing", "evaluation")}
    lesions = config.segmentation
    return EarlyConfig(
        **data,
        pretrain=True,  # few slices and minutes
        map_stage="thesis",  # whose settings for minutes are known
        early_maps=EarlyMapsConfig(
            width=width, latent_size=256, initializer="he_normal", learning_rate=1e-3
        ),
        segmentation=LesionNetsConfig(
            width=width,
            initializer=lesions.initializer,
            output_norm=lesions.output_norm,
            output_offset=lesions.output_offset,
            learning_rate=lesions.learning_rate,
            class_weights=LESION_WEIGHTS,
        ),
        synthesis=EarlyGANConfig(
            width=width,
            discriminator_width=width,
            initializer="he_normal",
            # What the norm cancels and leaves, see the main system's demo.
            condition="conditional_instance_norm",
            output_norm=False,
            output_offset=-3.0,
            discriminator=config.synthesis.discriminator,
            all_targets=False,
            # The published weights over fifty, of registration over ten, of other terms over five,
            # but for errors of real images, from which minutes learn most.
            adversarial=AdversarialWeights(real=2.0, fake=1.4, modality=2.0),
            real=RealWeights(validity=0.2, modality=2.0, code=1.0, code_pairs=0.2),
            made=MadeWeights(
                edges=3.0,
                edge_pairs=1.0,
                lesion=0.2,
                translation=2.0,
                translation_pairs=0.5,
                code=0.2,
                code_pairs=0.04,
            ),
            class_weights=GUIDE_WEIGHTS,
            learning_rate=1e-4,  # refines what the pre-training learned at 2e-3
            discriminator_learning_rate=5e-4,
        ),
        schedule=schedule,
    )


DEMO = _small(
    brats.DEMO,
    8,
    Schedules(
        structure=short_schedule(1100, 4),
        segmentation=short_schedule(900, 4),
        pretraining=short_schedule(1500, 4),
        synthesis=short_schedule(300, 2),
    ),
)
TINY = _small(brats.TINY, 4, Schedules(*[short_schedule(20, 2)] * len(TRAININGS)))
PRESETS = {"tiny": TINY, "demo": DEMO, "thesis": THESIS}

_NO_TRANSLATION = {
    f"synthesis.real.{name}": 0.0
    for name in ("validity", "modality", "cycle", "consistency", "code", "code_pairs")
}
# What the complete system lacks in the ablations of the later draft, A to E.
VARIANTS = {
    "noise_map": {  # A: noise instead of the map, with which nothing can be compared
        "synthesis.noise_map": True,
        "synthesis.made.edges": 0.0,
        "synthesis.range.made": 0.0,
        "pretrain": False,
    },
    "any_label": {"match_labels": False},  # B: labels that leave the organ
    "no_translation": {  # C: real images are rebuilt, but not translated
        **_NO_TRANSLATION,
        "synthesis.range.translated": 0.0,
        "synthesis.pretraining.translation": 0.0,
    },
    "no_real": {  # D: nothing is learned of real images but what D_M and FD_R tell
        **_NO_TRANSLATION,
        "synthesis.range.translated": 0.0,
        "synthesis.range.rebuilt": 0.0,
        "synthesis.real.reconstruction": 0.0,
        "pretrain": False,
    },
    "no_lesion": {"synthesis.made.lesion": 0.0},  # E
}
