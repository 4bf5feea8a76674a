"""Boxes, their matching with default boxes, and SSD's multi-box loss (Liu et al. 2016, eq. 1-3).

A box is (cx, cy, w, h) in fractions of the image, x = column. Truths are rows (class, cx, cy, w, h)
[B,N,5], float32, N >= 1: classes are whole numbers from 1 on, and rows of class 0 fill up. Default
boxes are [A,4]. Gradients reach predictions only. Among equal numbers the first is the largest, so
that a result does not depend on the device.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

MATCHED = 0.5  # IoU from which on a default box is a truth's
NEGATIVES = 3  # hard negatives for every positive (Liu et al.)


def to_corners(boxes: tf.Tensor) -> tf.Tensor:
    """Returns boxes [...,4] as (y1, x1, y2, x2), the order of `tf.image`."""
    cx, cy, w, h = tf.unstack(boxes, axis=-1)
    return tf.stack([cy - h / 2, cx - w / 2, cy + h / 2, cx + w / 2], axis=-1)


def from_corners(corners: tf.Tensor) -> tf.Tensor:
    """Returns (y1, x1, y2, x2) [...,4] as boxes (cx, cy, w, h)."""
    y1, x1, y2, x2 = tf.unstack(corners, axis=-1)
    return tf.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=-1)


def iou(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Returns the intersection over union of all pairs of boxes, 0..1.

    Args:
        a, b: [...,N,4] and [...,M,4].

    Returns:
        [...,N,M]; 0 for two boxes without area.
    """
    corners = to_corners(a)[..., :, None, :], to_corners(b)[..., None, :, :]
    low = tf.maximum(*(corner[..., :2] for corner in corners))
    high = tf.minimum(*(corner[..., 2:] for corner in corners))
    both = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=-1)
    area_a, area_b = (tf.reduce_prod(boxes[..., 2:], axis=-1) for boxes in (a, b))
    return tf.math.divide_no_nan(both, area_a[..., :, None] + area_b[..., None, :] - both)


def encode(boxes: tf.Tensor, defaults: tf.Tensor, variances: Sequence[float]) -> tf.Tensor:
    """Returns the offsets of boxes from default boxes, each divided by its variance.

    (gx - dx) / dw, (gy - dy) / dh, ln(gw / dw), ln(gh / dh): Liu et al., eq. 2. The divisors are in
    their code only, 0.1, 0.1, 0.2, 0.2; the thesis prints none, which is four ones.

    Args:
        boxes: g [...,4], sides above 0.
        defaults: d [...,4].
        variances: one number above 0 for each of the four.
    """
    centres = (boxes[..., :2] - defaults[..., :2]) / defaults[..., 2:]
    sides = tf.math.log(boxes[..., 2:] / defaults[..., 2:])
    return tf.concat([centres, sides], axis=-1) / tf.constant(variances, tf.float32)


def decode(offsets: tf.Tensor, defaults: tf.Tensor, variances: Sequence[float]) -> tf.Tensor:
    """Returns the boxes of offsets; the inverse of `encode`, whose arguments these are."""
    offsets = offsets * tf.constant(variances, tf.float32)
    centres = defaults[..., :2] + offsets[..., :2] * defaults[..., 2:]
    return tf.concat([centres, tf.exp(offsets[..., 2:]) * defaults[..., 2:]], axis=-1)


def match(truths: tf.Tensor, defaults: tf.Tensor) -> tf.Tensor:
    """Returns the row of each default box's truth, int32 [B,A]; -1 is background.

    First each truth takes the default box that it overlaps most, the truth with the largest IoU
    before the others, and no default box is taken twice. Then each default box left takes the truth
    that it overlaps most, if their IoU is 0.5 or more (Liu et al., 2.2).

    Args:
        truths: [B,N,5].
        defaults: [A,4].
    """
    truths = _without_tail(truths)
    lesions = truths[..., :1] > 0
    overlap = tf.where(lesions, iou(truths[..., 1:], defaults[None]), -1.0)
    forced = _forced(overlap)
    best = tf.where(tf.reduce_max(overlap, axis=1) >= MATCHED, _first_largest(overlap), -1)
    return tf.where(forced >= 0, forced, best)


def _without_tail(truths: tf.Tensor) -> tf.Tensor:
    """Truths [B,N,5] without the last rows that are empty in all images; one row at least is left.

    Data sets allow many boxes, and most images have a few: the rest would cost most of the time.
    """
    numbers = tf.range(1, tf.shape(truths)[1] + 1)
    return truths[:, : tf.reduce_max(tf.where(truths[..., 0] > 0, numbers, 1))]


def _first_largest(values: tf.Tensor) -> tf.Tensor:
    """Index of the largest along axis 1 of [B,N,...], int32; `tf.argmax` may take any of equals."""
    positions = tf.range(tf.shape(values)[1])
    positions = tf.reshape(positions, [1, -1] + [1] * (values.shape.rank - 2))
    largest = values == tf.reduce_max(values, axis=1, keepdims=True)
    return tf.reduce_min(tf.where(largest, positions, positions.dtype.max), axis=1)


def _forced(overlap: tf.Tensor) -> tf.Tensor:
    """Truth that takes each default box whatever their IoU, int32 [B,A], -1 = none.

    `overlap` [B,N,A] is negative where a truth is none.
    """
    count, boxes = tf.shape(overlap)[1], tf.shape(overlap)[2]
    nobody = tf.fill([tf.shape(overlap)[0], boxes], -1)

    def take(left: tf.Tensor, owner: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        flat = tf.reshape(left, [tf.shape(left)[0], -1])
        place = tf.where(tf.reduce_max(flat, axis=1) >= 0, _first_largest(flat), -1)[:, None]
        column = tf.equal(tf.range(boxes), place % boxes) & (place >= 0)  # [B,A]
        row = tf.equal(tf.range(count), place // boxes)  # [B,N]
        gone = row[:, :, None] | column[:, None, :]
        left, owner = tf.where(gone, -1.0, left), tf.where(column, place // boxes, owner)
        # A single row would otherwise pass for any number of them.
        return tf.ensure_shape(left, overlap.shape), tf.ensure_shape(owner, nobody.shape)

    def unmatched(left: tf.Tensor, owner: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(left >= 0)

    return tf.while_loop(unmatched, take, (overlap, nobody))[1]


def box_targets(
    truths: tf.Tensor, defaults: tf.Tensor, variances: Sequence[float]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what a detector should say of each default box, by `match`.

    Args:
        truths: [B,N,5].
        defaults: [A,4].
        variances: as of `encode`.

    Returns:
        Class [B,A], int32, 0 for background, and offsets [B,A,4], float32, 0 for background.
    """
    owner = match(truths, defaults)
    taken = owner >= 0
    chosen = tf.gather(truths, tf.maximum(owner, 0), batch_dims=1)
    # A background box is its own truth: rows that fill up have no logarithm.
    boxes = tf.where(taken[..., None], chosen[..., 1:], defaults)
    classes = tf.where(taken, tf.cast(chosen[..., 0], tf.int32), 0)
    return classes, encode(boxes, defaults, variances)


def smooth_l1(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Returns the sum over the last axis of d^2 / 2 where |d| < 1, elsewhere |d| - 1/2; d = a - b.

    Girshick 2015, "Fast R-CNN", eq. 3; a and b are [...,C].
    """
    error = tf.abs(a - b)
    return tf.reduce_sum(tf.where(error < 1.0, 0.5 * tf.square(error), error - 0.5), axis=-1)


def multibox_loss(
    logits: tf.Tensor,
    offsets: tf.Tensor,
    truths: tf.Tensor,
    defaults: tf.Tensor,
    variances: Sequence[float],
    negatives: int = NEGATIVES,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the class part and the box part of the multi-box loss (Liu et al., eq. 1-3).

    Both are sums over the boxes of an image divided by its number of positives, and means over the
    batch. Cross-entropies count for positives and for the `negatives` times as many other boxes
    that resemble background least; without positives for `negatives` boxes, whose mean is taken.
    `smooth_l1` of the offsets counts for positives only.

    Args:
        logits: [B,A,K], float32, K with the background, class 0.
        offsets: [B,A,4], float32, as of `encode`.
        truths: [B,N,5], classes below K.
        defaults: [A,4].
        variances: as of `encode`.
        negatives: 1 or more.
    """
    classes, aims = box_targets(truths, defaults, variances)
    positive = classes > 0
    count = tf.reduce_sum(tf.cast(positive, tf.int32), axis=1)  # [B]
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
    of_positives = tf.reduce_sum(tf.where(positive, entropy, 0.0), axis=1)
    boxes = tf.shape(entropy)[1]
    wanted = negatives * tf.maximum(count, 1)  # [B]
    most = tf.minimum(tf.reduce_max(wanted), boxes)
    hardest = tf.math.top_k(tf.where(positive, 0.0, entropy), most).values
    kept = tf.range(most) < wanted[:, None]
    of_negatives = tf.reduce_sum(tf.where(kept, hardest, 0.0), axis=1)
    of_boxes = tf.reduce_sum(
        tf.where(positive, smooth_l1(offsets, tf.stop_gradient(aims)), 0.0), axis=1
    )
    share = 1.0 / tf.cast(tf.where(count > 0, count, tf.minimum(negatives, boxes)), tf.float32)
    return (
        tf.reduce_mean(share * (of_positives + of_negatives)),
        tf.reduce_mean(share * of_boxes),
    )
