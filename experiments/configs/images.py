"""Configurations of the main system on chest X-rays, lung CT, retina and Tianchi's lung CT.

Presets `thesis` have the published settings; where the thesis is silent, its code's. `demo` and
`tiny` are for a CPU, as those of BRATS.
"""

from dataclasses import dataclass, field, replace

from data.augmentation import Augmentation
from data.chest_xray.dataset import XrayConfig
from data.lung_ct.dataset import CtConfig
from data.retina.dataset import RetinaConfig
from data.structure_maps.cutting import EACH, MapConfig
from data.synthetic_sets.building import SyntheticConfig
from experiments.configs import brats
from experiments.configs.brats import MeasuringConfig, StructureGANConfig
from experiments.configs.schedules import short_schedule
from models.networks.adversarial import ValidityWeights
from models.structure_gan.classification import ClassificationConfig
from models.structure_gan.config import GeneratorConfig, PretrainingConfig
from models.structure_gan.detection import DetectionConfig
from models.structure_gan.structure_config import StructureConfig, StructureWeights
from utils.metrics.detectability import DetectorConfig
from utils.training.trainer import Schedule


@dataclass(frozen=True)
class Schedules:
    """Length and intervals of each training.

    Args:
        structure: structure-map VAE-GAN.
        pretraining: generator on extracted maps; `--pretrain false` leaves it out.
        synthesis: generator against discriminator.
    """

    structure: Schedule = field(default_factory=Schedule)
    pretraining: Schedule = field(default_factory=Schedule)
    synthesis: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True)
class ImageConfig(StructureGANConfig):
    """Everything that determines a run on single images; written to config.json.

    Args:
        pretrain: self-supervised pre-training of G before the adversarial steps (eq. 18).
        schedule: length of each training.
    """

    pretrain: bool = True
    schedule: Schedules = field(default_factory=Schedules)


@dataclass(frozen=True)
class XraySchedules(Schedules):
    """Length and intervals of each training, of the classifier too.

    Args:
        classification: classifier that guides G.
    """

    classification: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True)
class ChestXrayConfig(ImageConfig):
    """Everything that determines a run on chest X-rays; written to config.json.

    Args:
        slicing: size of the images.
        classification: classifier that guides G.
    """

    phantom: str = "chest"
    slicing: XrayConfig = field(default_factory=XrayConfig)
    classification: ClassificationConfig = field(default_factory=ClassificationConfig)
    schedule: XraySchedules = field(default_factory=XraySchedules)


@dataclass(frozen=True)
class LungCtConfig(ImageConfig):
    """Everything that determines a run on lung CT; written to config.json.

    Args:
        slicing: size and window of the slices.
    """

    phantom: str = "lung"
    slicing: CtConfig = field(default_factory=CtConfig)


@dataclass(frozen=True)
class RetinaGanConfig(ImageConfig):
    """Everything that determines a run on the retina; written to config.json.

    Args:
        slicing: size and scaling of the photographs.
    """

    phantom: str = "retina"
    slicing: RetinaConfig = field(default_factory=RetinaConfig)


@dataclass(frozen=True)
class TianchiSchedules(Schedules):
    """Length and intervals of each training, of the detector too.

    Args:
        detection: detector that guides G.
    """

    detection: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True)
class TianchiConfig(ImageConfig):
    """Everything that determines a run on Tianchi's CT; written to config.json.

    Args:
        slicing: size and window of the slices.
        detection: detector that guides G.
    """

    phantom: str = "nodules"
    slicing: CtConfig = field(default_factory=CtConfig)
    detection: DetectionConfig = field(default_factory=DetectionConfig)
    schedule: TianchiSchedules = field(default_factory=TianchiSchedules)


# Of all sets: the published networks for 512x512, and no map filter where the sources name none.
_NO_FILTER = {"max_contour_error": 1.0, "map_retries": 0, "min_score": 0.0}
_GENERATOR = GeneratorConfig(pretraining=PretrainingConfig(outside=0.1))
THESIS = {
    "chest_xray": ChestXrayConfig(
        # At 1500x1500, where the author cut his maps, alpha is 0.009.
        maps=MapConfig("X-ray", edge_threshold=0.027),
        synthesis=replace(_GENERATOR, lesion=0.5),
        dataset=SyntheticConfig(**_NO_FILTER),
    ),
    "lung_ct": LungCtConfig(
        maps=MapConfig("CT"), synthesis=_GENERATOR, dataset=SyntheticConfig(**_NO_FILTER)
    ),
    "retina": RetinaGanConfig(
        maps=MapConfig("red"), synthesis=_GENERATOR, dataset=SyntheticConfig(min_score=0.0)
    ),
    "tianchi_ct": TianchiConfig(
        pretrain=False,  # the thesis' first text leaves it out here; its later one has it
        maps=MapConfig(EACH),
        structure=StructureConfig(weights=StructureWeights(line_sparsity=0.0)),
        synthesis=replace(_GENERATOR, adversarial=ValidityWeights(real=2.0, fake=2.0)),
        dataset=SyntheticConfig(**_NO_FILTER, samples=20000),
    ),
}

# As in the demo of BRATS, with its reasons. One image in the place of four modalities takes a
# quarter of the time: more updates.
_SIDE = 96
_STRUCTURE = replace(brats.DEMO.structure, map_size=(_SIDE, _SIDE))
_SYNTHESIS = GeneratorConfig(
    width=16,
    discriminator_width=16,
    initializer="he_normal",
    condition="conditional_instance_norm",
    output_norm=False,
    discriminator="fine",
    adversarial=ValidityWeights(),
    lesion=0.5,
    reconstruction=2.0,
    outside=0.0,
    pretraining=PretrainingConfig(
        reconstruction=20.0, error="absolute", outside=5.0, adversarial=0.3, learning_rate=2e-3
    ),
    learning_rate=1e-4,
    discriminator_learning_rate=1e-3,
)
_SCHEDULE = {
    "structure": short_schedule(1200, 4),
    "pretraining": short_schedule(3000, 4),
    "synthesis": short_schedule(600, 4),
}
# Lines that differ from image to image and fill little of a map: a code as dear as that of chests
# keeps none of them, and every map becomes the mean one.
_FINE_STRUCTURE = replace(
    _STRUCTURE,
    weights=replace(_STRUCTURE.weights, kl=0.01, kl_fine=0.8, reconstruction_squared=75.0),
)
_DEMO = {
    "random_maps": 300,
    "structure": _FINE_STRUCTURE,
    "schedule": Schedules(**_SCHEDULE),
}
_SET = {"samples": 200, "min_score": 0.0}
# Random maps of a few minutes' training are bodies or rubble.
_BODIES = SyntheticConfig(**_SET, compact_organ=True, fill_organ=True)


DEMO = {
    "chest_xray": replace(
        THESIS["chest_xray"],
        **{
            **_DEMO,
            "structure": _STRUCTURE,
            "schedule": XraySchedules(**_SCHEDULE, classification=short_schedule(900, 16)),
        },
        phantom_subjects=300,
        slicing=XrayConfig(size=_SIDE),
        # Smooth edges are steeper in small images, so that thresholds rise; windows shrink.
        maps=MapConfig(
            "X-ray", edge_threshold=0.095, structure_median=3, mask_zoom=1, mask_median=3
        ),
        classification=ClassificationConfig(width=8, learning_rate=1e-3, decay="cosine"),
        synthesis=_SYNTHESIS,
        dataset=SyntheticConfig(**_SET, max_contour_error=1.0, map_retries=0),
    ),
    "lung_ct": replace(
        THESIS["lung_ct"],
        **_DEMO,
        phantom_subjects=120,
        test_fraction=0.2,
        slicing=CtConfig(size=_SIDE),
        augmentation=Augmentation(mirror=True),
        maps=MapConfig("CT", edge_threshold=0.05, structure_median=1, mask_zoom=1, mask_median=3),
        # The air is dark, as most of a slice is.
        synthesis=replace(_SYNTHESIS, output_offset=-3.0),
        dataset=_BODIES,
    ),
    "retina": replace(
        THESIS["retina"],
        **_DEMO,
        phantom_subjects=100,
        slicing=RetinaConfig(size=_SIDE),
        augmentation=Augmentation(mirror=True),
        # Few vessels are left in red photographs of this size. A green one is dark at the rim.
        maps=MapConfig(
            "green",
            edge_threshold=0.025,
            structure_median=3,
            mask_threshold=0.02,
            mask_zoom=1,
            mask_median=3,
        ),
        synthesis=replace(_SYNTHESIS, output_offset=-1.0),
        dataset=SyntheticConfig(**_SET, compact_organ=True),
    ),
}
_CT_SIDE = 128  # at 96 the smallest nodules would be single pixels
DEMO["tianchi_ct"] = replace(
    THESIS["tianchi_ct"],
    **{
        **_DEMO,
        "schedule": TianchiSchedules(
            **{**_SCHEDULE, "pretraining": short_schedule(1600, 4)},
            detection=short_schedule(1600, 8),
        ),
    },
    # The detector learns lesions of few series, or in one place, by heart and finds no others.
    phantom_subjects=160,
    test_fraction=0.2,
    augmentation=Augmentation(mirror=True, shift=0.03),
    pretrain=True,  # few slices
    slicing=CtConfig(size=_CT_SIDE),
    maps=MapConfig(EACH, edge_threshold=0.05, structure_median=1, mask_zoom=1, mask_median=3),
    detection=DetectionConfig(
        width=8,
        fine_levels=2,
        negatives=30,
        learning_rate=1e-3,
        decay="cosine",  # the last updates are calm: moving statistics fit the last weights
    ),
    synthesis=replace(_SYNTHESIS, output_offset=-3.0, lesion=1.0),
    dataset=_BODIES,
)
_TINY_SIDE = 32
_TINY = {
    "phantom_subjects": 15,
    "random_maps": 16,
    "structure": replace(
        _STRUCTURE, width=4, map_size=(_TINY_SIDE, _TINY_SIDE), halvings=2, fine_halvings=2
    ),
    "schedule": Schedules(
        structure=short_schedule(20, 4),
        pretraining=short_schedule(20, 4),
        synthesis=short_schedule(10, 4),
    ),
    "evaluation": MeasuringConfig(
        ssim_pairs=20, detector=DetectorConfig(patch=8, steps=5, tests=50)
    ),
}


def _tiny(config: ImageConfig, **changes: object) -> ImageConfig:
    """Returns a preset whose run takes seconds, and whose pictures are coarse."""
    synthesis = replace(config.synthesis, width=4, discriminator_width=4)
    settings = {**_TINY, "synthesis": synthesis, **changes}
    return replace(
        config,
        **settings,
        slicing=replace(config.slicing, size=_TINY_SIDE),
        maps=replace(config.maps, structure_median=1, edge_threshold=0.2, mask_median=1),
        dataset=replace(config.dataset, samples=9, batch_size=4, map_retries=2),
    )


TINY = {
    "chest_xray": _tiny(
        DEMO["chest_xray"],
        classification=ClassificationConfig(width=4, learning_rate=1e-3),
        schedule=XraySchedules(
            **{name: getattr(_TINY["schedule"], name) for name in _SCHEDULE},
            classification=short_schedule(20, 8),
        ),
    ),
    "lung_ct": _tiny(DEMO["lung_ct"]),
    "retina": _tiny(DEMO["retina"]),
    "tianchi_ct": replace(
        _tiny(
            DEMO["tianchi_ct"],
            detection=DetectionConfig(width=2, fine_levels=1, learning_rate=1e-3),
            schedule=TianchiSchedules(
                **{name: getattr(_TINY["schedule"], name) for name in _SCHEDULE},
                detection=short_schedule(20, 4),
            ),
        ),
        phantom_subjects=6,
    ),
}


def presets(name: str) -> dict[str, ImageConfig]:
    """Returns the presets of a data set by name."""
    return {"tiny": TINY[name], "demo": DEMO[name], "thesis": THESIS[name]}
