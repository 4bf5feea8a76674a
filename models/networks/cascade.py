"""A cascade of segmenters of nested regions, each in three views (Wang et al. 2017).

For each region, the largest first, and each view (axial, coronal, sagittal) one network, which
works within the view's slices and passes through them with kernels of their own:

    slices 1x3x3 n, slices 1x3x3 n, through 3x1x1 n
    slices 1x3x3 stride 1x2x2 2n, slices 1x3x3 2n, through 3x1x1 2n
    nearest doubling within slices and 1x3x3 n, the first part in front, slices 1x3x3 n
    1x1x1 to a logit

Convolutions but the last have an instance norm with scale and offset and a leaky ReLU. A region's
probability is the mean of the three views, inside of the region before and 0 outside, which the
network also sees. The paper's networks are deeper, and see a box around the region before.
"""

from __future__ import annotations

from typing import Optional

import tensorflow as tf

from models.blocks.convolution import ConvUnit, Row, run_units, table_unit
from models.blocks.initializers import he_normal_untruncated

_UNIT = {"activation": "leaky_relu_0.01", "norm": "instance_affine"}
_SLICE = {"kernel": (1, 3, 3), **_UNIT}
_THROUGH = {"kernel": (3, 1, 1), **_UNIT}
DOWN = (
    Row("slice1_1", 1, **_SLICE),
    Row("slice1_2", 1, **_SLICE),
    Row("through1", 1, keep="skip", **_THROUGH),
    Row("down", 2, stride=(1, 2, 2), **_SLICE),
    Row("slice2", 2, **_SLICE),
    Row("through2", 2, **_THROUGH),
)
UP = (
    Row("up", 1, **_SLICE),
    Row("slice3", 1, join="skip", **_SLICE),
    Row("output", 1, kernel=1, activation="logits"),
)
VIEWS = {"axial": (1, 2, 3), "coronal": (2, 1, 3), "sagittal": (3, 1, 2)}  # axes of slices, H and W
FOUND = 0.5


class ViewNetwork(tf.keras.Model):
    """Maps volumes [B,S,H,W,C] of S slices to logits [B,S,H,W,1], float32; H and W are even."""

    def __init__(self, width: int, name: str):
        super().__init__(name=name)
        self.down = [_unit(row, width) for row in DOWN]
        self.up = [_unit(row, width) for row in UP[:-1]] + [_unit(UP[-1], 1)]

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the logits."""
        x, skips = run_units(self.down, x)
        return run_units(self.up, tf.repeat(tf.repeat(x, 2, axis=2), 2, axis=3), skips)[0]


def _unit(row: Row, width: int) -> ConvUnit:
    return table_unit(row, width, he_normal_untruncated(), rank=3)


class Cascade(tf.keras.Model):
    """Maps volumes [B,D,H,W,C] to probabilities [B,D,H,W,R] of R nested regions; even sides."""

    def __init__(self, width: int, regions: int, name: str):
        super().__init__(name=name)
        self.views = [
            {view: ViewNetwork(width, f"region{number}_{view}") for view in VIEWS}
            for number in range(regions)
        ]

    def call(self, x: tf.Tensor, masks: Optional[tf.Tensor] = None) -> tf.Tensor:
        """Returns the probabilities.

        A network sees the true region before, of `masks` [B,D,H,W,R], 0 or 1, if they are given,
        and otherwise the found one.
        """
        inside, found = tf.ones_like(x[..., :1]), []
        for number, networks in enumerate(self.views):
            seen = tf.concat([x, tf.cast(inside, x.dtype)], axis=-1)
            views = [seen_as(network, seen, VIEWS[view]) for view, network in networks.items()]
            found.append(tf.add_n(views) / len(views) * tf.cast(inside, tf.float32))
            true = None if masks is None else masks[..., number : number + 1]
            inside = tf.cast(found[-1] > FOUND, tf.float32) if true is None else true
        return tf.concat(found, axis=-1)


def seen_as(network: ViewNetwork, x: tf.Tensor, axes: tuple[int, int, int]) -> tf.Tensor:
    """Returns a network's probabilities [B,D,H,W,1] of a view of x [B,D,H,W,C]."""
    back = [0, *(1 + axes.index(axis) for axis in (1, 2, 3)), 4]
    return tf.transpose(tf.sigmoid(network(tf.transpose(x, [0, *axes, 4]))), back)


def build_cascade(width: int, channels: int, regions: int, name: str) -> Cascade:
    """Returns a cascade with its variables created for `channels` input channels."""
    network = Cascade(width, regions, name)
    network(tf.zeros([1, 2, 2, 2, channels]))
    return network
