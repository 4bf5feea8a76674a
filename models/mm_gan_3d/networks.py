"""Generator and discriminator of MM-GAN, each a layer table of volumes.

Every convolution of both is spectrally normalised. Of the base width n:

    G: 2 convolutions n, three times max-pooling and 2 convolutions of twice the channels, three
       times doubling (linear), a convolution of half of the channels, the skip in front, and 2
       convolutions; a 1x1x1 convolution to one channel with tanh
    D: 4x4x4/2 n, 4x4x4/2 2n, 3x3x3 4n, 3x3x3 to a score for each patch

Instance norm (without scale and offset) and a leaky ReLU follow all convolutions but the last, and
in D none but a leaky ReLU the first. The sides of a volume have to be multiples of 8.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from models.blocks.convolution import Row, run_units, table_unit
from models.networks.unet import check_sides

HALVINGS = 3
_HIDDEN = {"activation": "leaky_relu", "norm": "instance"}
_BARE = {"activation": "relu"}


def generator_rows() -> list[Row]:
    """Returns G's table without its last row; skips are `skip0` (the whole volume) to `skip2`."""
    rows = [Row("input1", 1, **_HIDDEN), Row("input2", 1, keep="skip0", **_HIDDEN)]
    for level in range(1, HALVINGS + 1):
        keep = f"skip{level}" if level < HALVINGS else ""
        rows += [
            Row(f"down{level}_1", 2**level, resample="halve", **_HIDDEN),
            Row(f"down{level}_2", 2**level, keep=keep, **_HIDDEN),
        ]
    for level in reversed(range(HALVINGS)):
        rows += [
            Row(f"up{level}_1", 2**level, resample="linear", **_HIDDEN),
            Row(f"up{level}_2", 2**level, join=f"skip{level}", **_HIDDEN),
            Row(f"up{level}_3", 2**level, **_HIDDEN),
        ]
    return rows


def discriminator_rows() -> list[Row]:
    """Returns D's table without the score: the project's reading of the paper's figure."""
    return [
        Row("conv1", 1, kernel=4, stride=2, activation="leaky_relu"),
        Row("conv2", 2, kernel=4, stride=2, **_HIDDEN),
        Row("conv3", 4, **_HIDDEN),
    ]


def simgan_rows() -> list[Row]:
    """Returns the table of SimGAN's local discriminator, extended to volumes; widths of 32."""
    return [
        Row("conv1", 3, stride=2, **_BARE),
        Row("conv2", 2, stride=2, resample="dilate", **_BARE),
        Row("conv3", 1, **_BARE),
        Row("conv4", 1, kernel=1, **_BARE),
    ]


DISCRIMINATORS = {"patch": (discriminator_rows, 3), "simgan": (simgan_rows, 1)}  # kernel of scores


class VolumeNetwork(tf.keras.Model):
    """A table of spectrally normalised rows and a last one to the outputs.

    Args:
        rows: the table.
        width: base width n, channels.
        last: the last row; its filters are channels.
        channels: of the input.
        name: of the network.
        gradient_checkpointing: compute the units' activations again in the backward pass.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        width: int,
        last: Row,
        channels: int,
        name: str,
        gradient_checkpointing: bool = False,
    ):
        super().__init__(name=name)
        self.units = [_unit(row, width) for row in rows] + [_unit(last, 1)]
        self.gradient_checkpointing = gradient_checkpointing
        side = 2**HALVINGS
        self(tf.zeros([1, side, side, side, channels]))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Maps a volume [B,D,H,W,C] to [B,D',H',W',outputs], float32."""
        return run_units(self.units, x, gradient_checkpointing=self.gradient_checkpointing)[0]


def _unit(row: Row, width: int):
    return table_unit(row, width, "glorot_uniform", rank=3, spectral=True)


def build_generator(
    width: int,
    channels: int,
    head: str,
    name: str,
    gradient_checkpointing: bool = False,
    outputs: int = 1,
) -> VolumeNetwork:
    """Returns G from a one-hot label [B,D,H,W,channels] to a volume [B,D,H,W,outputs].

    `head` is tanh, for [-1,1], or linear.
    """
    last = Row("output", outputs, kernel=1, activation={"tanh": "tanh", "linear": "logits"}[head])
    return VolumeNetwork(generator_rows(), width, last, channels, name, gradient_checkpointing)


def build_discriminator(kind: str, width: int, channels: int, name: str) -> VolumeNetwork:
    """Returns D from a one-hot label with a volume to patch scores [B,D/4,H/4,W/4,1].

    `kind` is a key of `DISCRIMINATORS`.
    """
    rows, kernel = DISCRIMINATORS[kind]
    last = Row("score", 1, kernel=kernel, activation="logits")
    return VolumeNetwork(rows(), width, last, channels, name)


def check_volume_size(what: str, size: Sequence[int]) -> None:
    """Raises UserError unless all sides can be halved three times."""
    check_sides(what, size, HALVINGS, "MM-GAN's generator")
