"""Lesion labels for random structure maps: augmentation, and the choice of one that fits a mask.

New labels are real ones after two random geometric operations. The released code resizes with
height and width swapped in its shrinking operation, which distorts and crops labels that are not
square; here the order is (H, W). Its resizing filter depends on the version of the imaging library;
here every operation reads the nearest pixel, so labels keep their values.

All randomness is stateless: the result is a function of the label and the seed.
"""

from __future__ import annotations

import functools

import tensorflow as tf

from data import geometry
from data.geometry import draw, rotate


def flip_label(label: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Flip left-right or top-bottom, each half of the time.

    Args:
        label: [H,W,1] int32.
        seed: [2] integer.

    Returns:
        [H,W,1] int32.
    """
    return tf.reverse(label, axis=draw(seed, 0, 1, 1))


def shift_label(label: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shift by 2..5 pixels up, down, left or right; zeros move in.

    Args:
        label: [H,W,1] int32.
        seed: [2] integer.

    Returns:
        [H,W,1] int32.
    """
    return geometry.shift(label, seed, 2, 5)


def shrink_label(label: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Resize each axis to 2..7 pixels less and paste near the centre of a zero canvas.

    Args:
        label: [H,W,1] int32, more than 7 pixels a side.
        seed: [2] integer.

    Returns:
        [H,W,1] int32.
    """
    return geometry.shrink(label, seed, 2, 7)


OPERATIONS = (rotate, flip_label, shift_label, shrink_label)


def augment_label(label: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Apply two operations to a label, each drawn uniformly and independently from `OPERATIONS`.

    Source: label augmentation of the thesis' released code.

    Args:
        label: [H,W,1] int32, 0..4, more than 7 pixels a side.
        seed: [2] integer; equal seeds give equal results.

    Returns:
        [H,W,1] int32, values of `label` or 0.
    """
    choice_seed, *operation_seeds = tf.unstack(tf.random.split(seed, 3))
    choices = draw(choice_seed, 0, len(OPERATIONS) - 1, 2)
    for choice, operation_seed in zip(tf.unstack(choices), operation_seeds):
        branches = [functools.partial(run, label, operation_seed) for run in OPERATIONS]
        label = tf.switch_case(choice, branches)
    return label


def fits_inside(label: tf.Tensor, outside: tf.Tensor) -> tf.Tensor:
    """Tell whether a lesion lies wholly inside the organ: the sum of outside * [label > 0] is 0.

    The released code multiplies by the label's value, which is zero in the same cases. (The printed
    loop of the thesis' Algorithm 4 repeats while the overlap is zero: the sign is inverted.)

    Args:
        label: [...,H,W,1] integer, 0 = no lesion; an empty label fits everywhere.
        outside: [...,H,W,1], 1 = outside the organ; broadcast against `label`.

    Returns:
        [...] bool.
    """
    overlap = tf.logical_and(label > 0, outside > 0)
    return tf.logical_not(tf.reduce_any(overlap, axis=(-3, -2, -1)))


def choose_fitting_label(candidates: tf.Tensor, outside: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Take the first candidate that has a lesion and fits inside the organ.

    The released code keeps the last, misplaced label when its tries are used up; here the index -1
    reports this case.

    Args:
        candidates: [K,H,W,1] int32, K at least 1.
        outside: [H,W,1], 1 = outside the organ.

    Returns:
        (label [H,W,1] int32, index [] int32); an all-zero label and -1 if no candidate fits.
    """
    has_lesion = tf.reduce_any(candidates > 0, axis=(1, 2, 3))
    usable = tf.logical_and(fits_inside(candidates, outside), has_lesion)
    first = tf.argmax(usable, output_type=tf.int32)
    found = usable[first]
    label = tf.where(found, candidates[first], tf.zeros_like(candidates[0]))
    return label, tf.where(found, first, -1)
