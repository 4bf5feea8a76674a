"""Lesion boxes of a slice: rows (class, cx, cy, w, h), in shares of width and height, x = column.

A row of class 0 is no box: slices have as many rows as the data set allows, the unused ones are 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

LEAST = 3  # pixels that a painted lesion measures at least, or small ones would vanish


def painted(boxes: tf.Tensor, size: Sequence[int]) -> tf.Tensor:
    """Returns the class that lies at each pixel, int32 [H,W,1], 0 outside of all lesions.

    A lesion is the ellipse that touches the sides of its box. Where some overlap, the one with the
    smallest box counts.

    Args:
        boxes: float32 [N,5].
        size: (H, W) in pixels.
    """
    height, width = size
    kind, cx, cy, w, h = tf.unstack(boxes[:, None, None], axis=-1)  # [N,1,1] each
    w, h = tf.maximum(w * width, LEAST), tf.maximum(h * height, LEAST)
    rows = tf.range(height, dtype=tf.float32)[None, :, None] + 0.5
    columns = tf.range(width, dtype=tf.float32)[None, None, :] + 0.5
    y, x = rows - cy * height, columns - cx * width
    inside = ((2 * y / h) ** 2 + (2 * x / w) ** 2 <= 1) & (kind > 0)
    smallest = tf.argmin(tf.where(inside, w * h, tf.float32.max), axis=0)  # [H,W]
    shown = tf.gather(tf.cast(boxes[:, 0], tf.int32), smallest)
    return tf.where(tf.reduce_any(inside, axis=0), shown, 0)[..., None]


def mirrored(rows: tf.Tensor) -> tf.Tensor:
    """Returns rows [N,5] of an image whose left and right are exchanged; those of class 0 stay."""
    there = tf.cast(rows[:, :1] > 0, rows.dtype)
    return tf.concat([rows[:, :1], there - rows[:, 1:2], rows[:, 2:]], axis=1)
