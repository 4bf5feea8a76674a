"""VGG of configuration A, "VGG11", a classifier (Simonyan & Zisserman 2015, table 1).

Its trunk is the table `TRUNKS["vgg11"]` of `models.networks.discriminator`, with plain ReLUs.
Two heads, whose filters are numbers of channels:

    gap (any size)     mean over the map | score K, linear
    fc (224x224)       fc6 7x7 4096, drop | fc7 1x1 4096, drop | score K, linear

The dense layers of the paper's head are written as convolutions that see the whole map of 7x7
pixels: the same weights and sums. At 512x512 the first of them would have half a billion weights:
`fc` resizes its input, `gap` has no use for a size. Instance norm is not offered: it takes away
the channels' means, which are all that `gap` sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Optional, get_args

import tensorflow as tf

from models.blocks.convolution import Row, run_units, table_unit, with_activation
from models.blocks.initializers import he_normal_untruncated
from models.networks.discriminator import TRUNKS
from utils.errors import UserError

Head = Literal["gap", "fc"]
Norm = Literal["none", "batch"]

SMALLEST = 32  # pixels that five poolings leave one of
FC_SIDE = 224  # pixels that the paper trains on
_DENSE = {"padding": "valid", "activation": "relu", "drop": 0.5}
HIDDEN = {
    "gap": (),
    "fc": (Row("fc6", 4096, kernel=7, **_DENSE), Row("fc7", 4096, kernel=1, **_DENSE)),
}


@dataclass(frozen=True)
class VGGSpec:
    """What distinguishes one VGG from another.

    Attributes:
        width: base width n, channels; 64 in the paper.
        classes: number of classes, K.
        head: gap or fc.
        norm: of the trunk's convolutions, none as in the paper, or batch.
    """

    width: int
    classes: int
    head: Head = "gap"
    norm: Norm = "none"


def check_image_size(what: str, head: Head, size: Sequence[Optional[int]]) -> None:
    """Raises UserError if the trunk cannot halve images of `size` (height, width) five times.

    None is any size, and the head fc takes every size. `what` begins the message.
    """
    if head == "gap" and any(side is not None and side < SMALLEST for side in size):
        raise UserError(
            f"{what} has {size[0]}x{size[1]} pixels; give {SMALLEST} or more on each side, because "
            "VGG halves them 5 times"
        )


class VGG(tf.keras.Model):
    """Classifier [B,H,W,C] -> logits [B,K], float32. H and W are 32 or more, for fc 1 or more.

    Batch norm under `tf.distribute` takes the statistics of each replica alone.
    """

    def __init__(self, spec: VGGSpec, name: str):
        super().__init__(name=name)
        for option, choices in (("head", get_args(Head)), ("norm", get_args(Norm))):
            if getattr(spec, option) not in choices:
                raise UserError(
                    f"{option} is {getattr(spec, option)!r}; expected {' or '.join(choices)}"
                )
        self.spec = spec
        norm = "" if spec.norm == "none" else spec.norm
        trunk = [replace(row, norm=norm) for row in with_activation(TRUNKS["vgg11"], "relu")]
        head = [*HIDDEN[spec.head], Row("score", spec.classes, kernel=1, activation="logits")]
        self.trunk = [table_unit(row, spec.width, he_normal_untruncated()) for row in trunk]
        self.head = [table_unit(row, 1, he_normal_untruncated()) for row in head]

    def call(
        self, images: tf.Tensor, training: bool = False, seeds: Optional[tf.Tensor] = None
    ) -> tf.Tensor:
        """Returns the logits; UserError for an image that is too small.

        Outside of training batch norm uses its moving statistics. `seeds` [B,2] draw what the
        head fc drops in training; gap does not need them.
        """
        check_image_size(f"The input of {self.name}", self.spec.head, images.shape[1:3])
        if self.spec.head == "fc":
            images = tf.image.resize(images, [FC_SIDE, FC_SIDE])
        x, _ = run_units(self.trunk, images, training=training)
        if self.spec.head == "gap":
            x = tf.reduce_mean(x, axis=[1, 2], keepdims=True)
        x, _ = run_units(self.head, x, training=training, seeds=seeds)
        return tf.squeeze(x, [1, 2])


def build_vgg(spec: VGGSpec, channels: int, name: str) -> VGG:
    """Returns a VGG with its variables created for `channels` input channels."""
    network = VGG(spec, name)
    network(tf.zeros([1, SMALLEST, SMALLEST, channels]))
    return network
