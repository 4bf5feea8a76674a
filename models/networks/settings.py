"""What the settings of systems with U-Nets have in common, and the networks made by them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import tensorflow as tf

from models.blocks.initializers import KERNEL_INITIALIZERS
from models.networks.discriminator import TRUNKS, Discriminator
from models.networks.unet import UNet, UNetSpec, build_unet
from utils.errors import FINITE, POSITIVE, between, one_of
from utils.training.distribute import LearningRate

Decay = Literal["constant", "cosine"]
ACTIVATIONS = ("capped_relu", "leaky_relu")
WIDTH = between(1, 4096)  # channels

UNET_RULES = {
    "width": WIDTH,
    "initializer": one_of(KERNEL_INITIALIZERS),
    "activation": one_of(ACTIVATIONS),
    "learning_rate": POSITIVE,
}
UNET_GAN_RULES = {
    **UNET_RULES,
    "output_scale": FINITE,
    "output_offset": FINITE,
    "discriminator": one_of(TRUNKS),
    "discriminator_stddev": POSITIVE,
}


def learning_rate(rate: float, decay: Decay, total_steps: int) -> LearningRate:
    """Returns the rate, constant, or falling to 0 along half a cosine over all updates."""
    if decay == "constant":
        return rate
    return tf.keras.optimizers.schedules.CosineDecay(rate, total_steps)


@dataclass(frozen=True)
class UNetConfig:
    """U-Nets that are trained; a subclass documents the fields with its networks' names."""

    width: int = 64
    initializer: str = "mean_filter"
    activation: str = "capped_relu"
    output_norm: bool = True
    learning_rate: float = 1e-5

    def build_unet(self, channels: int, name: str, **options: Any) -> UNet:
        """Returns a U-Net of `channels` input channels.

        Its spec takes the fields of the same name from these settings, and `options` besides.
        """
        shared = {f.name for f in fields(self)} & {f.name for f in fields(UNetSpec)}
        spec = UNetSpec(**{field: getattr(self, field) for field in shared}, **options)
        return build_unet(spec, channels, name)


@dataclass(frozen=True)
class UNetGANConfig(UNetConfig):
    """U-Nets that make an image, against discriminators of such images."""

    output_scale: float = 1.0
    output_offset: float = 0.0
    discriminator: str = "patch"
    discriminator_stddev: float = 0.02

    def build_discriminator(
        self, width: int, heads: int, name: str, channels: int = 1
    ) -> Discriminator:
        """Returns a discriminator of the base width `width` with 1 or 2 heads.

        `channels` are those of the images that it judges.
        """
        options = self.discriminator, self.discriminator_stddev, self.activation
        return Discriminator(width, heads, channels, name, *options)
