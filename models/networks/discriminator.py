"""The discriminators D, D_t and D_s: a trunk of convolutions with one or two patch heads.

Trunk "patch" is what the released code runs under the name "VGG11-based" (original code, 1.4):

    conv0 5x5/2 n | conv1 5x5/2 n | conv2 3x3/2 2n | conv3 3x3/2 2n

Trunk "vgg11" is the literal VGG11 (Simonyan & Zisserman 2015, configuration A):

    conv n, pool | 2n, pool | 4n, 4n, pool | 8n, 8n, pool | 8n, 8n, pool

Trunk "fine" judges texture in the small slices of a CPU, by scores of 33 x 33 pixels:

    conv0 5x5/2 n | conv1 3x3/2 2n | conv2 3x3 2n

Heads: conv 3x3 n -> conv 3x3 1, linear. The validity head tells real (1) from generated (0); the
modality head regresses the modality *index* at every patch. Instance norm and capped ReLU (or
leaky ReLU) follow every convolution but the last of a head, the first layer included.
"""

from __future__ import annotations

from typing import Union

import tensorflow as tf

from models.blocks.convolution import Row, plain_unit, run_units, with_activation
from models.blocks.initializers import discriminator_normal
from utils.errors import UserError

TRUNKS = {
    "patch": (
        Row("conv0", 1, kernel=5, stride=2),
        Row("conv1", 1, kernel=5, stride=2),
        Row("conv2", 2, stride=2),
        Row("conv3", 2, stride=2),
    ),
    "fine": (
        Row("conv0", 1, kernel=5, stride=2),
        Row("conv1", 2, stride=2),
        Row("conv2", 2),
    ),
    "vgg11": (
        Row("conv1_1", 1, resample="pool"),
        Row("conv2_1", 2, resample="pool"),
        Row("conv3_1", 4),
        Row("conv3_2", 4, resample="pool"),
        Row("conv4_1", 8),
        Row("conv4_2", 8, resample="pool"),
        Row("conv5_1", 8),
        Row("conv5_2", 8, resample="pool"),
    ),
}
HEADS = ("validity", "modality")


def _trunk_rows(trunk: str) -> tuple[Row, ...]:
    if trunk not in TRUNKS:
        raise UserError(f"discriminator is {trunk!r}; expected one of {', '.join(TRUNKS)}")
    return TRUNKS[trunk]


def check_image_size(option: str, trunk: str, size: tuple[int, int]) -> None:
    """Raises UserError if a trunk shrinks images of `size` (height, width) to a single pixel.

    Instance norm of one pixel is constant: the heads would see nothing. `option` names the choice
    of the trunk in the message.
    """
    halvings = sum(row.stride == 2 or row.resample == "pool" for row in _trunk_rows(trunk))
    if max(size) <= 2**halvings:
        raise UserError(
            f"{option} is {trunk}, which shrinks {size[0]}x{size[1]} pixels to a single one, whose "
            f"instance norm is constant; give {2**halvings + 1} or more pixels on one side"
            + (" or choose patch" if trunk != "patch" else "")
        )


class Discriminator(tf.keras.Model):
    """Patch discriminator [B,H,W,C] -> validity [B,h,w,1], or (validity, modality) with two heads.

    Args:
        width: base width n, channels.
        heads: 1 (validity) or 2 (validity and modality).
        channels: of the images, C.
        trunk: a key of `TRUNKS`.
        stddev: spread of the kernels' normal initialiser.
        activation: of the hidden units, capped_relu or leaky_relu.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        channels: int,
        name: str,
        trunk: str = "patch",
        stddev: float = 0.02,
        activation: str = "capped_relu",
    ):
        super().__init__(name=name)
        rows = with_activation(_trunk_rows(trunk), activation)
        self.trunk = [plain_unit(row, width, discriminator_normal(stddev)) for row in rows]
        self.heads = [
            (
                plain_unit(
                    Row(f"{head}_conv", 1, activation=activation),
                    width,
                    discriminator_normal(stddev),
                ),
                plain_unit(Row(f"{head}_score", 1, activation=""), 1, discriminator_normal(stddev)),
            )
            for head in HEADS[:heads]
        ]
        self(tf.zeros([1, 32, 32, channels]))  # creates the variables

    def call(self, image: tf.Tensor) -> Union[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        """Returns the linear patch scores in float32."""
        x, _ = run_units(self.trunk, image)
        scores = tuple(tf.cast(score(hidden(x)), tf.float32) for hidden, score in self.heads)
        return scores if len(scores) > 1 else scores[0]
