"""Networks of the GANs that make an image of a random vector, each a layer table.

Of the base width n, for images of 64x64 pixels (each doubling of the size adds a row, and doubles
the channels at 4x4 pixels; ACGAN's are of 128x128 pixels):

    DCGAN    G dense 4x4 8n | 5x5 up 4n, 2n, n | 5x5 up, tanh
             D 5x5/2 n, 2n, 4n, 8n | dense 1
    WGAN     G 4x4 up 8n | 4x4 up 4n, 2n, n | 4x4 up, tanh
             D 4x4/2 n, 2n, 4n, 8n | 4x4 to a score
    ACGAN    G dense 12n | 5x5 up 6n, 4n, 3n, n | 8x8 up, tanh
             D 3x3 n, 2n, 4n, 8n, 16n, 32n, every other with stride 2 | dense 1, dense classes
    WGAN-GP  G dense 4x4 8n | residual blocks up 8n, 4n, 2n, n | 3x3, tanh
             D 3x3 n | residual blocks down 2n, 4n, 8n, 8n | dense 1

Convolutions with a norm have no bias. Source: the authors' code ("peer systems" 6.4 to 6.7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Optional

import tensorflow as tf

from models.baselines.latent_config import ACGANConfig, DCGANConfig, WGANConfig, WGANGPConfig
from models.blocks.convolution import Row, run_units, table_unit
from models.blocks.normalization import batch_norm

SPREAD = 0.02  # of the initial kernels
_UP = {"stride": 2, "resample": "transposed", "bias": False}
_UP_HIDDEN = {**_UP, "activation": "relu", "norm": "batch_spread"}
_DOWN = {"bias": False, "activation": "leaky_relu"}


def _normal() -> tf.keras.initializers.Initializer:
    """Returns N(0, 0.02); an initialiser that is used twice gives the same values twice."""
    return tf.keras.initializers.RandomNormal(0.0, SPREAD)


def _he() -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.VarianceScaling(2.0, "fan_avg", "uniform")


def _glorot() -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.VarianceScaling(1.0, "fan_avg", "uniform")


class ResidualBlock(tf.keras.layers.Layer):
    """norm, ReLU, 3x3, norm, ReLU, 3x3, beside a 1x1 of the block's input; doubles or halves it.

    Args:
        row: `filters` in units of `width`; `resample` is "up" (nearest, before the first
            convolution; batch norm) or "down" (mean, after the second; layer norm).
        width: base width, channels.
        inputs: channels of the input.
    """

    def __init__(self, row: Row, width: int, inputs: int):
        super().__init__(name=row.name)
        self.row, up = row, row.resample == "up"
        filters = row.filters * width
        inner = filters if up else inputs
        self.norms = [batch_norm() if up else layer_norm() for _ in range(2)]
        self.first = _convolution(inner, 3, use_bias=False, kernel_initializer=_he())
        self.second = _convolution(filters, 3, kernel_initializer=_he())
        self.shortcut = _convolution(filters, 1, kernel_initializer=_glorot())
        self.before = double if up else tf.identity
        self.after = tf.identity if up else halve

    def call(
        self, x: tf.Tensor, condition: Optional[tf.Tensor] = None, training: bool = False
    ) -> tf.Tensor:
        """Maps [B,H,W,C] to [B,2H,2W,filters] or [B,H/2,W/2,filters]; `condition` is not used."""
        y = self.first(self.before(tf.nn.relu(self.norms[0](x, training=training))))
        y = self.second(tf.nn.relu(self.norms[1](y, training=training)))
        return self.after(y) + self.shortcut(self.after(self.before(x)))


def _convolution(filters: int, kernel: int, **options) -> tf.keras.layers.Conv2D:
    return tf.keras.layers.Conv2D(filters, kernel, padding="same", **options)


def layer_norm() -> tf.keras.layers.GroupNormalization:
    """Returns the norm of a whole sample, in float32, with scale and offset for each channel."""
    return tf.keras.layers.GroupNormalization(groups=1, epsilon=1e-5, dtype=tf.float32)


def double(x: tf.Tensor) -> tf.Tensor:
    """Repeats every pixel: [B,H,W,C] -> [B,2H,2W,C]."""
    return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)


def halve(x: tf.Tensor) -> tf.Tensor:
    """Takes means of 2x2 pixels: [B,2H,2W,C] -> [B,H,W,C]."""
    return tf.nn.avg_pool2d(x, 2, 2, "VALID")


class VectorGenerator(tf.keras.Model):
    """A vector [B,latent], a dense layer to a small image, and a table of rows.

    Args:
        start: side and channels of the small image; without dense layer the vector is one pixel.
        units: what follows.
        latent: length of the vector.
        dense: whether there is a dense layer.
        norm: whether batch norm, over all of the dense layer's units, and ReLU follow it.
        bias: of the dense layer.
        initializer: what makes that of the dense layer's kernel.
    """

    def __init__(
        self,
        start: tuple[int, int],
        units: Sequence[tf.keras.layers.Layer],
        latent: int,
        dense: bool = True,
        norm: bool = False,
        bias: bool = True,
        initializer: Callable[[], tf.keras.initializers.Initializer] = _normal,
    ):
        super().__init__(name="G")
        side, channels = start
        self.shape = (side, side, channels)
        self.units = list(units)
        self.dense = None
        if dense:
            size = side * side * channels
            self.dense = tf.keras.layers.Dense(
                size, use_bias=bias, kernel_initializer=initializer()
            )
        self.norm = batch_norm(SPREAD) if norm else None
        self(tf.zeros([1, latent]))  # creates the variables

    def call(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Maps [B,latent] to images [B,S,S,C] in [-1,1]."""
        x = self.dense(z) if self.dense else z
        if self.norm:
            x = tf.nn.relu(self.norm(x, training=training))
        x = tf.reshape(x, [-1, *self.shape])
        return run_units(self.units, x, training=training)[0]


class VectorCritic(tf.keras.Model):
    """A table of rows and dense heads, or a last row that gives the score.

    Args:
        units: the table.
        heads: outputs of each dense layer over the flattened map; () = the table gives the score.
        size: side and channels of the images.
        bias: of the dense layers.
        initializer: what makes those of the dense layers' kernels.
    """

    def __init__(
        self,
        units: Sequence[tf.keras.layers.Layer],
        heads: Sequence[int],
        size: tuple[int, int],
        bias: bool = True,
        initializer: Callable[[], tf.keras.initializers.Initializer] = _normal,
    ):
        super().__init__(name="D")
        self.units = list(units)
        self.heads = [
            tf.keras.layers.Dense(outputs, use_bias=bias, kernel_initializer=initializer())
            for outputs in heads
        ]
        self(tf.zeros([1, size[0], *size]))  # creates the variables

    def call(
        self, images: tf.Tensor, seeds: Optional[tf.Tensor] = None, training: bool = False
    ) -> tuple[tf.Tensor, ...]:
        """Maps images [B,S,S,C] to scores [B,1,1,1] and the other heads' logits [B,K], float32.

        `seeds` [B,2] decide what the rows drop in training.
        """
        x, _ = run_units(self.units, images, training=training, seeds=seeds)
        flat = tf.reshape(x, [tf.shape(x)[0], -1])
        found = [tf.cast(head(flat), tf.float32) for head in self.heads] or [tf.cast(x, tf.float32)]
        return tf.reshape(found[0], [-1, 1, 1, 1]), *found[1:]


def _units(rows: Sequence[Row], width: int) -> list[tf.keras.layers.Layer]:
    return [table_unit(row, width, _normal()) for row in rows]


def _doubling_rows(doublings: int, kernel: int) -> list[Row]:
    """Returns the rows of G between 4x4 pixels and the image, from wide to narrow."""
    levels = reversed(range(doublings - 1))
    return [Row(f"up{level}", 2**level, kernel=kernel, **_UP_HIDDEN) for level in levels]


def _halving_rows(doublings: int, kernel: int) -> list[Row]:
    """Returns the rows of D down to 4x4 pixels; the first has no norm."""
    return [
        Row(f"down{k}", 2**k, kernel=kernel, stride=2, norm="batch_spread" if k else "", **_DOWN)
        for k in range(doublings)
    ]


def _image_unit(channels: int, kernel: int, **options) -> tf.keras.layers.Layer:
    row = Row("image", channels, kernel=kernel, activation="tanh", **{**_UP, **options})
    return table_unit(row, 1, _normal())


def dcgan_networks(config: DCGANConfig, channels: int) -> dict[str, tf.keras.Model]:
    """Returns G and D of DCGAN for square images of `channels`."""
    n, doublings = config.width, config.doublings
    units = [*_units(_doubling_rows(doublings, 5), n), _image_unit(channels, 5)]
    start = (4, 2 ** (doublings - 1) * n)
    return {
        "G": VectorGenerator(start, units, config.latent, norm=True, bias=False),
        "D": VectorCritic(
            _units(_halving_rows(doublings, 5), n), [1], (config.size, channels), bias=False
        ),
    }


def wgan_networks(config: WGANConfig, channels: int) -> dict[str, tf.keras.Model]:
    """Returns G and the critic D of WGAN for square images of `channels`."""
    n, doublings = config.width, config.doublings
    first = Row(
        "first",
        2 ** (doublings - 1),
        kernel=4,
        padding="valid",
        **{**_UP_HIDDEN, "stride": 1},
    )
    units = [*_units([first, *_doubling_rows(doublings, 4)], n), _image_unit(channels, 4)]
    score = Row("score", 1, kernel=4, padding="valid", bias=False, activation="")
    critic = [*_units(_halving_rows(doublings, 4), n), *_units([score], 1)]
    return {
        "G": VectorGenerator((1, config.latent), units, config.latent, dense=False),
        "D": VectorCritic(critic, [], (config.size, channels)),
    }


ACGAN_WIDTHS = (6, 4, 3)  # of G's rows at 5x5, 13x13, 29x29 pixels; 1 at larger ones


def acgan_networks(config: ACGANConfig, channels: int, classes: int) -> dict[str, tf.keras.Model]:
    """Returns G, of a vector and a one-hot class, and D with two heads."""
    n, rows = config.width, config.doublings - 1
    widths = [*ACGAN_WIDTHS, *[1] * rows][:rows]
    table = [
        Row(f"up{k}", filters, kernel=5, padding="valid", **_UP_HIDDEN)
        for k, filters in enumerate(widths)
    ]
    units = [*_units(table, n), _image_unit(channels, 8, padding="valid")]
    critic = [
        Row(
            f"down{k}",
            2**k,
            stride=1 + (k % 2 == 0),
            padding="valid" if k % 2 else 1,
            norm="batch_spread" if k else "",
            drop=config.drop,
            **_DOWN,
        )
        for k in range(6)
    ]
    d = config.discriminator_width
    return {
        "G": VectorGenerator((1, 12 * n), units, config.latent + classes),
        "D": VectorCritic(_units(critic, d), [1, classes], (config.size, channels)),
    }


def wgan_gp_networks(config: WGANGPConfig, channels: int) -> dict[str, tf.keras.Model]:
    """Returns G and the critic D of WGAN-GP for square images of `channels`."""
    n, doublings = config.width, config.doublings
    up = [min(8, 2**level) for level in reversed(range(doublings))]
    down = [min(8, 2 ** (level + 1)) for level in range(doublings)]
    start = min(8, 2**doublings)
    last = Row("image", channels, activation="tanh", before="relu")
    image = _ImageOfBlocks(last)
    first = table_unit(Row("first", 1, activation=""), n, _glorot())
    return {
        "G": VectorGenerator(
            (4, start * n),
            [*_blocks("up", up, start, n), image],
            config.latent,
            initializer=_glorot,
        ),
        "D": VectorCritic(
            [first, *_blocks("down", down, 1, n)],
            [1],
            (config.size, channels),
            initializer=_glorot,
        ),
    }


def _blocks(way: str, filters: Sequence[int], start: int, width: int) -> list[ResidualBlock]:
    inputs = [start, *filters]
    return [
        ResidualBlock(Row(f"{way}{k}", count, resample=way), width, before * width)
        for k, (before, count) in enumerate(zip(inputs, filters))
    ]


class _ImageOfBlocks(tf.keras.layers.Layer):
    """Batch norm, ReLU and a convolution to the image, behind residual blocks."""

    def __init__(self, row: Row):
        super().__init__(name=row.name)
        self.row = row
        self.norm = batch_norm()
        self.convolution = table_unit(row, 1, _he())

    def call(
        self, x: tf.Tensor, condition: Optional[tf.Tensor] = None, training: bool = False
    ) -> tf.Tensor:
        return self.convolution(self.norm(x, training=training))
