"""Random geometric augmentation of training slices, the same for images and label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional

import tensorflow as tf

from utils.addons import affine
from utils.errors import NOT_NEGATIVE, Rule, check_fields
from utils.seeding import fold_in


@dataclass(frozen=True)
class Augmentation:
    """Random geometric augmentation of training slices, drawn again in every epoch.

    0 or False = off.

    Args:
        mirror: flip left-right with probability 0.5.
        rotation: maximum angle r, degrees, 0 or more; the angle is uniform in [-r,r].
        zoom: maximum z, 0 or more and below 1; the scale factor is uniform in [1-z,1+z].
        shift: maximum translation s as a fraction of height and width, 0 or more and below 1;
            uniform in [-s,s] for each axis.
    """

    mirror: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        share = Rule("0 or more and below 1", lambda value: 0 <= value < 1)
        check_fields(self, "--augmentation.", rotation=NOT_NEGATIVE, zoom=share, shift=share)


NO_AUGMENTATION = Augmentation()


def is_mirrored(seed: tf.Tensor) -> tf.Tensor:
    """Returns whether the slice of a `seed` [2] int32 is flipped left-right where that is on."""
    return tf.random.stateless_uniform([], fold_in(seed, "mirror")) < 0.5


def augmented(
    images: tf.Tensor, label: Optional[tf.Tensor], seed: tf.Tensor, how: Augmentation
) -> list[tf.Tensor]:
    """Returns images [H,W,M] and, if there is one, label [H,W,1], after the same transformation.

    Pixels that enter from outside are 0. `seed` [2] int32 determines the transformation. Images are
    interpolated linearly, labels take the nearest pixel.
    """
    arrays = [images] if label is None else [images, label]
    if how.mirror:
        swap = is_mirrored(seed)
        arrays = [tf.where(swap, tf.reverse(x, axis=[1]), x) for x in arrays]
    if not (how.rotation or how.zoom or how.shift):
        return arrays
    draws = tf.random.stateless_uniform([4], fold_in(seed, "motion"), -1.0, 1.0)
    angle, scale = how.rotation * math.pi / 180 * draws[0], 1 + how.zoom * draws[1]
    shift = how.shift * draws[2:] * tf.cast(tf.shape(images)[:2], tf.float32)
    ways = zip(arrays, ("bilinear", "nearest"))
    return [affine(array, angle, scale, shift, way) for array, way in ways]
