"""Settings of the early paper; the defaults are its code's (variant B, with those of A beside)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Optional, get_args

from models.blocks.initializers import KERNEL_INITIALIZERS
from models.lesions import ONE_PER_CLASS, SEGMENTATION_RULES, SegmentationConfig
from models.networks.adversarial import AdversarialWeights, ValidityWeights
from models.networks.maps import SQUARE
from models.networks.settings import UNET_GAN_RULES, WIDTH, UNetGANConfig
from utils.errors import NOT_NEGATIVE, POSITIVE, Rule, check_fields, one_of

Scheme = Literal["1seg", "1ecl_4dcl", "4seg", "1seg_4channel"]
# Of the classes in the released code: of nets that learn from real slices beforehand, one for each
# modality or a single one; of those that guide, frozen or learning on.
LESION_WEIGHTS = (1.0, 5.0, 15.0, 15.0, 15.0)
SINGLE_WEIGHTS = (1.0, 15.0, 85.0, 85.0, 85.0)
GUIDE_WEIGHTS = (2.5, 25.0, 125.0, 125.0, 125.0)
JOINT_WEIGHTS = (5.0, 50.0, 250.0, 250.0, 250.0)
SINGLE = ("1seg", "1seg_4channel")
_WEIGHTS = Rule(
    f"null or {ONE_PER_CLASS.expected}",
    lambda values: values is None or ONE_PER_CLASS.holds(values),
)


@dataclass(frozen=True)
class LesionNetsConfig(SegmentationConfig):
    """Lesion nets, encoders and decoders without skips, trained on real slices and then frozen.

    Args:
        scheme: 1seg (one net for every modality), 1ecl_4dcl (one encoder, a decoder for each),
            4seg (a net for each) or 1seg_4channel (one net that sees all modalities).
        class_weights: weight of each class in the loss, background first; null has those of the
            released code: 1, 15, 85, 85, 85 of 1seg and 1seg_4channel, 1, 5, 15, 15, 15 of others.
        learning_rate: Adam's, per update.
    """

    scheme: Scheme = "4seg"
    class_weights: Optional[tuple[float, ...]] = None
    learning_rate: float = 2e-4

    def __post_init__(self) -> None:
        # The parent's rule of class_weights knows no null.
        checks = {"scheme": one_of(get_args(Scheme)), "class_weights": _WEIGHTS}
        check_fields(self, "--segmentation.", **SEGMENTATION_RULES, **checks)

    @property
    def weights(self) -> tuple[float, ...]:
        """The class weights that the nets learn with beforehand."""
        return self.class_weights or (SINGLE_WEIGHTS if self.scheme in SINGLE else LESION_WEIGHTS)


@dataclass(frozen=True)
class MapWeights:
    """Weights of the map stage (2.3; original code, 7.3).

    Args:
        code: of FD_F on random and on real codes, and of the encoder against it, each.
        moments: squared deviation of the code's mean and spread, each.
        map: squared error of the rebuilt map's two channels.
        map_discriminator: of D_F on extracted and on random maps, each.
        map_adversarial: of a random map that D_F takes for an extracted one; the code has 100, but
            its arg-max passes no gradient.
        mask: squared error of the mask's two channels.
        outside: lines outside the organ, each of 4 terms.
    """

    code: float = 0.1
    moments: float = 0.1
    map: float = 50.0
    map_discriminator: float = 0.01
    map_adversarial: float = 1.0
    mask: float = 25.0
    outside: float = 5.0

    def __post_init__(self) -> None:
        check_fields(self, "--early_maps.weights.")


@dataclass(frozen=True)
class EarlyMapsConfig:
    """The map stage: EC_F and DC_F against D_F and FD_F, and the mask net.

    Args:
        width: base width n of all networks, channels.
        latent_size: length of the code; a square number.
        initializer: kernel initialiser of EC_F, DC_F and the mask net.
        onehot_target: what the channel of a rebuilt pixel shall be; the code has 5, which a sigmoid
            never reaches.
        live_terms: see soft maps where the code takes the arg-max, which passes no gradient.
        learning_rate: Adam's, per update, of all three optimisers.
        weights: loss weights.
    """

    width: int = 64
    latent_size: int = 4096
    initializer: str = "mean_filter"
    onehot_target: float = 1.0
    live_terms: bool = True
    learning_rate: float = 1e-4
    weights: MapWeights = field(default_factory=MapWeights)

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--early_maps.",
            width=WIDTH,
            latent_size=SQUARE,
            initializer=one_of(KERNEL_INITIALIZERS),
            onehot_target=POSITIVE,
            learning_rate=POSITIVE,
        )


@dataclass(frozen=True)
class RealWeights:
    """Weights of the terms of real images: reconstruction, translation and cycles (2.4).

    Args:
        reconstruction: squared error of x_r to its image, each of 4.
        validity: of D_M and G on a translation, each of 12.
        modality: class term of a translation in G, each of 12.
        cycle: squared error of a cycle to its image, each of 12.
        consistency: squared difference of two cycles of one image, each of 12 pairs.
        code: squared difference of an image's code to that of its translation, each of 12.
        code_pairs: squared difference of the codes of two translations of it, each of 12 pairs.
    """

    reconstruction: float = 5.0
    validity: float = 10.0
    modality: float = 100.0
    cycle: float = 10.0
    consistency: float = 2.0
    code: float = 5.0
    code_pairs: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, "--synthesis.real.")


@dataclass(frozen=True)
class MadeWeights:
    """Weights of the terms of generated images beside those of D_M (2.6).

    Args:
        edges: squared difference of the map to an image's edges, outside of the label, each of 4.
        edge_pairs: squared difference of the edges of two modalities, each of 6 pairs.
        lesion: factor of the lesion nets' terms, whose class weights stand beside it.
        translation: squared error of a translation to the image made, each of 12.
        translation_pairs: squared difference of two translations to one target, each of 12 pairs.
        code: squared difference of EC_R's code to that of an image made, each of 4.
        code_pairs: squared difference of the codes of two of them, each of 6 pairs.
    """

    edges: float = 15.0
    edge_pairs: float = 5.0
    lesion: float = 1.0
    translation: float = 20.0
    translation_pairs: float = 5.0
    code: float = 1.0
    code_pairs: float = 0.2

    def __post_init__(self) -> None:
        check_fields(self, "--synthesis.made.")


@dataclass(frozen=True)
class RangeWeights:
    """Weights of what an image has where its source is black, squared.

    Args:
        made: images of a random map, and their translations.
        translated: translations of real images, each of 12.
        rebuilt: reconstructions of real images, each of 4.
    """

    made: float = 1.5
    translated: float = 1.0
    rebuilt: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self, "--synthesis.range.")


@dataclass(frozen=True)
class PretrainingConfig:
    """Training of EC_R, EC_M and DC_M on registered slices with their own maps; not published.

    Args:
        made: absolute error of an image of the slice's map and label, each of 4.
        translation: absolute error of a translation of one modality to another, each of 12.
        outside: squared intensity of both where the slice is black, each of 4 and of 12.
        code: squared difference of EC_R's code to that of each image, each of 4.
        adversarial: factor of G's terms by D_M and FD_R, which learn beside.
        learning_rate: Adam's, per update, for encoders and decoder.
    """

    made: float = 20.0
    translation: float = 5.0
    outside: float = 25.0
    code: float = 0.2
    adversarial: float = 0.3
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        check_fields(self, "--synthesis.pretraining.")


@dataclass(frozen=True)
class EarlyGANConfig(UNetGANConfig):
    """The image stage: EC_R, EC_M and DC_M against D_M and FD_R.

    Args:
        width: base width n of encoders and decoder, channels.
        discriminator_width: base width of D_M and FD_R, channels.
        initializer: kernel initialiser of encoders and decoder.
        activation: of hidden units: capped_relu, or leaky_relu (slope 0.2).
        condition: how the modality enters DC_M: concat or conditional_instance_norm.
        output_norm: instance norm before DC_M's sigmoid.
        output_scale: its initial scale.
        output_offset: its initial offset, or without norm the initial bias, logit.
        discriminator: trunk of D_M: patch, fine or vgg11.
        discriminator_stddev: spread of D_M's and FD_R's initial kernels.
        noise_map: noise from N(0,1) in the map's place, for an ablation.
        all_targets: translate to all three other modalities; off: to one that each update draws,
            with three times its weight, without pairs of translations of one image.
        adversarial: weights of D_M on images of maps and on real ones.
        code: weights of FD_R, by which codes of maps (fake) and of images (real) become alike.
        one_sided: only codes of maps are moved by FD_R, as printed in the draft.
        real: weights of the terms of real images.
        made: weights of the terms of images of maps.
        range: weights of what is not black outside of the organ.
        pretraining: of encoders and decoder on registered slices, if `--pretrain` is on.
        class_weights: weight of each class in the lesion term, background first; null has those of
            the released code, twice as large where the nets learn on.
        live_terms: put smooth functions in the place of thresholds through which no gradient flows;
            off: those terms are logged and train nothing, as in the released code.
        edge_threshold: of the edges of images made, see `losses.structure.soft_edges`.
        learning_rate: Adam's, per update, for encoders and decoder.
        discriminator_learning_rate: Adam's, per update, for D_M and FD_R.
    """

    discriminator_width: int = 64
    condition: str = "concat"
    noise_map: bool = False
    all_targets: bool = True
    adversarial: AdversarialWeights = AdversarialWeights(real=100.0, fake=70.0, modality=100.0)
    code: ValidityWeights = ValidityWeights(real=1.0, fake=4.0)
    one_sided: bool = False
    real: RealWeights = field(default_factory=RealWeights)
    made: MadeWeights = field(default_factory=MadeWeights)
    range: RangeWeights = field(default_factory=RangeWeights)
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    class_weights: Optional[tuple[float, ...]] = None
    live_terms: bool = True
    edge_threshold: float = 0.12
    learning_rate: float = 1e-4
    discriminator_learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--synthesis.",
            **UNET_GAN_RULES,
            discriminator_width=WIDTH,
            class_weights=_WEIGHTS,
            edge_threshold=NOT_NEGATIVE,
            discriminator_learning_rate=POSITIVE,
        )

    def guide_weights(self, joint: bool) -> tuple[float, ...]:
        """Returns the class weights of the lesion term; `joint`: the nets learn on."""
        return self.class_weights or (JOINT_WEIGHTS if joint else GUIDE_WEIGHTS)
