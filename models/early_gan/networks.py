"""Networks of the early paper that no other system has: EC_R and FD_R (original code, 7.1, 7.2).

All codes are [B,H/4,W/4,8n]. EC_M with DC_M, and the lesion nets EC_L with DC_L, are U-Nets without
skips (`models.networks.unet`), D_M is the discriminator with two heads.

    EC_R  the encoder of such a U-Net alone
    FD_R  7x7/2 n | 5x5/2 n | 3x3 n | 3x3 n | 3x3 to a score for each patch
"""

from __future__ import annotations

import tensorflow as tf

from models.blocks.convolution import Row, plain_unit, run_units, with_activation
from models.blocks.initializers import discriminator_normal, kernel_initializer
from models.networks.unet import CODE_ENCODER, CODE_HALVINGS, SIZE_MULTIPLE, UNetSpec, check_sides

CODE_WIDTH = 8  # channels of a code, in units of the base width
CRITIC = (
    Row("conv0", 1, kernel=7, stride=2),
    Row("conv1", 1, kernel=5, stride=2),
    Row("conv2", 1),
    Row("conv3", 1),
)


class CodeEncoder(tf.keras.Model):
    """Maps [B,H,W,C] to codes [B,H/4,W/4,8n].

    Args:
        spec: width, initialiser and activation.
        channels: of the input, C.
        name: of the network.
    """

    def __init__(self, spec: UNetSpec, channels: int, name: str):
        super().__init__(name=name)
        self.units = [
            plain_unit(
                row,
                spec.width,
                kernel_initializer(spec.initializer, max(1, row.fan_in * spec.width)),
            )
            for row in with_activation(CODE_ENCODER, spec.activation)
        ]
        self(tf.zeros([1, SIZE_MULTIPLE, SIZE_MULTIPLE, channels]))  # creates the variables

    def call(self, image: tf.Tensor) -> tf.Tensor:
        """Returns the codes; UserError for sides that cannot be halved twice."""
        check_sides(f"The input of {self.name}", image.shape[1:3], CODE_HALVINGS)
        return run_units(self.units, image)[0]


class MRICodeDiscriminator(tf.keras.Model):
    """FD_R, maps codes [B,h,w,8n] to linear scores [B,h/4,w/4,1], float32.

    Args:
        spec: width and activation.
        code_width: base width of the encoders, n of the codes.
        stddev: spread of the kernels' normal initialiser.
        name: of the network.
    """

    def __init__(self, spec: UNetSpec, code_width: int, stddev: float, name: str):
        super().__init__(name=name)
        rows = (*with_activation(CRITIC, spec.activation), Row("score", 1, activation=""))
        widths = [spec.width] * len(CRITIC) + [1]
        self.units = [
            plain_unit(row, width, discriminator_normal(stddev)) for row, width in zip(rows, widths)
        ]
        self(tf.zeros([1, SIZE_MULTIPLE, SIZE_MULTIPLE, CODE_WIDTH * code_width]))

    def call(self, code: tf.Tensor) -> tf.Tensor:
        """Returns the scores of the patches."""
        return tf.cast(run_units(self.units, code)[0], tf.float32)
