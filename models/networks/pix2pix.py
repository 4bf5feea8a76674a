"""The U-Net of pix2pix (Isola et al. 2017), and other U-Nets whose every row changes the size.

Of L levels, filters in units of the base width (64); what an activation stands in front of is the
convolution (k4, stride 2):

    down1 1 | leaky ReLU, down2 2, norm | down3 4, norm | down4 and deeper 8, norm | downL 8 |
    ReLU, upL 8, norm | ... | up3 2, norm | up2 1, norm | up1, head

Each up row but the innermost joins the down row of its number. Under batch norm no convolution has
a bias, but up1's has. Dropout, if any, follows the norm of the first three up rows.
"""

from __future__ import annotations

from typing import Callable, Optional

import tensorflow as tf

from models.blocks.convolution import Row, run_units, table_unit
from models.networks.unet import check_sides, tile_condition


def pix2pix_rows(
    levels: int, outputs: int = 1, norm: str = "instance", head: str = "tanh", drop: float = 0.0
) -> tuple[Row, ...]:
    """Returns the table above.

    Args:
        levels: how often the image is halved, 2 or more.
        outputs: channels of the last row.
        norm: a key of `NORMS`.
        head: activation of the last row, a key of `ACTIVATIONS`.
        drop: share of the outputs of the first three up rows that training zeroes; up1 keeps all.
    """
    filters = [min(2**level, 8) for level in range(levels)]
    plain = {"kernel": 4, "stride": 2, "activation": "", "bias": norm == "instance"}
    rows = [Row("down1", 1, keep="1", **plain)]
    for level in range(2, levels):
        inner = {**plain, "before": "leaky_relu", "norm": norm}
        rows.append(Row(f"down{level}", filters[level - 1], keep=str(level), **inner))
    rows.append(Row(f"down{levels}", filters[-1], before="leaky_relu", **plain))
    up = {**plain, "resample": "transposed", "before": "relu"}
    for level in range(levels, 1, -1):
        join = str(level) if level < levels else ""
        options = {"join": join, "norm": norm, "drop": drop if level > levels - 3 else 0.0}
        rows.append(Row(f"up{level}", filters[level - 2], **options, **up))
    return (*rows, Row("up1", outputs, join="1", **{**up, "activation": head, "bias": True}))


class TableUNet(tf.keras.Model):
    """A U-Net from a table: image [B,H,W,C] (and a code [B,K]) -> [B,H,W,outputs], float32.

    The code enters as K constant maps behind the image's channels. Batch norm under `tf.distribute`
    takes the statistics of each replica alone.

    Args:
        rows: the table; the first half of its rows halve the image, the others double it. The
            filters of the last row are channels.
        width: base width, channels.
        channels: channels of the image, C.
        labels: length of the code, K; 0 for a network without code.
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
        self,
        image: tf.Tensor,
        label: Optional[tf.Tensor] = None,
        training: bool = False,
        seeds: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """Returns the last row's activation; UserError if the image cannot be halved so often.

        `seeds` [B,2] draw what rows drop in training; without such rows they are not needed.
        """
        check_sides(f"The input of {self.name}", image.shape[1:3], self.halvings, "the network")
        if label is not None:
            image = tf.concat([image, tile_condition(label, image)], axis=-1)
        return run_units(self.units, image, training=training, seeds=seeds)[0]
