"""Augmented slices: real ones after one or two random operations (the thesis' rows 18-23).

Source: the data enhancement of the thesis' released code, six operations drawn uniformly, with the
same parameters for the modalities and the label. That code passes (H, W) where its imaging
library expects (W, H): its rotated slices become 144x184, its enlarged and shrunken ones are
distorted and cropped. Here the order is (H, W) and every slice keeps its size. Its rotation reads
the nearest pixel; its other resizing depends on the library's version and is nearest here, too, so
that images and label stay registered to the pixel.

All randomness is stateless: the result is a function of the slice and the seed.
"""

from __future__ import annotations

import functools

import tensorflow as tf

from data import geometry
from data.geometry import draw, rotate

NOISE = 0.03  # largest deviation of a grey value in [0,1]
PIXELS = (2, 7)  # limits of a shift, zoom or shrinking


def flip(stack: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Turn [H,W,C] top to bottom; `seed` is not used."""
    return tf.reverse(stack, axis=[0])


def shift(stack: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shift [H,W,C] by 2..7 pixels up, down, left or right; zeros move in."""
    return geometry.shift(stack, seed, *PIXELS)


def add_noise(stack: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Add uniform noise to the channels of [H,W,M+1], each then stretched to [0,1].

    The last channel, the label, stays; a channel that is constant in the slice becomes 0.
    """
    images, label = stack[..., :-1], stack[..., -1:]
    noisy = images + tf.random.stateless_uniform(tf.shape(images), seed, -NOISE, NOISE)
    lowest = tf.reduce_min(noisy, axis=(0, 1))
    span = tf.reduce_max(noisy, axis=(0, 1)) - lowest
    constant = tf.reduce_max(images, axis=(0, 1)) == tf.reduce_min(images, axis=(0, 1))
    stretched = tf.where(constant, 0.0, tf.math.divide_no_nan(noisy - lowest, span))
    return tf.concat([stretched, label], axis=-1)


def zoom_in(stack: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Enlarge each axis of [H,W,C] by 2..7 pixels and keep the centre of the old size."""
    return geometry.zoom_in(stack, seed, *PIXELS)


def shrink(stack: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shrink each axis of [H,W,C] by 2..7 pixels and paste the result on a zero canvas."""
    return geometry.shrink(stack, seed, *PIXELS)


OPERATIONS = (rotate, flip, shift, add_noise, zoom_in, shrink)


def enhance(images: tf.Tensor, label: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Apply one or two operations to a slice, each drawn uniformly from `OPERATIONS`.

    Args:
        images: [H,W,M] float32 in [0,1], H and W above 7 pixels.
        label: [H,W,1] int32.
        seed: [2] integer; equal seeds give equal results.

    Returns:
        images [H,W,M] float32 in [0,1] and label [H,W,1] int32 with values of `label` or 0.
    """
    count_seed, choice_seed, *operation_seeds = tf.unstack(tf.random.split(seed, 4))
    twice = draw(count_seed, 1, 2, 1)[0] == 2
    choices = tf.unstack(draw(choice_seed, 0, len(OPERATIONS) - 1, 2))
    stack = tf.concat([images, tf.cast(label, tf.float32)], axis=-1)
    stack = _apply(choices[0], stack, operation_seeds[0])
    stack = tf.cond(twice, lambda: _apply(choices[1], stack, operation_seeds[1]), lambda: stack)
    stack = tf.ensure_shape(stack, [*images.shape[:2], images.shape[-1] + 1])
    return stack[..., :-1], tf.cast(stack[..., -1:], tf.int32)


def _apply(choice: tf.Tensor, stack: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.switch_case(choice, [functools.partial(run, stack, seed) for run in OPERATIONS])
