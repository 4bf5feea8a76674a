"""Networks of the structure-map VAE-GAN: E_s and G_s (original code, 1.5, 1.6).

The tables are written for the thesis' 512x512 maps, six halvings down to 8x8. With fewer halvings
the high-resolution rows are left out (the 5x5 rows of E_s first), so that a network for small maps
keeps the part of the table that works at its resolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Union

import tensorflow as tf

from models.blocks.convolution import ConvUnit, Row, plain_unit
from models.blocks.initializers import discriminator_normal
from models.blocks.normalization import InstanceNormalization
from utils.errors import UserError

MAX_HALVINGS = 6
BASE_CHANNELS = 64  # of the decoder's first map; 8 x 8 x 64 = 4096 in the thesis

# Rows by halving: entry i holds the rows that work while the map is halved for the (i+1)-th time.
ENCODER = (
    (Row("conv0", 1, kernel=5, stride=2),),
    (Row("conv1", 1, kernel=5, stride=2),),
    (Row("conv2", 2), Row("conv3", 4, stride=2)),
    (Row("conv4", 4), Row("conv5", 4, stride=2)),
    (Row("conv6", 4), Row("conv7", 8, stride=2)),
    (Row("conv8", 8), Row("conv9", 8, stride=2)),
)
ENCODER_END = (Row("conv10", 2),)

DECODER_START = (Row("conv0", 8),)
# Entry i holds the rows of the (i+1)-th doubling.
DECODER = (
    (Row("up1", 4, resample="up"), Row("conv1", 4)),
    (Row("up2", 4, resample="up"), Row("conv2", 4)),
    (Row("up3", 2, resample="up"), Row("conv3", 2)),
    (Row("up4", 2, resample="up"), Row("conv4", 2)),
    (Row("up5", 1, resample="up"), Row("conv5", 1)),
    (Row("up6", 1, resample="up"), Row("conv6", 1)),
)


def base_size(map_size: tuple[int, int], halvings: int) -> tuple[int, int]:
    """Returns the size of the smallest map, pixels.

    Raises UserError if `halvings` is not 1..6 or leaves a side that is not whole or below 2 pixels
    (instance norm of a single pixel is constant: nothing before it would learn).
    """
    factor = 2**halvings
    whole = all(side % factor == 0 and side >= 2 * factor for side in map_size)
    if not 1 <= halvings <= MAX_HALVINGS or not whole:
        raise UserError(
            f"A structure map of {map_size[0]}x{map_size[1]} cannot be halved {halvings} times; "
            f"choose structure.halvings in 1..{MAX_HALVINGS} and structure.map_size divisible by "
            "2**halvings, with 2 or more pixels left."
        )
    return map_size[0] // factor, map_size[1] // factor


@dataclass(frozen=True)
class FineCode:
    """A code for the places of a map, behind the one for the whole map.

    E_s reads it from its features where the map has been halved `halvings` times, and G_s feeds it
    to its last layer of that size. So the code of the whole map keeps what is common to many
    places, such as the outline, and the fine one the lines that differ from place to place.

    Args:
        channels: numbers per place.
        halvings: how often the map is halved to its places, at most as often as by the networks.
        places: rows and columns of places.
    """

    channels: int
    halvings: int
    places: tuple[int, int]

    @property
    def size(self) -> int:
        """Numbers in all."""
        return self.channels * math.prod(self.places)


class MapEncoder(tf.keras.Model):
    """E_s: structure maps [B,H,W,K] -> mean and log-variance of its code, each [B,L].

    L is `latent_size` and, with a fine code, its size beside.
    """

    def __init__(
        self,
        width: int,
        latent_size: int,
        halvings: int,
        fine: Optional[FineCode] = None,
        name: str = "E_s",
    ):
        super().__init__(name=name)
        levels = ENCODER[MAX_HALVINGS - halvings :]
        rows = [row for level in levels for row in level] + list(ENCODER_END)
        self.units = [plain_unit(row, width, discriminator_normal()) for row in rows]
        # The last unit before the places of the fine code are halved once more.
        self.fine_unit = sum(map(len, levels[: fine.halvings])) - 1 if fine else None
        self.flatten = tf.keras.layers.Flatten()
        self.mean = tf.keras.layers.Dense(latent_size, dtype="float32", name="mean")
        self.log_variance = tf.keras.layers.Dense(latent_size, dtype="float32", name="log_variance")
        if fine:
            self.fine_mean, self.fine_log_variance = (
                tf.keras.layers.Conv2D(
                    fine.channels, 3, padding="same", dtype="float32", name=f"fine_{which}"
                )
                for which in ("mean", "log_variance")
            )

    def call(self, structure: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns (mean, log-variance), linear, float32."""
        x, fine = structure, ()
        for i, unit in enumerate(self.units):
            x = unit(x)
            if i == self.fine_unit:
                fine = self.fine_mean(x), self.fine_log_variance(x)
        x = self.flatten(x)
        whole = self.mean(x), self.log_variance(x)
        if not fine:
            return whole
        rows = (tf.reshape(f, [-1, f.shape[1] * f.shape[2] * f.shape[3]]) for f in fine)
        return tuple(tf.concat(pair, axis=-1) for pair in zip(whole, rows))


class MapDecoder(tf.keras.Model):
    """G_s: code [B,L] -> sigmoid channels [B,H,W,2K], K of no line, then K of line, float32.

    K is the number of maps.

    With zero biases (`constant_stddev` 0) the first feature maps of codes z and -z are opposite,
    and instance norm removes their size: half of all codes can decode to the reverse of a map.
    Random biases give every code a common map to start from.
    """

    def __init__(
        self,
        width: int,
        latent_size: int,
        map_size: tuple[int, int],
        halvings: int,
        constant_stddev: float = 0.0,
        fine: Optional[FineCode] = None,
        maps: int = 1,
        name: str = "G_s",
    ):
        super().__init__(name=name)
        self.base = base_size(map_size, halvings)
        self.latent_size = latent_size
        self.dense = [
            tf.keras.layers.Dense(latent_size, name="dense0"),
            tf.keras.layers.Dense(
                math.prod(self.base) * BASE_CHANNELS,
                bias_initializer=tf.keras.initializers.RandomNormal(stddev=constant_stddev),
                name="dense1",
            ),
        ]
        levels = DECODER_START, *DECODER[:halvings]
        rows = [row for level in levels for row in level]
        self.units = [plain_unit(row, width, discriminator_normal()) for row in rows]
        self.fine = fine
        # The last unit at the size of the places reads the fine code.
        self.fine_unit = sum(map(len, levels[: halvings - fine.halvings + 1])) - 1 if fine else None
        last = Row("lastconv", 2 * maps, activation="sigmoid")
        self.output_unit = ConvUnit(
            last, 1, discriminator_normal(), InstanceNormalization(name="norm")
        )

    def call(self, code: tf.Tensor) -> tf.Tensor:
        """Returns the probabilities of no line and of line."""
        x, fine = code[:, : self.latent_size], code[:, self.latent_size :]
        for dense in self.dense:
            x = dense(x)
        x = tf.reshape(x, [-1, *self.base, BASE_CHANNELS])
        for i, unit in enumerate(self.units):
            if i == self.fine_unit:
                places = tf.reshape(fine, [-1, *self.fine.places, self.fine.channels])
                x = tf.concat([x, tf.cast(places, x.dtype)], axis=-1)
            x = unit(x)
        return self.output_unit(x)


class CodePrior(tf.keras.Model):
    """The Gaussian N(m, C) of the training codes, by a moving average of their moments.

    The average starts at N(0, I), of which a share of decay^steps is left.

    Few training steps leave the codes of real maps far from N(0, I); codes drawn from their own
    Gaussian decode to more varied maps (ex-post density estimation, Ghosh et al., ICLR 2020).

    Args:
        latent_size: length of a code, L.
        decay: share of the average that one update keeps.
    """

    def __init__(self, latent_size: int, decay: float, name: str = "code_prior"):
        super().__init__(name=name)
        self.decay = decay
        self.mean = self._average("mean", tf.zeros([latent_size]))
        self.second_moment = self._average("second_moment", tf.eye(latent_size))

    @staticmethod
    def _average(name: str, start: tf.Tensor) -> tf.Variable:
        return tf.Variable(
            start, trainable=False, name=name, aggregation=tf.VariableAggregation.MEAN
        )

    def update(self, codes: tf.Tensor, sound: Union[bool, tf.Tensor] = True) -> None:
        """Moves the averages towards the moments of codes [B,L]; call it in replica context.

        Where `sound` is False, the same on all replicas, they stay as they are.
        """
        batch_size = tf.cast(tf.shape(codes)[0], tf.float32)
        second_moment = tf.matmul(codes, codes, transpose_a=True) / batch_size
        for average, moment in (
            (self.mean, tf.reduce_mean(codes, axis=0)),
            (self.second_moment, second_moment),
        ):
            moved = self.decay * average + (1.0 - self.decay) * tf.stop_gradient(moment)
            average.assign(tf.where(sound, moved, average))

    def root(self) -> tf.Tensor:
        """Returns C^(1/2) [L,L], which takes longer than the decoding of a batch of maps."""
        covariance = self.second_moment - self.mean[:, None] * self.mean[None, :]
        jitter = 1e-4 * tf.eye(self.mean.shape[0])  # rounding must not make it indefinite
        return tf.linalg.cholesky(covariance + jitter)

    def call(self, z: tf.Tensor, root: Optional[tf.Tensor] = None) -> tf.Tensor:
        """Returns m + C^(1/2) z [B,L], distributed as N(m, C), for z ~ N(0, I) [B,L].

        `root` is that of `root()`, for many calls without an update in between.
        """
        return self.mean + tf.matmul(z, self.root() if root is None else root, transpose_b=True)
