"""Random geometric augmentation of training slices, the same for images and label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Optional

import tensorflow as tf

from data.boxes import mirrored as mirrored_boxes
from data.contract import DataSet
from utils.addons import affine
from utils.errors import BELOW_ONE, NOT_NEGATIVE, check_fields
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
            uniform in [-s,s] for each axis. Without rotation and zoom it is rounded to whole
            pixels, so that images stay as sharp as they are.
    """

    mirror: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        check_fields(
            self, "--augmentation.", rotation=NOT_NEGATIVE, zoom=BELOW_ONE, shift=BELOW_ONE
        )

    def check(self, dataset: DataSet) -> None:
        """Raises UserError for volumes, and for boxes that would be turned."""
        dataset.check_slices("Slices are augmented")
        if self.rotation:
            dataset.check_no_boxes("Slices are turned")


NO_AUGMENTATION = Augmentation()


class Motion(NamedTuple):
    """How one slice is moved.

    Attributes:
        mirrored: whether it is flipped left-right.
        angle: counter-clockwise, radians.
        scale: about its centre.
        shift: [2], of rows and columns, pixels.
    """

    mirrored: tf.Tensor
    angle: tf.Tensor
    scale: tf.Tensor
    shift: tf.Tensor


def motion(seed: tf.Tensor, how: Augmentation, size: tf.Tensor) -> Motion:
    """Returns the motion of the slice of a `seed` [2] int32 and a `size` [2], height and width."""
    mirrored = tf.constant(False)
    if how.mirror:
        mirrored = tf.random.stateless_uniform([], fold_in(seed, "mirror")) < 0.5
    draws = tf.random.stateless_uniform([4], fold_in(seed, "motion"), -1.0, 1.0)
    angle, scale = how.rotation * math.pi / 180 * draws[0], 1 + how.zoom * draws[1]
    shift = how.shift * draws[2:] * tf.cast(size, tf.float32)
    if not (how.rotation or how.zoom):
        shift = tf.round(shift)
    return Motion(mirrored, angle, scale, shift)


def augmented(
    images: tf.Tensor, label: Optional[tf.Tensor], seed: tf.Tensor, how: Augmentation
) -> list[tf.Tensor]:
    """Returns images [H,W,M] and, if there is one, label [H,W,1], after the same transformation.

    Pixels that enter from outside are 0. `seed` [2] int32 determines the transformation. Images are
    interpolated linearly, labels take the nearest pixel.
    """
    arrays = [images] if label is None else [images, label]
    how_moved = motion(seed, how, tf.shape(images)[:2])
    if how.mirror:
        arrays = [tf.where(how_moved.mirrored, tf.reverse(x, axis=[1]), x) for x in arrays]
    if not (how.rotation or how.zoom or how.shift):
        return arrays
    ways = zip(arrays, ("bilinear", "nearest"))
    return [
        affine(each, how_moved.angle, how_moved.scale, how_moved.shift, way) for each, way in ways
    ]


def moved_boxes(rows: tf.Tensor, seed: tf.Tensor, how: Augmentation, size: tf.Tensor) -> tf.Tensor:
    """Returns the boxes of a slice after the transformation of `augmented`, without its rotation.

    A box is cut where it leaves the image, and gone (class 0) if its centre does.

    Args:
        rows: [N,5], see `data.boxes`.
        seed: [2] int32.
        how: without rotation.
        size: [2] int32, height and width of the slice, pixels.
    """
    mirrored, _, scale, shift = motion(seed, how, size)
    shift = shift / tf.cast(size, tf.float32)
    rows = tf.where(mirrored, mirrored_boxes(rows), rows)
    centre = 0.5 + scale * (rows[:, 1:3] - 0.5) + shift[::-1]
    half = scale * rows[:, 3:] / 2
    low, high = (tf.clip_by_value(side, 0.0, 1.0) for side in (centre - half, centre + half))
    inside = (rows[:, 0] > 0) & tf.reduce_all((centre > 0) & (centre < 1), axis=1)
    moved = tf.concat([rows[:, :1], (low + high) / 2, high - low], axis=1)
    return tf.where(inside[:, None], moved, 0.0)
