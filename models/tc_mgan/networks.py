"""Generator G, critic D and tumour segmenter S of TC-MGAN, each a layer table.

Sizes are for 128x128 pixels; filters are in units of the base width (64), those of a last row or a
head in channels. All convolutions have a bias but those of the critic's heads.

G is the U-Net of pix2pix: seven levels halve the image until one pixel is left, and fewer an image
that cannot be halved so often. D halves an image five times, S four times.
"""

from __future__ import annotations

import tensorflow as tf

from models.blocks.convolution import Row, run_units, table_unit
from models.blocks.initializers import he_normal_untruncated, transposed_uniform
from models.networks.pix2pix import TableUNet, pix2pix_rows
from models.networks.unet import check_sides

LEVELS = 7

CRITIC = tuple(
    Row(f"conv{i}", filters, kernel=4, stride=2, activation="leaky_relu_0.01")
    for i, filters in enumerate((1, 2, 4, 8, 16), 1)
)

DOWN3 = {"stride": 2, "padding": 1, "activation": "relu", "norm": "batch"}
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
    return pix2pix_rows(
        max(n for n in range(1, LEVELS + 1) if all(side % 2**n == 0 for side in size))
    )


def _normal(row: Row) -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.RandomNormal(stddev=0.02)


def _he_normal(row: Row) -> tf.keras.initializers.Initializer:
    transposed = row.resample == "transposed"
    return transposed_uniform() if transposed else he_normal_untruncated()


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


def build_generator(width: int, size: tuple[int, int], labels: int, name: str) -> TableUNet:
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
    return TableUNet(generator_rows(size), width, 1, labels, _normal, name)


def build_segmenter(width: int, channels: int, labels: int, name: str) -> TableUNet:
    """Returns S, or, without modality code, an evaluation U-Net.

    Both map images [B,H,W,channels] to the probability of tumour [B,H,W,1]. `labels` is the length
    of the modality code; 0 = no code.
    """
    return TableUNet(SEGMENTER, width, channels, labels, _he_normal, name)
