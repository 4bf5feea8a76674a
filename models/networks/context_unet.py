"""The U-Net of volumes with context modules (Isensee et al. 2017, as rebuilt by Ellis).

Levels l = 0, 1, .. of n 2^l channels, n the base width; every convolution has an instance norm with
scale and offset and a leaky ReLU:

    down  conv 3 (stride 2 but for l = 0), to which a context module is added: conv 3, dropout of
          whole channels, conv 3
    up    nearest doubling and conv 3, the skip in front, conv 3, conv 1
    out   conv 1 to K channels on the last levels of the way up, each doubled and added to the next

The loss reaches the deeper heads through that sum (deep supervision). Sides have to be multiples of
2^(levels - 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import tensorflow as tf

from models.blocks.convolution import ConvUnit, Row, table_unit
from models.blocks.initializers import he_normal_untruncated
from utils.seeding import channel_dropout

_UNIT = {"activation": "leaky_relu_0.01", "norm": "instance_affine"}


@dataclass(frozen=True)
class ContextUNetSpec:
    """What distinguishes one network from another.

    Attributes:
        width: base width n, channels.
        levels: sizes at which it works, 2 or more.
        heads: levels that have an output of their own, 1 to levels - 1.
        drop: share of the channels that training zeroes in context modules, 0 <= drop < 1.
        outputs: K.
    """

    width: int = 16
    levels: int = 5
    heads: int = 3
    drop: float = 0.3
    outputs: int = 3


class ContextUNet(tf.keras.Model):
    """Maps volumes [B,D,H,W,C] to logits [B,D,H,W,K], float32."""

    def __init__(self, spec: ContextUNetSpec, name: str):
        super().__init__(name=name)
        self.spec = spec
        self.down = [self._down(level) for level in range(spec.levels)]
        self.up = [self._up(level) for level in range(spec.levels - 1)]
        self.heads = [
            ConvUnit(
                Row(f"head{level}", spec.outputs, kernel=1, activation="logits"),
                1,
                he_normal_untruncated(),
                rank=3,
            )
            for level in range(spec.heads)
        ]

    def _units(self, *rows: Row) -> list[ConvUnit]:
        return [table_unit(row, self.spec.width, he_normal_untruncated(), rank=3) for row in rows]

    def _down(self, level: int) -> list[ConvUnit]:
        names = (f"down{level}", f"context{level}_1", f"context{level}_2")
        strides = (2 if level else 1, 1, 1)
        return self._units(
            *(Row(name, 2**level, stride=s, **_UNIT) for name, s in zip(names, strides))
        )

    def _up(self, level: int) -> list[ConvUnit]:
        names, kernels = (f"up{level}", f"join{level}", f"local{level}"), (3, 3, 1)
        return self._units(
            *(Row(name, 2**level, kernel=k, **_UNIT) for name, k in zip(names, kernels))
        )

    def call(
        self, x: tf.Tensor, seeds: Optional[tf.Tensor] = None, training: bool = False
    ) -> tf.Tensor:
        """Returns the logits; what training drops is a function of the samples' `seeds` [B,2]."""
        skips = []
        for first, *context in self.down:
            x = first(x)
            inside = context[0](x)
            if training:
                inside = channel_dropout(inside, 1 - self.spec.drop, seeds, context[0].row.name)
            x = x + context[1](inside)
            skips.append(x)
        found = None
        for level in reversed(range(len(self.up))):
            double, join, local = self.up[level]
            x = local(join(tf.concat([skips[level], double(_doubled(x))], axis=-1)))
            if level < len(self.heads):
                head = self.heads[level](x)
                found = head if found is None else _doubled(found) + head
        return found


def _doubled(x: tf.Tensor) -> tf.Tensor:
    """Repeats every voxel along all three axes: [B,D,H,W,C] -> [B,2D,2H,2W,C]."""
    for axis in (1, 2, 3):
        x = tf.repeat(x, 2, axis=axis)
    return x


def build_context_unet(spec: ContextUNetSpec, channels: int, name: str) -> ContextUNet:
    """Returns a network with its variables created for `channels` input channels."""
    network = ContextUNet(spec, name)
    side = 2 ** (spec.levels - 1)
    network(tf.zeros([1, side, side, side, channels]))
    return network
