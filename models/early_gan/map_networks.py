"""EC_F, DC_F and D_F, the VAE of structure maps at their own size (original code, 7.3)."""

from __future__ import annotations

import math

import tensorflow as tf

from models.blocks.convolution import ConvUnit, Row, plain_unit, run_units
from models.blocks.initializers import discriminator_normal, kernel_initializer
from models.blocks.normalization import InstanceNormalization
from utils.errors import UserError
from utils.images import resize_nearest_tf1

HALVINGS = 5  # 184x144 -> 6x5, sides rounded up
DEEPEST = 12  # channels of the deepest map, in units of the base width
ENCODER = (
    Row("conv0", 1, fan_in=0),
    Row("conv1", 2, stride=2, fan_in=1),
    Row("conv2", 2, fan_in=2),
    Row("conv3", 4, stride=2, fan_in=2),
    Row("conv4", 4, fan_in=4),
    Row("conv5", 4, fan_in=4, activation="relu"),
    Row("conv6", 6, stride=2, fan_in=4),
    Row("conv7", 6, fan_in=6),
    Row("conv8", 8, stride=2, fan_in=6, activation="relu"),
    Row("conv9", 8, fan_in=8, activation="relu"),
    Row("conv10", DEEPEST, stride=2, fan_in=8, activation="relu"),
)
# Entry i holds the rows behind the i-th resize; none stands before the first.
DECODER = (
    (Row("conv0", DEEPEST, fan_in=DEEPEST),),
    (Row("conv1", 8, fan_in=DEEPEST), Row("conv2", 8, fan_in=8)),
    (Row("conv3", 6, fan_in=8), Row("conv4", 6, fan_in=6)),
    (Row("conv5", 6, fan_in=6), Row("conv6", 6, fan_in=6)),
    (Row("conv7", 4, fan_in=6), Row("conv8", 4, fan_in=4), Row("conv9", 4, fan_in=4)),
    (
        Row("conv10", 2, fan_in=4),
        Row("conv11", 2, fan_in=2),
        Row("conv12", 2, fan_in=2),
        Row("conv13", 1, fan_in=2),
    ),
)
CRITIC = (
    Row("conv0", 2, kernel=5, stride=2),
    Row("conv1", 4, stride=2),
    Row("conv2", 8, stride=2),
    Row("conv3", 8, stride=2),
    Row("conv4", 4),
)


def sizes_of(map_size: tuple[int, int]) -> list[tuple[int, int]]:
    """Returns the sizes of a map and of its halvings, rounded up, the smallest first.

    Raises UserError for sides of which a single pixel would be left: instance norm makes it
    constant, and nothing before it would learn.
    """
    sizes = [tuple(map_size)]
    for _ in range(HALVINGS):
        sizes.insert(0, tuple(-(-side // 2) for side in sizes[0]))
    if min(sizes[0]) < 2:
        raise UserError(
            f"Slices of {map_size[0]}x{map_size[1]} pixels are too small for the early map stage, "
            f"which needs {2**HALVINGS + 1} or more on each side; cut larger ones with --slicing, "
            "or give --map_stage thesis"
        )
    return sizes


class MapEncoder(tf.keras.Model):
    """EC_F: maps [B,H,W,1] -> mean and log-variance of their code, each [B,L], linear, float32."""

    def __init__(self, width: int, latent_size: int, initializer: str, name: str = "EC_F"):
        super().__init__(name=name)
        self.units = [_unit(row, width, initializer) for row in ENCODER]
        self.flatten = tf.keras.layers.Flatten()
        self.mean = tf.keras.layers.Dense(latent_size, dtype="float32", name="mean")
        self.log_variance = tf.keras.layers.Dense(latent_size, dtype="float32", name="log_variance")

    def call(self, structure: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns (mean, log-variance)."""
        features = self.flatten(run_units(self.units, structure)[0])
        return self.mean(features), self.log_variance(features)


class MapDecoder(tf.keras.Model):
    """DC_F: codes [B,L] -> sigmoid channels [B,H,W,2] of no line and of line, float32."""

    def __init__(self, width: int, map_size: tuple[int, int], initializer: str, name: str = "DC_F"):
        super().__init__(name=name)
        self.sizes = sizes_of(map_size)
        places = math.prod(self.sizes[0])
        self.deepest = DEEPEST * width
        self.dense = [
            tf.keras.layers.Dense(places * width, name="dense0"),
            tf.keras.layers.Dense(places * self.deepest, name="dense1"),
        ]
        self.levels = [[_unit(row, width, initializer) for row in rows] for rows in DECODER]
        norm = InstanceNormalization(name="norm")
        last = Row("lastconv", 2, activation="sigmoid")
        self.output_unit = ConvUnit(last, 1, kernel_initializer(initializer, width), norm)

    def call(self, code: tf.Tensor) -> tf.Tensor:
        """Returns the probabilities of no line and of line."""
        x = code
        for dense in self.dense:
            x = dense(x)
        x = tf.reshape(x, [-1, *self.sizes[0], self.deepest])
        for size, units in zip(self.sizes, self.levels):
            x, _ = run_units(units, resize_nearest_tf1(x, size))
        return self.output_unit(x)


class MapDiscriminator(tf.keras.Model):
    """D_F: maps [B,H,W,1] -> patch scores [B,H/16,W/16,1], linear, float32."""

    def __init__(self, width: int, name: str = "D_F"):
        super().__init__(name=name)
        units = [(row, width) for row in CRITIC] + [(Row("score", 1, activation=""), 1)]
        self.units = [plain_unit(row, wide, discriminator_normal()) for row, wide in units]

    def call(self, structure: tf.Tensor) -> tf.Tensor:
        """Returns the scores of the patches."""
        return tf.cast(run_units(self.units, structure)[0], tf.float32)


def _unit(row: Row, width: int, initializer: str) -> ConvUnit:
    return plain_unit(row, width, kernel_initializer(initializer, max(1, row.fan_in * width)))
