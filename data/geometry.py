"""Random geometric operations on all channels of a slice together, and their random draws.

Every operation reads the nearest pixel, so that labels keep their values and channels stay
registered to the pixel. All randomness is stateless: the result is a function of the stack and the
seed.
"""

from __future__ import annotations

import math

import tensorflow as tf

from utils import addons

_NEAREST = "nearest"


def draw(seed: tf.Tensor, low: int, high: int, count: int) -> tf.Tensor:
    """Draw [count] int32 uniformly from low..high, both included; `seed` is [2] integer."""
    return tf.random.stateless_uniform([count], seed, low, high + 1, tf.int32)


def rotate(stack: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Rotate by 0..359 whole degrees; half of the time the whole canvas is squeezed in.

    Args:
        stack: [H,W,C], integer or floating.
        seed: [2] integer.

    Returns:
        Tensor of the shape and dtype of `stack`.
    """
    degree_seed, expand_seed = tf.unstack(tf.random.split(seed))
    angle = tf.cast(draw(degree_seed, 0, 359, 1)[0], tf.float32) * (math.pi / 180.0)
    return tf.cond(
        draw(expand_seed, 0, 1, 1)[0] == 1,
        lambda: addons.rotate(stack, angle, _NEAREST, expand=True),
        lambda: addons.rotate(stack, angle, _NEAREST),
    )


def shift(stack: tf.Tensor, seed: tf.Tensor, low: int, high: int) -> tf.Tensor:
    """Shift by low..high pixels up, down, left or right; zeros move in.

    Args:
        stack: [H,W,C], integer or floating.
        seed: [2] integer.
        low, high: limits of the distance, pixels, both included.

    Returns:
        Tensor of the shape and dtype of `stack`.
    """
    distance_seed, direction_seed = tf.unstack(tf.random.split(seed))
    directions = tf.constant([[-1, 0], [1, 0], [0, -1], [0, 1]])
    direction = directions[draw(direction_seed, 0, 3, 1)[0]]
    return addons.translate(stack, direction * draw(distance_seed, low, high, 1), _NEAREST)


def shrink(stack: tf.Tensor, seed: tf.Tensor, low: int, high: int) -> tf.Tensor:
    """Resize each axis to low..high pixels less and paste near the centre of a zero canvas.

    Args:
        stack: [H,W,C], integer or floating, more than `high` pixels a side.
        seed: [2] integer.
        low, high: limits of what each axis loses, pixels, both included.

    Returns:
        Tensor of the shape and dtype of `stack`.
    """
    return addons.shrink(stack, draw(seed, low, high, 2), _NEAREST)


def zoom_in(stack: tf.Tensor, seed: tf.Tensor, low: int, high: int) -> tf.Tensor:
    """Enlarge each axis by low..high pixels and keep the centre of the old size.

    Args:
        stack: [H,W,C], integer or floating.
        seed: [2] integer.
        low, high: limits of what each axis gains, pixels, both included.

    Returns:
        Tensor of the shape and dtype of `stack`.
    """
    return addons.shrink(stack, -draw(seed, low, high, 2), _NEAREST)
