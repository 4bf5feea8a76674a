"""The three regions of a label map, and what the six label-wise discriminators see of them."""

from __future__ import annotations

import tensorflow as tf

LESION = 2  # first channel where brain has a single one
REGIONS = 3
SCALES = 2


def region_masks(one_hot: tf.Tensor, first_lesion: int = LESION) -> tf.Tensor:
    """Returns background, normal brain and the union of the lesion's labels, [B,H,W,3].

    Args:
        one_hot: [B,H,W,L]; channel 0 is background, the next ones are normal brain.
        first_lesion: the first channel of the lesion, 2 or more and below L.
    """
    background, *parts = tf.split(one_hot, [1, first_lesion - 1, -1], axis=-1)
    unions = [tf.reduce_sum(part, axis=-1, keepdims=True) for part in parts]
    return tf.concat([background, *unions], axis=-1)


def with_lesion_union(one_hot: tf.Tensor, first_lesion: int = LESION) -> tf.Tensor:
    """Returns the label with the lesion's union in place of its first lesion label, [B,H,W,L].

    The discriminators of the released code see such a label, because it adds up the channels of
    their input itself.
    """
    before, after = one_hot[..., :first_lesion], one_hot[..., first_lesion + 1 :]
    union = region_masks(one_hot, first_lesion)[..., -1:]
    return tf.concat([before, union, after], axis=-1)


def halved(x: tf.Tensor) -> tf.Tensor:
    """Returns the mean of 3x3 pixels at every other one, [B,ceil(H/2),ceil(W/2),C].

    Pixels outside of the image do not count, and the first window is centred on the first pixel
    (PyTorch: padding 1, count_include_pad off).
    """
    margin = [[0, 0], [1, 1], [1, 1], [0, 0]]
    inside = tf.ones_like(x[:1, :, :, :1])
    sums, shares = (tf.nn.avg_pool2d(tf.pad(part, margin), 3, 2, "VALID") for part in (x, inside))
    return sums / shares


def regional_views(stack: tf.Tensor, masks: tf.Tensor) -> list[tf.Tensor]:
    """Returns what D1..D6 see of `stack` [B,H,W,C]: each region of it, whole and halved in turns.

    `masks` [B,H,W,3] is 1 inside of a region; the stack is 0 outside of it.
    """
    views = []
    for region in range(REGIONS):
        inside = stack * masks[..., region : region + 1]
        views += [inside, halved(inside)]
    return views


def plain_views(stack: tf.Tensor) -> list[tf.Tensor]:
    """Returns the stack [B,H,W,C] whole and halved: what two discriminators without regions see."""
    return [stack, halved(stack)]
