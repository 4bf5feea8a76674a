"""Settings of MM-GAN; the defaults are the paper's, or its plain reading ("peer systems" 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from models.mm_gan_3d.networks import DISCRIMINATORS
from models.networks.settings import WIDTH
from utils.errors import BELOW_ONE, NOT_NEGATIVE, POSITIVE, at_least, between, check_fields, one_of

Head = Literal["tanh", "linear"]
Reduction = Literal["mean", "sum"]


@dataclass(frozen=True)
class MMGANConfig:
    """One generator and one discriminator of the volumes of one modality.

    Args:
        width: base width n of G, channels; 16 is the other reading of the paper.
        discriminator: patch (the project's reading) or simgan (SimGAN's local one, of volumes).
        discriminator_width: base width n of D, channels.
        head: end of G: tanh, or linear, whose intensities training alone keeps in [-1,1].
        reduction: mean of D's scores over the map, or their sum as printed in the paper.
        reconstruction: weight of the mean absolute difference to the patient's volume, whose range
            is 2; the paper has none.
        pool: pairs of a generated volume and its label that are kept for D; 0 = none.
        pool_probability: of showing D a kept pair in the place of a new one, 0..1.
        learning_rate: Adam's for G, per update.
        discriminator_learning_rate: Adam's for D, per update.
        constant_share: share of the updates before the rates fall, along a line, to 0.
        beta_1: Adam's beta_1.
        beta_2: Adam's beta_2.
        gradient_checkpointing: compute G's activations again in the backward pass, to save memory.
    """

    width: int = 8
    discriminator: str = "patch"
    discriminator_width: int = 32
    head: Head = "tanh"
    reduction: Reduction = "mean"
    reconstruction: float = 0.0
    pool: int = 4
    pool_probability: float = 0.5
    learning_rate: float = 4e-4
    discriminator_learning_rate: float = 1e-4
    constant_share: float = 0.5
    beta_1: float = 0.0
    beta_2: float = 0.9
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--gan.",
            width=WIDTH,
            discriminator=one_of(DISCRIMINATORS),
            discriminator_width=WIDTH,
            head=one_of(get_args(Head)),
            reduction=one_of(get_args(Reduction)),
            reconstruction=NOT_NEGATIVE,
            pool=at_least(0),
            pool_probability=between(0, 1),
            learning_rate=POSITIVE,
            discriminator_learning_rate=POSITIVE,
            constant_share=between(0, 1),
            beta_1=BELOW_ONE,
            beta_2=BELOW_ONE,
        )
