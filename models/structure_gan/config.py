"""Settings of the main system; the defaults are the thesis' (original code, 2.1-2.5, 8.1).

All weights multiply means over batch, space and channels. A term that the original code writes once
per modality or translation is summed over them: its weight is the weight of one summand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from models.lesions import CLASS_WEIGHTS, NUM_CLASSES, ONE_PER_CLASS
from models.networks.adversarial import AdversarialWeights, ValidityWeights
from models.networks.modalities import NUM_MODALITIES
from models.networks.settings import UNET_GAN_RULES, WIDTH, Decay, UNetGANConfig
from models.networks.unet import CONDITIONS
from utils.errors import ASCENDING, FINITE, NOT_NEGATIVE, POSITIVE, UserError, check_fields, one_of

Fusion = Literal["concat", "weighted", "noise"]
ReconstructionError = Literal["squared", "absolute"]
TranslatorCode = Literal["target", "translation"]
_CONDITIONAL_GAN = {
    **UNET_GAN_RULES,
    "condition": one_of(CONDITIONS),
    "consistency": NOT_NEGATIVE,
}


@dataclass(frozen=True)
class Content:
    """What the slices of a data set are, as far as G and D differ by it.

    Args:
        modalities: images of a slice that G makes one by one, told which; 1 = one image.
        channels: channels of each of these images.
        classes: classes of the label, background or normal first; 0 = there is no label.
        of_image: whether a label is one class of the whole image, not a class of each pixel.
        maps: structure maps, and masks, of a slice.
    """

    modalities: int = 1
    channels: int = 1
    classes: int = 0
    of_image: bool = False
    maps: int = 1


BRATS = Content(modalities=NUM_MODALITIES, classes=NUM_CLASSES)


@dataclass(frozen=True)
class RegistrationConfig(UNetGANConfig):
    """Modality translator G_t with discriminator D_t.

    Args:
        width: base width n, channels.
        initializer: kernel initialiser of G_t.
        activation: of the hidden units of G_t and D_t: capped_relu, or the text's leaky_relu (0.2).
        condition: how the code enters G_t: concat or conditional_instance_norm.
        code: what G_t is told: target, the modality to make, as in the thesis, or translation, the
            modality that it sees as well.
        output_norm: instance norm before G_t's sigmoid; the text has none.
        output_scale: its initial scale.
        output_offset: its initial offset, or without norm the initial bias, logit.
        discriminator: trunk of D_t: patch, fine or vgg11.
        discriminator_stddev: spread of D_t's initial kernels; 0.2 in the paper.
        gradient_checkpointing: recompute activations inside G_t's layers in the backward pass: less
            memory for large slices, more time, the same gradients.
        registered: train on registered modalities of one slice; off draws the four independently.
        adversarial: weights of the adversarial and class terms; no D_t if those for G_t are 0.
        cycle: squared error of i -> j -> i (eq. 19), each of 12.
        consistency: squared difference between the cycles of one image, each of 12 pairs.
        supervised: error to the true target; needs `registered`; 0 = off as in the thesis.
        error: of `supervised`: squared, or absolute, which blurs less and leaves less haze.
        learning_rate: Adam's, per update.
        decay: of the learning rate: constant, or cosine, which ends at 0.
    """

    condition: str = "concat"
    code: TranslatorCode = "target"
    gradient_checkpointing: bool = False
    registered: bool = False
    adversarial: AdversarialWeights = field(default_factory=AdversarialWeights)
    cycle: float = 20.0
    consistency: float = 5.0
    supervised: float = 0.0
    error: ReconstructionError = "squared"
    decay: Decay = "constant"

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--registration.",
            **_CONDITIONAL_GAN,
            cycle=NOT_NEGATIVE,
            supervised=NOT_NEGATIVE,
            code=one_of(get_args(TranslatorCode)),
            error=one_of(get_args(ReconstructionError)),
            decay=one_of(get_args(Decay)),
        )
        if self.supervised and not self.registered:
            raise UserError(
                f"--registration.supervised is {self.supervised}, which compares with the true "
                "target and needs --registration.registered true; add that or give 0"
            )
        judged = self.adversarial.fake or self.adversarial.modality
        if not (judged or self.cycle or self.consistency or self.supervised):
            raise UserError(
                "--registration.adversarial.fake, .adversarial.modality, .cycle, .consistency and "
                ".supervised are all 0, so that G_t would learn nothing; give one of them a weight"
            )


@dataclass(frozen=True)
class PretrainingConfig:
    """Self-supervised pre-training of G on extracted maps (eq. 18).

    Args:
        reconstruction: error to the real image, each modality.
        error: squared as in the thesis, or absolute, which blurs less.
        outside: squared error outside the organ, each modality.
        adversarial: factor of the adversarial and class terms: D learns beside G from the start; 0
            as in the thesis, where G learns alone.
        learning_rate: Adam's, per update, for G.
    """

    reconstruction: float = 5.0
    error: ReconstructionError = "squared"
    outside: float = 5.0
    adversarial: float = 0.0
    learning_rate: float = 1e-5

    def __post_init__(self) -> None:
        weights = dict.fromkeys(("reconstruction", "outside", "adversarial"), NOT_NEGATIVE)
        check_fields(
            self,
            "--synthesis.pretraining.",
            **weights,
            error=one_of(get_args(ReconstructionError)),
            learning_rate=POSITIVE,
        )


@dataclass(frozen=True)
class GeneratorConfig(UNetGANConfig):
    """Conditional generator G of single images with discriminator D (eq. 12-14, 17).

    Args:
        width: base width n of G, channels.
        discriminator_width: base width n of D, channels.
        initializer: kernel initialiser of G.
        activation: of the hidden units of G and D: capped_relu, or the text's leaky_relu (0.2).
        condition: how the class of an image enters G: concat, as constant maps beside the structure
            map, or conditional_instance_norm.
        output_norm: instance norm before G's sigmoid; the text has none.
        output_scale: its initial scale.
        output_offset: its initial offset, or without norm the initial bias, logit.
        discriminator: trunk of D: patch, fine or vgg11.
        discriminator_stddev: spread of D's initial kernels; 0.2 in the paper.
        gradient_checkpointing: recompute activations inside G's layers in the backward pass: less
            memory for large slices, more time, the same gradients.
        label_input: feed the label to G, where there is one.
        label_scale: factor of the one-hot label.
        label_offset: constant added to it.
        noise: range of the uniform noise inside the organ (eq. 12), low and high; 0 and 0 = off.
        fusion: what G sees: concat is [s', label]; also weighted, which is 0.8 s' + 0.2 one-hot
            label, and noise, which is N(0,1) instead of map and label.
        adversarial: weights of the adversarial terms.
        lesion: factor of what the classifier or the detector says of G's images (4.5).
        reconstruction: eq. 18 kept during adversarial training, factor; 0 = off as in the thesis.
        outside: squared intensity outside the random map's organ; 0 = off as in the thesis.
        learning_rate: Adam's, per update, for G.
        discriminator_learning_rate: Adam's, per update, for D.
        pretraining: the self-supervised phase.
    """

    discriminator_width: int = 64
    condition: str = "concat"
    gradient_checkpointing: bool = False
    label_input: bool = True
    label_scale: float = 1.0
    label_offset: float = 0.1
    noise: tuple[float, float] = (0.5, 0.6)
    fusion: Fusion = "concat"
    adversarial: ValidityWeights = field(default_factory=ValidityWeights)
    lesion: float = 1.0
    reconstruction: float = 0.0
    outside: float = 0.0
    discriminator_learning_rate: float = 1e-5
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)

    def __post_init__(self) -> None:
        weights = ("lesion", "reconstruction", "outside")
        check_fields(
            self,
            "--synthesis.",
            **UNET_GAN_RULES,
            condition=one_of(CONDITIONS),
            discriminator_width=WIDTH,
            discriminator_learning_rate=POSITIVE,
            label_scale=FINITE,
            label_offset=FINITE,
            noise=ASCENDING,
            fusion=one_of(get_args(Fusion)),
            **dict.fromkeys(weights, NOT_NEGATIVE),
        )


@dataclass(frozen=True)
class SynthesisConfig(GeneratorConfig):
    """Conditional generator G with discriminator D, guided by frozen G_t and G_l (eq. 13-17).

    Args:
        condition: how the modality enters G: concat or conditional_instance_norm.
        label_input: feed the label to G; off is the released code's label-free generator.
        label_scale: factor of the one-hot label; 0.18 in one release.
        fusion: what G sees: concat is [s', label]; for the ablation of Table 1 also weighted, which
            is 0.8 s' + 0.2 one-hot label (5 channels), and noise, which is N(0,1) instead of map
            and label, drawn anew for each modality.
        adversarial: weights of the adversarial and class terms.
        registration: squared error between x_i and the translation j -> i (eq. 16), each of 12.
        consistency: squared difference between two translations to i, each of 12 pairs.
        lesion: factor of the lesion term (eq. 15), each modality.
        class_weights: weight of each class in the lesion term, background first.
        outside: squared intensity outside the random map's organ, each modality; 0 = off as in the
            thesis, 1.5 in the paper's code.
    """

    adversarial: AdversarialWeights = field(default_factory=AdversarialWeights)
    registration: float = 20.0
    consistency: float = 5.0
    class_weights: tuple[float, ...] = CLASS_WEIGHTS

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(
            self,
            "--synthesis.",
            registration=NOT_NEGATIVE,
            consistency=NOT_NEGATIVE,
            class_weights=ONE_PER_CLASS,
        )
