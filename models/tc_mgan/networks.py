"""Generator G, critic D and tumour segmenter S of TC-MGAN, each a layer table.

Sizes are for 128x128 pixels; filters are in units of the base width (64), those of a last row or a
head in channels. All convolutions have a bias but those of the critic's heads.

G is the U-Net of pix2pix: seven levels halve the image until one pixel is left. For an image that
cannot be halved so often, G has fewer levels: levels 6 and 5, which repeat the filters of level 4,
are left out; the innermost level, without norm, stays. D halves an image five times, S four times.
"""

from __future__ import annotations

from typing import Callable, Optional

import tensorflow as tf

from models.blocks.convolution import Row, run_units, table_unit
from models.blocks.initializers import he_normal_untruncated, transposed_uniform
from models.networks.unet import check_sides, tile_condition

DOWN = {"kernel": 4, "stride": 2, "activation": ""}
UP = {"resample": "transposed", "before": "relu", **DOWN, "norm": "instance"}
LEAKY = {**DOWN, "before": "leaky_relu"}
NORMED = {**LEAKY, "norm": "instance"}
GENERATOR_DOWN = (
    Row("down1", 1, keep="1", **DOWN),
    Row("down2", 2, keep="2", **NORMED),
    Row("down3", 4, keep="3", **NORMED),
    Row("down4", 8, keep="4", **NORMED),
    Row("down5", 8, keep="5", **NORMED),
    Row("down6", 8, keep="6", **NORMED),
    Row("down7", 8, **LEAKY),
)
GENERATOR_UP = (
    Row("up7", 8, **UP),
    Row("up6", 8, join="6", **UP),
    Row("up5", 8, join="5", **UP),
    Row("up4", 4, join="4", **UP),
    Row("up3", 2, join="3", **UP),
    Row("up2", 1, join="2", **UP),
    Row("up1", 1, join="1", **{**UP, "norm": "", "activation": "tanh"}),
)
LEVELS = len(GENERATOR_DOWN)

CRITIC = tuple(
    Row(f"conv{i}", filters, kernel=4, stride=2, activation="leaky_relu_0.01")
    for i, filters in enumerate((1, 2, 4, 8, 16), 1)
)

DOWN3 = {"stride": 2, "padding": "symmetric", "activation": "relu", "norm": "batch"}
UP3 = {**DOWN3, "resample": "transposed"}
SEGMENTER = (
    Row("down1", 1, keep="1", **DOWN3),
    Row("down2", 2, keep="2", **DOWN3),
    Row("down3", 4, keep="3", **DOWN3),
    Row("down4", 8, **DOWN3),
    Row("up4", 8, **UP3),
    Row("up3", 4, join="3", **UP3),
    Row("up2", 2, join="2", **UP3),
    Row("up1", 1, join="1", **{**UP3, "norm": "", "activation": "sigmoid"}),
)


def check_image_size(option: str, size: tuple[int, int]) -> None:
    """Raises UserError, naming `option`, unless G and D can halve images of `size` five times."""
    check_sides(option, size, len(CRITIC), "the critic")


def generator_rows(size: tuple[int, int]) -> tuple[Row, ...]:
    """Returns G's table for images of `size` (height, width), which `check_image_size` accepts."""
    levels = max(n for n in range(1, LEVELS + 1) if all(side % 2**n == 0 for side in size))
    down = GENERATOR_DOWN[: levels - 1] + GENERATOR_DOWN[-1:]
    return down + GENERATOR_UP[:1] + GENERATOR_UP[1 - levels :]


def _normal(row: Row) -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.RandomNormal(stddev=0.02)


def _he_normal(row: Row) -> tf.keras.initializers.Initializer:
    transposed = row.resample == "transposed"
    return transposed_uniform() if transposed else he_normal_untruncated()


class LabelledUNet(tf.keras.Model):
    """A U-Net from a table: image [B,H,W,C] (and modality code [B,K]) -> [B,H,W,1], float32.

    The code enters as K constant maps behind the image's channels. Batch norm under `tf.distribute`
    takes the statistics of each replica alone.

    Args:
        rows: the table; the first half of its rows halve the image, the others double it.
        width: base width, channels.
        channels: channels of the image, C.
        labels: length of the modality code, K; 0 for a network without code.
        initializer: function from a row to its kernel initialiser.
    """

    def __init__(
        self,
        rows: tuple[Row, ...],
        width: int,
        channels: int,
        labels: int,
        initializer: Callable[[Row], tf.keras.initializers.Initializer],
        name: str,
    ):
        super().__init__(name=name)
        self.units = [table_unit(row, width, initializer(row)) for row in rows[:-1]]
        self.units.append(table_unit(rows[-1], 1, initializer(rows[-1])))
        self.halvings = len(rows) // 2
        image = tf.zeros([1, 2**self.halvings, 2**self.halvings, channels])
        self(image, tf.zeros([1, labels]) if labels else None)  # creates the variables

    def call(
        self, image: tf.Tensor, label: Optional[tf.Tensor] = None, training: bool = False
    ) -> tf.Tensor:
        """Returns the last row's activation; UserError if the image cannot be halved so often."""
        check_sides(f"The input of {self.name}", image.shape[1:3], self.halvings, "the network")
        if label is not None:
            image = tf.concat([image, tile_condition(label, image)], axis=-1)
        return run_units(self.units, image, training=training)[0]


class Critic(tf.keras.Model):
    """D: image and source, each [B,H,W,1] -> {"score": [B,H/32,W/32,1], "modality": [B,K]}.

    Both are linear and float32; the class head covers the whole remaining map.

    Args:
        width: base width, channels.
        size: height and width of the images, divisible by 32.
        labels: number of modalities that the class head tells apart, K; 0 = no class head.
    """

    def __init__(self, width: int, size: tuple[int, int], labels: int, name: str):
        super().__init__(name=name)
        rest = tuple(side // 2 ** len(CRITIC) for side in size)
        heads = [Row("score", 1, activation="logits", bias=False)]
        if labels:
            options = {"padding": "valid", "activation": "logits", "bias": False}
            heads.append(Row("modality", labels, kernel=rest, **options))
        self.trunk = [table_unit(row, width, he_normal_untruncated()) for row in CRITIC]
        self.heads = [table_unit(row, 1, he_normal_untruncated()) for row in heads]
        self(*[tf.zeros([1, *size, 1])] * 2)  # creates the variables

    def call(self, image: tf.Tensor, source: tf.Tensor) -> dict[str, tf.Tensor]:
        """Judges whether `image` is a real modality of `source`, and which one it is."""
        pair = tf.concat([image, tf.cast(source, image.dtype)], axis=-1)
        x, _ = run_units(self.trunk, pair)
        judged = {head.name: head(x) for head in self.heads}
        if "modality" in judged:
            judged["modality"] = tf.squeeze(judged["modality"], [1, 2])
        return judged


def build_generator(width: int, size: tuple[int, int], labels: int, name: str) -> LabelledUNet:
    """Returns the generator G.

    G: T2 [B,H,W,1] and, if conditional, the one-hot code of the target modality [B,labels] -> that
    modality [B,H,W,1] in [-1,1]. Kernels are initialised from N(0, 0.02), 0.02 = standard
    deviation.

    Args:
        width: base width, channels.
        size: (height, width) of the images, pixels, divisible by 32.
        labels: number of target modalities; 0 = no condition.
        name: name of the model.
    """
    return LabelledUNet(generator_rows(size), width, 1, labels, _normal, name)


def build_segmenter(width: int, channels: int, labels: int, name: str) -> LabelledUNet:
    """Returns S, or, without modality code, an evaluation U-Net.

    Both map images [B,H,W,channels] to the probability of tumour [B,H,W,1]. `labels` is the length
    of the modality code; 0 = no code.
    """
    return LabelledUNet(SEGMENTER, width, channels, labels, _he_normal, name)
