"""SSD, a detector of boxes (Liu et al. 2016, "SSD: single shot multibox detector").

Trunk at base width n (64), sizes of 512x512 pixels. Every convolution has a bias, batch norm and a
ReLU; | is average pooling, [s] a map of s x s cells that gives boxes:

    conv1_1 n, conv1_2 n | conv2_1 2n, conv2_2 2n, conv3_1 4n, conv3_2 4n, conv3_3 4n [256] |
    conv4_1 8n, conv4_2 8n, conv4_3 8n [128] | [64] conv5_1 8n, conv5_2 8n, conv5_3 8n |
    conv6_1 16n, conv7_1 1x1 16n [32], conv8_1 1x1 4n, conv8_2 /2 8n [16],
    conv9_1 1x1 2n, conv9_2 /2 4n [8], conv10_1 1x1 2n, conv10_2 /2 4n [4] | [2]

Six maps in a row are used: without fine levels the last six, with one or two of them as many maps
further up, so that a cell is small beside its boxes in small images too. Layers behind the last of
them are left out. Their default boxes, sides in fractions of the image:

    level     1     2     3     4     5     6
    side s    0.03  0.06  0.12  0.25  0.45  0.70
    boxes     4     6     6     6     4     4       of each cell

A cell's boxes have width s sqrt(r) and height s / sqrt(r) for the ratios r = 1, 2, 1/2 and, of six,
3 and 1/3; the second is a square of side sqrt(s s'), s' that of the next level, of the last 1. The
paper's sides of 0.1 to 0.9 are larger than most nodules.

Each level has a linear head, a convolution 3x3, of the last 1x1. For each box of a cell it gives K
class logits, background first, and four offsets (see `losses.detection.encode`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
import tensorflow as tf

from models.blocks.convolution import ConvUnit, Row, run_units, table_unit
from models.blocks.initializers import he_normal_untruncated
from models.networks.unet import check_sides
from utils.errors import UserError

_UNIT = {"activation": "relu", "norm": "batch"}
# Rows in front of each pooling, by the name of what the pooling gives.
POOLED = {
    "pool1": (Row("conv1_1", 1, **_UNIT), Row("conv1_2", 1, **_UNIT)),
    "pool3": (
        Row("conv2_1", 2, **_UNIT),
        Row("conv2_2", 2, **_UNIT),
        Row("conv3_1", 4, **_UNIT),
        Row("conv3_2", 4, **_UNIT),
        Row("conv3_3", 4, keep="conv3_3", **_UNIT),
    ),
    "pool4": (
        Row("conv4_1", 8, **_UNIT),
        Row("conv4_2", 8, **_UNIT),
        Row("conv4_3", 8, keep="conv4_3", **_UNIT),
    ),
    "pool5": (Row("conv5_1", 8, **_UNIT), Row("conv5_2", 8, **_UNIT), Row("conv5_3", 8, **_UNIT)),
}
REST = (
    Row("conv6_1", 16, **_UNIT),
    Row("conv7_1", 16, kernel=1, keep="conv7_1", **_UNIT),
    Row("conv8_1", 4, kernel=1, **_UNIT),
    Row("conv8_2", 8, stride=2, keep="conv8_2", **_UNIT),
    Row("conv9_1", 2, kernel=1, **_UNIT),
    Row("conv9_2", 4, stride=2, keep="conv9_2", **_UNIT),
    Row("conv10_1", 2, kernel=1, **_UNIT),
    Row("conv10_2", 4, stride=2, keep="conv10_2", **_UNIT),
)
HALVINGS = len(POOLED)
# Side of a cell in pixels of the image; after pool5 sizes are rounded up.
CELLS = {
    "conv3_3": 2,
    "conv4_3": 4,
    "pool4": 8,
    "conv7_1": 16,
    "conv8_2": 32,
    "conv9_2": 64,
    "conv10_2": 128,
}
MOST_FINE_LEVELS = 2
SMALLEST = 144  # pixels that leave conv10_2 two cells, so that pooling leaves one

SIDES = (0.03, 0.06, 0.12, 0.25, 0.45, 0.70)
_FEW, _MANY = (2.0, 1 / 2), (2.0, 1 / 2, 3.0, 1 / 3)
RATIOS = (_FEW, _MANY, _MANY, _MANY, _FEW, _FEW)  # beside the two squares
BACKGROUND_LOGIT = 4.0  # initial bias: nearly all boxes are background


@dataclass(frozen=True)
class SSDSpec:
    """What distinguishes one SSD from another.

    Attributes:
        width: base width n, channels.
        classes: number of classes, K, the background (0) included.
        fine_levels: how many levels begin above the published first one: 0 for 512 pixels, 1 for
            256, 2 for 128.
    """

    width: int
    classes: int
    fine_levels: int = 0


def check_image_size(what: str, size: Sequence[Optional[int]], fine_levels: int) -> None:
    """Raises UserError for images of a `size` (height, width) that has no map of every level.

    Both sides must be divisible by 16, and without fine levels at least 144 pixels. None is any
    size. `what` begins the message.
    """
    check_sides(what, size, HALVINGS, "the detector")
    if not fine_levels and any(side is not None and side < SMALLEST for side in size):
        raise UserError(
            f"{what} has {size[0]}x{size[1]} pixels; without fine_levels the last of the "
            f"detector's levels needs {SMALLEST} or more on each side; give fine_levels or larger "
            "images"
        )


def level_maps(fine_levels: int) -> tuple[str, ...]:
    """Returns the names of the maps that give the boxes of the six levels."""
    return (*CELLS, "pool11")[_used(fine_levels)]


def level_shapes(size: Sequence[int], fine_levels: int) -> list[tuple[int, int]]:
    """Returns rows and columns of each level's map for images of `size`, see `check_image_size`."""
    shapes = [tuple(-(-side // cell) for side in size) for cell in CELLS.values()]
    return [*shapes, tuple(side // 2 for side in shapes[-1])][_used(fine_levels)]


def _used(fine_levels: int) -> slice:
    """The levels among all maps, `CELLS` and then pool11."""
    first = MOST_FINE_LEVELS - fine_levels
    return slice(first, first + len(SIDES))


@functools.cache
def default_boxes(size: tuple[int, int], fine_levels: int = 0) -> np.ndarray:
    """Returns the default boxes (cx, cy, w, h) [A,4] of images of `size` (height, width), pixels.

    float32, in fractions of the image's width (cx, w) and height; they may reach beyond it. Order:
    level, row, column, box. A is 24,528 for 512x512 pixels. Raises UserError for a size that
    `check_image_size` refuses.
    """
    check_image_size("The detector's image", size, fine_levels)
    shapes, boxes = level_shapes(size, fine_levels), []
    for (rows, columns), sides in zip(shapes, _sides_of_boxes()):
        cy, cx, _ = np.meshgrid(
            (np.arange(rows) + 0.5) / rows,
            (np.arange(columns) + 0.5) / columns,
            range(len(sides)),
            indexing="ij",
        )
        centres = np.stack([cx, cy], axis=-1)
        whole = np.concatenate([centres, np.broadcast_to(sides, centres.shape)], axis=-1)
        boxes.append(whole.reshape(-1, 4))
    table = np.concatenate(boxes).astype(np.float32)
    table.flags.writeable = False  # all callers share it
    return table


def _sides_of_boxes() -> list[np.ndarray]:
    """Width and height [boxes,2] of a cell's boxes, level by level."""
    levels = []
    for side, following, ratios in zip(SIDES, (*SIDES[1:], 1.0), RATIOS):
        squares = [[side, side], [np.sqrt(side * following)] * 2]
        levels.append(np.array(squares + [[side * r**0.5, side * r**-0.5] for r in ratios]))
    return levels


class SSD(tf.keras.Model):
    """Detector [B,H,W,C] -> class logits [B,A,K] and offsets [B,A,4], float32.

    The A boxes are those of `default_boxes((H, W), fine_levels)`. Batch norm under `tf.distribute`
    takes the statistics of each replica alone.
    """

    def __init__(self, spec: SSDSpec, name: str):
        super().__init__(name=name)
        self.spec = spec
        self.pooled = {pool: self._units(rows) for pool, rows in POOLED.items()}
        self.rest = self._units(_rest(spec.fine_levels))
        self.heads = [self._head(level) for level in range(len(SIDES))]

    def _units(self, rows: Sequence[Row]) -> list[ConvUnit]:
        return [table_unit(row, self.spec.width, he_normal_untruncated()) for row in rows]

    def _head(self, level: int) -> ConvUnit:
        boxes, outputs = len(RATIOS[level]) + 2, self.spec.classes + 4
        kernel = 1 if level == len(SIDES) - 1 else 3
        row = Row(f"head{level + 1}", boxes * outputs, kernel=kernel, activation="logits")
        bias = (BACKGROUND_LOGIT, *[0.0] * (outputs - 1)) * boxes
        return ConvUnit(row, 1, he_normal_untruncated(), bias=bias)

    def call(self, images: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns logits and offsets; UserError for a size that `check_image_size` refuses.

        Outside of training batch norm uses its moving statistics.
        """
        check_image_size(f"The input of {self.name}", images.shape[1:3], self.spec.fine_levels)
        x, maps = images, {}
        for pool, units in self.pooled.items():
            x, maps = run_units(units, x, maps, training=training)
            x = maps[pool] = tf.nn.avg_pool2d(x, 2, 2, "VALID")
        x, maps = run_units(self.rest, x, maps, training=training)
        names = level_maps(self.spec.fine_levels)
        if "pool11" in names:
            maps["pool11"] = tf.nn.avg_pool2d(x, 2, 2, "VALID")
        used = [maps[name] for name in names]
        boxes = tf.concat([self._boxes(head(y)) for head, y in zip(self.heads, used)], axis=1)
        return boxes[..., : self.spec.classes], boxes[..., self.spec.classes :]

    def _boxes(self, y: tf.Tensor) -> tf.Tensor:
        """A head's output [B,h,w,boxes * (K + 4)] as [B,h * w * boxes,K + 4]."""
        outputs = self.spec.classes + 4
        return tf.reshape(y, [-1, y.shape[1] * y.shape[2] * y.shape[3] // outputs, outputs])


def _rest(fine_levels: int) -> Sequence[Row]:
    """The rows behind pool5 as far as a level needs them."""
    last = level_maps(fine_levels)[-1]
    needed = [number for number, row in enumerate(REST, 1) if row.keep == last]
    return REST[: needed[0]] if needed else REST


def build_ssd(spec: SSDSpec, channels: int, name: str) -> SSD:
    """Returns an SSD with its variables created for `channels` input channels."""
    network = SSD(spec, name)
    network(tf.zeros([1, SMALLEST, SMALLEST, channels]))
    return network
