"""Settings of the structure-map VAE-GAN; the defaults are the thesis' (original code, 2.1, 8.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Optional, get_args

from models.blocks.initializers import KERNEL_INITIALIZERS
from models.networks.discriminator import TRUNKS, check_image_size
from models.networks.maps import SQUARE
from models.networks.unet import check_sides
from models.structure_gan.map_networks import FineCode, base_size
from utils.errors import (
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Rule,
    at_least,
    between,
    check_fields,
    one_of,
)

OutsideChannels = Literal["line", "both"]
Prior = Literal["standard", "fitted"]


@dataclass(frozen=True)
class StructureWeights:
    """Loss weights of the structure-map VAE-GAN (original code, 2.1).

    Args:
        code_discriminator: D_z on z and on codes (eq. 8), each.
        code_adversarial: D_z(code) -> real (eq. 9).
        moments: squared deviation of the code's mean and spread, each.
        kl: KL divergence to N(0, I); 0 = off as in the thesis.
        kl_fine: the same of the fine code.
        map_discriminator: D_s on extracted and on random maps (eq. 10), each.
        map_adversarial: D_s(random map) -> real (eq. 11).
        reconstruction_squared: squared error of the decoded map (eq. 7).
        reconstruction_absolute: absolute error of the decoded map.
        line_sparsity: pushes decoded and random maps towards more lines, each.
        lines_outside: lines outside the organ, decoded and random maps, each (eq. 7, 11).
        mask: squared error of G_m's mask (eq. 6).
    """

    code_discriminator: float = 10.0
    code_adversarial: float = 0.001
    moments: float = 0.001
    kl: float = 0.0
    kl_fine: float = 0.0
    map_discriminator: float = 25.0
    map_adversarial: float = 0.1
    reconstruction_squared: float = 25.0
    reconstruction_absolute: float = 10.0
    line_sparsity: float = 0.0001
    lines_outside: float = 1.0
    mask: float = 15.0

    def __post_init__(self) -> None:
        check_fields(self, "--structure.weights.")


@dataclass(frozen=True)
class StructureConfig:
    """Structure-map VAE-GAN with mask generator: E_s, G_s, G_m, D_z, D_s.

    Args:
        width: base width n of E_s, G_s, D_z and D_s, channels; G_m has n/2.
        latent_size: length of the code; a square number.
        map_size: height and width of the maps inside the networks, pixels (nearest resize).
        halvings: down-samplings of E_s and doublings of G_s, 1..6.
        keep_encoder: share of input pixels that E_s keeps (dropout).
        keep_discriminator: share of input pixels that D_s keeps.
        keep_mask: share of input pixels that G_m keeps.
        dropout_at_generation: keep the dropout of E_s, D_s and G_m outside of training too, as the
            released graphs do.
        discriminator: trunk of D_s: patch, fine or vgg11.
        outside_channels: channels of a map that are penalised outside the organ: line, or both as
            in the released code, which averages over them and so halves the weight of the lines.
        separate_mask_optimizer: G_m in an optimiser group "M" of its own, which minimises the mask
            term alone ("trained alone"); otherwise the lines outside the organ train it too.
        initializer: kernel initialiser of G_m.
        fine_channels: numbers per place of a second, fine code, for the small lines that the code
            of the whole map cannot hold; 0 = none, as in the thesis.
        fine_halvings: how often the map is halved to the places of the fine code, 1..halvings.
        constant_stddev: spread of the initial biases of G_s' last dense layer; 0 as in the thesis.
        prior: where random codes are drawn from after training: standard, N(0, I) as in the thesis,
            or fitted, the Gaussian of the training codes.
        learning_rate: Adam's, per update, for E_s, G_s and G_m.
        discriminator_learning_rate: Adam's, per update, for D_z and D_s.
        weights: loss weights.
    """

    width: int = 64
    latent_size: int = 4096
    map_size: tuple[int, int] = (512, 512)
    halvings: int = 6
    keep_encoder: float = 0.85
    keep_discriminator: float = 0.85
    keep_mask: float = 0.9
    dropout_at_generation: bool = False
    discriminator: str = "patch"
    outside_channels: OutsideChannels = "line"
    separate_mask_optimizer: bool = False
    initializer: str = "mean_filter"
    fine_channels: int = 0
    fine_halvings: int = 2
    constant_stddev: float = 0.0
    prior: Prior = "standard"
    learning_rate: float = 1e-5
    discriminator_learning_rate: float = 1e-5
    weights: StructureWeights = field(default_factory=StructureWeights)

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--structure.",
            width=Rule("2 to 4096, G_m has half of it", lambda width: 2 <= width <= 4096),
            latent_size=SQUARE,
            keep_encoder=SHARE,
            keep_discriminator=SHARE,
            keep_mask=SHARE,
            discriminator=one_of(TRUNKS),
            outside_channels=one_of(get_args(OutsideChannels)),
            initializer=one_of(KERNEL_INITIALIZERS),
            constant_stddev=NOT_NEGATIVE,
            prior=one_of(get_args(Prior)),
            learning_rate=POSITIVE,
            discriminator_learning_rate=POSITIVE,
            fine_channels=at_least(0),
            **({"fine_halvings": between(1, self.halvings)} if self.fine_channels else {}),
        )
        base_size(self.map_size, self.halvings)
        check_sides("structure.map_size", self.map_size)
        check_image_size("structure.discriminator", self.discriminator, self.map_size)

    @property
    def fine_code(self) -> Optional[FineCode]:
        """The fine code, if there is one."""
        if not self.fine_channels:
            return None
        places = base_size(self.map_size, self.fine_halvings)
        return FineCode(self.fine_channels, self.fine_halvings, places)

    @property
    def code_size(self) -> int:
        """Length of a whole code: of the map, and behind it the fine one."""
        return self.latent_size + (self.fine_code.size if self.fine_code else 0)
