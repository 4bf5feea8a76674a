"""Settings of the thesis' baselines; the defaults are the released code's ("original code" 2.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from models.networks.settings import UNET_GAN_RULES, WIDTH, UNetGANConfig
from utils.errors import NOT_NEGATIVE, check_fields, one_of

GeneratorInput = Literal["noise", "inverted_map"]


@dataclass(frozen=True)
class BaselineConfig(UNetGANConfig):
    """Generators of single images with a discriminator each; the defaults are GAN#'s.

    Args:
        generator_input: noise (N(0,1), drawn for every image) or inverted_map (1 - s).
        width: base width n of the generators, channels.
        discriminator_width: base width n of the discriminators, channels.
        initializer: kernel initialiser of the generators.
        activation: activation of hidden units: capped_relu, or the text's leaky_relu (slope 0.2).
        output_norm: instance norm before the generators' sigmoid.
        output_scale: initial scale of that norm.
        output_offset: initial offset of that norm, or without norm the initial bias, logit.
        discriminator: trunk of the discriminators: patch, fine or vgg11.
        discriminator_stddev: standard deviation of the discriminators' initial kernels.
        real: weight of D's validity on a real image.
        fake: weight of D's validity on a generated image.
        adversarial: weight of G's validity on a generated image.
        reconstruction: weight of the squared error to the real slice; 0 = off.
        learning_rate: Adam's learning rate for generators and discriminators.
    """

    generator_input: GeneratorInput = "noise"
    discriminator_width: int = 64
    real: float = 100.0
    fake: float = 70.0
    adversarial: float = 70.0
    reconstruction: float = 0.0

    def __post_init__(self) -> None:
        weights = ("real", "fake", "adversarial", "reconstruction")
        check_fields(
            self,
            "--",
            **UNET_GAN_RULES,
            generator_input=one_of(get_args(GeneratorInput)),
            discriminator_width=WIDTH,
            **dict.fromkeys(weights, NOT_NEGATIVE),
        )


GAN_SHARP = BaselineConfig()
SKRGAN_STAR = BaselineConfig(
    generator_input="inverted_map", real=5.0, fake=3.0, adversarial=3.0, reconstruction=5.0
)
