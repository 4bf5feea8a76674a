"""What VAEs of structure maps share: the discriminator of their codes, the channels of a map."""

from __future__ import annotations

import math

import tensorflow as tf

from models.blocks.convolution import Row, plain_unit
from models.blocks.initializers import discriminator_normal
from utils.errors import Rule, UserError

SQUARE = Rule(
    "a square number from 9 on, such as 4096",
    lambda size: size >= 9 and math.isqrt(size) ** 2 == size,
)
CODE_DISCRIMINATOR = (
    Row("conv0", 2, kernel=7),
    Row("conv1", 2, kernel=7),
    Row("conv2", 2, kernel=5),
    Row("conv3", 4, kernel=5, stride=2),
    Row("conv4", 4),
)


def two_channels(binary: tf.Tensor) -> tf.Tensor:
    """Returns 0/1 maps [B,H,W,K] as their one-hot channels [B,H,W,2K], those of 0 first."""
    return tf.concat([1.0 - binary, binary], axis=-1)


def to_binary(probabilities: tf.Tensor) -> tf.Tensor:
    """Returns the arg-max of each of K maps [B,H,W,2K] as 0/1 maps [B,H,W,K]."""
    zeros, ones = tf.split(probabilities, 2, axis=-1)
    return tf.cast(ones > zeros, tf.float32)


class CodeDiscriminator(tf.keras.Model):
    """D_z, FD_F (original code, 1.7): code [B,L] seen as a square picture -> patch scores, float32.

    Raises UserError if `latent_size` is not a square number of at least 9.
    """

    def __init__(self, width: int, latent_size: int, name: str = "D_z"):
        super().__init__(name=name)
        self.side = math.isqrt(latent_size)
        if self.side**2 != latent_size or self.side < 3:
            raise UserError(
                f"structure.latent_size is {latent_size}; D_z needs a square number, e.g. 4096."
            )
        self.units = [plain_unit(row, width, discriminator_normal()) for row in CODE_DISCRIMINATOR]
        score = Row("score", 1, activation="")
        self.score = plain_unit(score, 1, discriminator_normal())

    def call(self, code: tf.Tensor) -> tf.Tensor:
        """Returns the scores [B,side/2,side/2,1]."""
        x = tf.reshape(code, [-1, self.side, self.side, 1])
        for unit in self.units:
            x = unit(x)
        return tf.cast(self.score(x), tf.float32)
