"""Source, target and modality code of a step, from the batch; intensities inside are [-1,1]."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from models.system import Batch
from utils.images import to_signed
from utils.seeding import uniform

# The paper's modality index 0, 1, 2 by the names of `data.brats.names.MODALITIES`, and the channels
# of `images` [B,H,W,4] that they are; all three are made from T2.
TARGETS = ("Flair", "T1c", "T1")
TARGET_CHANNELS = (3, 2, 0)
SOURCE_CHANNEL = 1
NUM_TARGETS = len(TARGETS)
NUM_MODALITIES = 1 + NUM_TARGETS


class Pair(NamedTuple):
    """What one step sees of a batch.

    Attributes:
        x: the source T2 [B,H,W,1] in [-1,1].
        y: each sample's target modality [B,H,W,1] in [-1,1].
        c: its one-hot modality code [B,3].
        tumour: the whole tumour [B,H,W,1], 0 or 1, float32.
        label: the tumour's parts [B,H,W,1], 0..4, int32.
    """

    x: tf.Tensor
    y: tf.Tensor
    c: tf.Tensor
    tumour: tf.Tensor
    label: tf.Tensor


def source_of(images: tf.Tensor) -> tf.Tensor:
    """Returns T2 [B,H,W,1] in [-1,1] of `images` [B,H,W,4]."""
    return to_signed(images[..., SOURCE_CHANNEL : SOURCE_CHANNEL + 1])


def target_of(images: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Returns each sample's target modality, [B,H,W,1] in [-1,1].

    Args:
        images: [B,H,W,4] in [0,1].
        index: int [B], position in `TARGETS` (0 = Flair, 1 = T1c, 2 = T1).
    """
    channel = tf.gather(TARGET_CHANNELS, index)
    return to_signed(tf.gather(images, channel[:, None], axis=3, batch_dims=1))


def whole_tumour(label: tf.Tensor) -> tf.Tensor:
    """Returns 1 where the label [B,H,W,1] (0..4) is any part of the tumour, float32."""
    return tf.cast(label > 0, tf.float32)


def same_target(index: int, like: tf.Tensor) -> tf.Tensor:
    """Returns `index` for each of the samples of `like` [B,...], as [B] int32."""
    return tf.fill(tf.shape(like)[:1], index)


def draw_targets(seeds: tf.Tensor) -> tf.Tensor:
    """Returns a random target 0..2 for each row of seeds [B,2], as [B] int32."""
    return tf.cast(uniform(seeds, "target", (), high=NUM_TARGETS), tf.int32)


def one_hot(index: tf.Tensor) -> tf.Tensor:
    """Returns the one-hot modality code [B,3] of target numbers [B]."""
    return tf.one_hot(index, NUM_TARGETS)


def pair_of(batch: Batch, index: tf.Tensor) -> Pair:
    """Returns what a step sees of `images` and `label` with the targets `index` [B]."""
    images, label = batch["images"], batch["label"]
    x, y = source_of(images), target_of(images, index)
    return Pair(x, y, one_hot(index), whole_tumour(label), label)


def replace_targets(images: tf.Tensor, synthetic: tf.Tensor) -> tf.Tensor:
    """Returns images [B,H,W,4] that keep T2 and have the three others from `synthetic`.

    `synthetic` [B,H,W,3] is in the order of `TARGETS`, as `synthesize` returns it.
    """
    channels = {channel: synthetic[..., i] for i, channel in enumerate(TARGET_CHANNELS)}
    channels[SOURCE_CHANNEL] = images[..., SOURCE_CHANNEL]
    return tf.stack([channels[i] for i in range(NUM_MODALITIES)], axis=-1)
