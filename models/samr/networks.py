"""Generator, discriminator and segmentation module of SAMR, each a layer table.

Of the base width n, with N halvings and reflection padding where a kernel is 7 or a block residual:

    encoder (of the label, of the atlas): 7x7 n, then N times 3x3/2 with twice the channels
    trunk: both encoders' channels, 9 residual blocks
    decoder, one for each sequence: a residual block, N transposed 3x3/2 with half the channels, 7x7

All convolutions have a bias, and a norm and a ReLU follow all but the last of a decoder (tanh) and
of a residual block. The discriminator is PatchGAN with margins of two pixels, U the U-Net of
pix2pix with a soft-max.

The global generator of pix2pixHD is the same without atlas and with a single decoder that has no
residual block; the generator of pix2pix is U's table with tanh, its PatchGAN has margins of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import tensorflow as tf

from models.blocks.convolution import ConvUnit, Row, run_units, table_unit
from models.blocks.initializers import discriminator_normal
from models.networks.pix2pix import TableUNet, pix2pix_rows
from models.networks.unet import check_sides


def patch_rows(norm: str, margin: int, halvings: int = 3) -> list[Row]:
    """Returns PatchGAN's table: `norm` behind all but the first row and the score, `margin` px."""
    options = {"kernel": 4, "padding": margin, "activation": "leaky_relu"}
    return [
        Row("conv0", 1, stride=2, **options),
        *(Row(f"conv{i}", 2**i, stride=2, norm=norm, **options) for i in range(1, halvings)),
        Row(f"conv{halvings}", 2**halvings, norm=norm, **options),
        Row("score", 1, **{**options, "activation": "logits"}),
    ]


# How a row of 3x3 kernels doubles the image. Of transposed ones neighbouring pixels get different
# numbers of products, which leaves stripes until they are unlearned.
DOUBLINGS = {
    "transposed": {"resample": "transposed", "stride": 2, "padding": 1},
    "nearest": {"resample": "up"},
}


@dataclass(frozen=True)
class GeneratorSpec:
    """What a generator consists of.

    Attributes:
        labels: channels of the one-hot label.
        atlas: channels of the atlas, 0 = none.
        sequences: channels of the image.
        width: base width n, channels.
        down_samplings: how often the image is halved, N.
        blocks: residual blocks of the trunk.
        norm: a key of `NORMS`.
        decoders: number of decoders: 1, or as many as sequences.
        own_blocks: residual blocks in front of each decoder.
        doubling: how decoders double the image, a key of `DOUBLINGS`.
    """

    labels: int
    atlas: int
    sequences: int
    width: int
    down_samplings: int
    blocks: int = 9
    norm: str = "batch_spread"
    decoders: int = 1
    own_blocks: int = 1
    doubling: str = "transposed"


def encoder_rows(spec: GeneratorSpec) -> list[Row]:
    """Returns the table of an encoder."""
    options = {"activation": "relu", "norm": spec.norm}
    halving = {"stride": 2, "padding": 1, **options}
    return [
        Row("first", 1, kernel=7, padding="reflect", **options),
        *(Row(f"down{i}", 2**i, **halving) for i in range(1, spec.down_samplings + 1)),
    ]


def decoder_rows(spec: GeneratorSpec, channels: int) -> list[Row]:
    """Returns the table of a decoder behind a trunk of `channels` times the base width."""
    doubling = {**DOUBLINGS[spec.doubling], "norm": spec.norm}
    return [
        Row(f"up{i}", channels // 2**i, activation="relu", **doubling)
        for i in range(1, spec.down_samplings + 1)
    ]


class ResidualBlock(tf.keras.layers.Layer):
    """x + norm(conv(ReLU(norm(conv(x))))), both 3x3 on reflected margins; nothing follows the sum.

    Args:
        channels: of x.
        norm: a key of `NORMS`.
    """

    def __init__(self, channels: int, norm: str, name: str):
        super().__init__(name=name)
        options = {"padding": "reflect", "norm": norm}
        rows = (
            Row("conv1", channels, activation="relu", **options),
            Row("conv2", channels, activation="", **options),
        )
        self.units = [_unit(row, 1) for row in rows]

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Maps [B,H,W,channels] to the same shape."""
        return x + run_units(self.units, x, training=training)[0]


class Generator(tf.keras.Model):
    """G: one-hot label [B,H,W,L] (and atlas [B,H,W,A]) -> all sequences [B,H,W,S] in [-1,1].

    The sequences have the data set's order; the released code turns it around.
    """

    def __init__(self, spec: GeneratorSpec, name: str = "G"):
        super().__init__(name=name)
        self.spec = spec
        inputs = ("label", "atlas") if spec.atlas else ("label",)
        self.encoders = [[_unit(row, spec.width) for row in encoder_rows(spec)] for _ in inputs]
        channels = len(inputs) * 2**spec.down_samplings
        deep = channels * spec.width, spec.norm
        self.trunk = [ResidualBlock(*deep, f"block{i}") for i in range(spec.blocks)]
        outputs = spec.sequences // spec.decoders
        last = Row("last", outputs, kernel=7, padding="reflect", activation="tanh")
        self.decoders = []
        for i in range(spec.decoders):
            own = [ResidualBlock(*deep, f"own{i}_{j}") for j in range(spec.own_blocks)]
            up = [_unit(row, spec.width) for row in decoder_rows(spec, channels)]
            self.decoders.append((own, [*up, _unit(last, 1)]))
        side = 2 ** (spec.down_samplings + 1)  # a mirror needs two pixels
        shapes = [(1, side, side, n) for n in (spec.labels, spec.atlas) if n]
        self(*map(tf.zeros, shapes))  # creates the variables

    def call(
        self, label: tf.Tensor, atlas: Optional[tf.Tensor] = None, training: bool = False
    ) -> tf.Tensor:
        """Returns the images; UserError if height or width cannot be halved so often."""
        halvings = self.spec.down_samplings
        check_sides(f"The input of {self.name}", label.shape[1:3], halvings, "the generator")
        inputs = [label] if atlas is None else [label, atlas]
        codes = [run_units(u, x, training=training)[0] for u, x in zip(self.encoders, inputs)]
        x = _run_blocks(self.trunk, tf.concat(codes, axis=-1), training)
        images = [
            run_units(up, _run_blocks(own, x, training), training=training)[0]
            for own, up in self.decoders
        ]
        return tf.concat(images, axis=-1)


class PatchDiscriminator(tf.keras.Model):
    """[B,H,W,C] -> linear scores [B,h,w,1], float32, and the outputs of the layers before.

    Args:
        width: base width, channels.
        channels: of the input, C.
        norm: a key of `NORMS`.
        margin: pixels of zeros around the input of each row: 2, or 1 in pix2pix.
        halvings: rows with stride 2: of 3, as published, a score sees 70 pixels, of 2 34.
    """

    def __init__(
        self,
        width: int,
        channels: int,
        name: str,
        norm: str = "instance",
        margin: int = 2,
        halvings: int = 3,
    ):
        super().__init__(name=name)
        *rows, score = patch_rows(norm, margin, halvings)
        self.trunk = [_unit(row, width) for row in rows]
        self.score = _unit(score, 1)
        self(tf.zeros([1, 32, 32, channels]))  # creates the variables

    def call(self, x: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns (scores, features)."""
        features = []
        for unit in self.trunk:
            x = unit(x, training=training)
            features.append(x)
        return self.score(x), features


def build_unet(levels: int, width: int, labels: int, sequences: int, drop: float) -> TableUNet:
    """Returns the generator of pix2pix: label [B,H,W,labels] -> images [B,H,W,sequences].

    Of its first three up rows training drops a share `drop` of the outputs.
    """
    rows = pix2pix_rows(levels, sequences, "batch_spread", drop=drop)
    return TableUNet(rows, width, labels, 0, lambda row: discriminator_normal(), "G")


def build_segmenter(levels: int, width: int, sequences: int, labels: int, name: str) -> TableUNet:
    """Returns U: images [B,H,W,sequences] -> probabilities [B,H,W,labels]."""
    rows = pix2pix_rows(levels, labels, "batch_spread", "softmax")
    return TableUNet(rows, width, sequences, 0, lambda row: discriminator_normal(), name)


def _unit(row: Row, width: int) -> ConvUnit:
    return table_unit(row, width, discriminator_normal())


def _run_blocks(blocks: Sequence[ResidualBlock], x: tf.Tensor, training: bool) -> tf.Tensor:
    for block in blocks:
        x = block(x, training=training)
    return x
