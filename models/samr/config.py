"""Settings of SAMR.

The defaults follow the paper; where it gives no value, the released code, or the choice that the
package's docstring names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from models.networks.settings import WIDTH
from utils.errors import BELOW_ONE, POSITIVE, Rule, at_least, between, check_fields

Norm = Literal["batch_spread", "instance"]
Adversarial = Literal["least_squares", "cross_entropy"]
Matching = Literal["squared", "absolute"]
GeneratorKind = Literal["residual", "unet"]
Doubling = Literal["transposed", "nearest"]
Discriminators = Literal["label_wise", "two_scales", "one"]
_RATE = {
    "learning_rate": POSITIVE,
    "constant_share": Rule("a share from 0 to 1", lambda share: 0 <= share <= 1),
}
_LABEL_NET = {"levels": between(2, 8), "width": WIDTH, **_RATE}


@dataclass(frozen=True)
class SAMRWeights:
    """Weights of the generator's terms beside the adversarial one (eq. 5), and of D's.

    Args:
        matching: features of every discriminator, summed over layers and discriminators.
        consistency: soft Dice of U on generated images (lesion-shape consistency); 0 = without U.
        absolute: absolute error to the real images; 0 as published.
        discriminator: both terms of the discriminators' own loss (pix2pixHD: one half).
    """

    matching: float = 5.0
    consistency: float = 1.0
    absolute: float = 0.0
    discriminator: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self, "--samr.weights.")


@dataclass(frozen=True)
class SAMRConfig:
    """Generator, discriminators and segmentation module.

    Args:
        width: base width of the generator, channels; the trunk has 2 * width * 2^down_samplings.
        down_samplings: how often the generator halves label and atlas.
        blocks: residual blocks of its trunk.
        norm: of the generator, batch_spread (batch norm) or instance.
        generator: residual, with encoders, trunk and decoders, or unet, that of pix2pix, which
            sees no atlas.
        unet_levels: how often the unet halves the label.
        dropout: share of the outputs of the unet's first three up rows that training zeroes; made
            images have none.
        tissues: the label tells CSF, grey and white matter apart (Shin et al.); the data has a map
            of them for each case.
        stretch_out: a decoder for each sequence; otherwise one for all (ablation).
        own_blocks: residual blocks in front of each decoder; pix2pixHD has none.
        doubling: how the decoders double the image, transposed convolutions, or nearest: each pixel
            is repeated and convolved, which leaves no stripes.
        atlas: the generator sees the atlas; otherwise the label alone (ablation).
        discriminators: label_wise, six of three regions at two scales; two_scales, of the whole
            image (ablation, pix2pixHD); or one (pix2pix).
        discriminator_norm: instance or batch_spread.
        atlas_in_discriminator: the discriminators see the atlas too.
        discriminator_width: base width of the discriminators, channels.
        discriminator_halvings: how often they halve their input; of 3 a score sees 70 pixels, of 2
            34, of 1 16.
        segmenter_levels: how often the segmentation module U halves the images.
        segmenter_width: its base width, channels.
        adversarial: least_squares or cross_entropy.
        matching_error: squared (paper) or absolute (pix2pixHD).
        learning_rate: Adam's, per update, for all networks.
        constant_share: share of the updates before the rate falls, along a line, to 0.
        beta_1: Adam's.
        weights: loss weights.
    """

    width: int = 16
    down_samplings: int = 5
    blocks: int = 9
    norm: Norm = "batch_spread"
    generator: GeneratorKind = "residual"
    unet_levels: int = 8
    dropout: float = 0.0
    tissues: bool = False
    stretch_out: bool = True
    own_blocks: int = 1
    doubling: Doubling = "transposed"
    atlas: bool = True
    discriminators: Discriminators = "label_wise"
    discriminator_norm: Norm = "instance"
    atlas_in_discriminator: bool = True
    discriminator_width: int = 64
    discriminator_halvings: int = 3
    segmenter_levels: int = 5
    segmenter_width: int = 64
    adversarial: Adversarial = "least_squares"
    matching_error: Matching = "squared"
    learning_rate: float = 2e-4
    constant_share: float = 0.5
    beta_1: float = 0.5
    weights: SAMRWeights = field(default_factory=SAMRWeights)

    def __post_init__(self) -> None:
        widths = ("width", "discriminator_width", "segmenter_width")
        check_fields(
            self,
            "--samr.",
            **dict.fromkeys(widths, WIDTH),
            down_samplings=between(1, 8),
            unet_levels=between(2, 8),
            blocks=at_least(1),
            own_blocks=at_least(0),
            discriminator_halvings=between(1, 3),
            segmenter_levels=between(2, 8),
            **dict.fromkeys(("beta_1", "dropout"), BELOW_ONE),
            **_RATE,
        )

    @property
    def sees_atlas(self) -> bool:
        """Whether a network sees the atlas."""
        return self.atlas or self.atlas_in_discriminator

    @property
    def first_lesion(self) -> int:
        """The first label of the lesion; those before are background, and brain or its tissues."""
        return 4 if self.tissues else 2

    @property
    def halvings(self) -> int:
        """How often the generator halves its input."""
        return self.unet_levels if self.generator == "unet" else self.down_samplings


@dataclass(frozen=True)
class LabelNetConfig:
    """The segmenter that judges generated images.

    Args:
        levels: how often it halves the images.
        width: base width, channels.
        learning_rate: Adam's, per update.
        constant_share: share of the updates before the rate falls, along a line, to 0.
    """

    levels: int = 5
    width: int = 64
    learning_rate: float = 2e-4
    constant_share: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self, "--segmenter.", **_LABEL_NET)


# The paper's ablations and rivals (Table 2): what differs from SAMR, by name. As the paper is
# silent, rivals see no atlas; pix2pixHD goes without its VGG term, which needs three channels.
_RIVAL = {"atlas": False, "atlas_in_discriminator": False, "weights.consistency": 0.0}
_PIX2PIX = {
    **_RIVAL,
    "generator": "unet",
    "width": 64,
    "dropout": 0.5,
    "discriminators": "one",
    "discriminator_norm": "batch_spread",
    "adversarial": "cross_entropy",
    "weights.matching": 0.0,
    "weights.absolute": 100.0,
}
METHODS = {
    "samr": {},
    "without_stretch_out": {"stretch_out": False},
    "without_label_wise": {"discriminators": "two_scales"},
    "without_atlas": {"atlas": False},
    "without_consistency": {"weights.consistency": 0.0},
    "pix2pixhd": {
        **_RIVAL,
        "down_samplings": 4,
        "width": 64,
        "norm": "instance",
        "stretch_out": False,
        "own_blocks": 0,
        "discriminators": "two_scales",
        "matching_error": "absolute",  # with weight 10, 4 / 4 of each layer, 1 / 2 of each D
    },
    "pix2pix": _PIX2PIX,
    # Shin, Tenenholtz, Rogers et al., "Medical image synthesis for data augmentation and
    # anonymization using generative adversarial networks", 2018, in two dimensions.
    "shin": {**_PIX2PIX, "tissues": True, "weights.discriminator": 1.0},
}
