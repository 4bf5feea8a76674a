"""System "classification": the classifier G_l that guides chest X-rays (thesis 4.5, eq. 15, 22)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import tensorflow as tf

from models.networks.settings import WIDTH, Decay, learning_rate
from models.networks.vgg import Head, Norm, VGGSpec, build_vgg, check_image_size
from models.system import Batch, GANSystem, Terms
from utils.errors import POSITIVE, check_fields, one_of


@dataclass(frozen=True)
class ClassificationConfig:
    """Classifier G_l of whole images, a VGG11.

    Args:
        width: base width n, channels.
        head: gap, a mean over the map, or fc, the dense layers of the VGG paper, which see the
            image resized to 224x224.
        norm: batch, or none as in the VGG paper.
        learning_rate: Adam's, per update.
        decay: of the learning rate: constant, or cosine, which ends at 0.
    """

    width: int = 64
    head: Head = "gap"
    norm: Norm = "batch"
    learning_rate: float = 1e-5
    decay: Decay = "constant"

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--classification.",
            width=WIDTH,
            head=one_of(get_args(Head)),
            norm=one_of(get_args(Norm)),
            learning_rate=POSITIVE,
            decay=one_of(get_args(Decay)),
        )

    def check_image_size(self, size: Sequence[int]) -> None:
        """Raises UserError for images of a size (height, width) that the network cannot take."""
        check_image_size("An image of --slicing.size", self.head, size)


class Classification(GANSystem):
    """G_l learns the class of an image, and then tells a generator whether its images have theirs.

    A `label` is a map [B,H,W,1], int32, that holds the number of the image's class at every pixel.
    The loss is the soft-max cross-entropy (note of eq. 22); the released code has a squared error.

    Args:
        config: settings.
        channels: of the images, C.
        classes: number of classes, K.
        total_steps: updates in all, for the decay of the learning rate.
    """

    def __init__(self, config: ClassificationConfig, channels: int, classes: int, total_steps: int):
        self.config = config
        spec = VGGSpec(config.width, classes, config.head, config.norm)
        networks = {"G_l": build_vgg(spec, channels, "G_l")}
        rate = learning_rate(config.learning_rate, config.decay, total_steps)
        super().__init__(networks, {"G": ["G_l"]}, {"G": rate})

    def train_step(self, batch: Batch) -> Terms:
        """One update on `images` [B,H,W,C], `label` [B,H,W,1] and `seed` [B,2].

        Reports the share of the images whose class was the most probable one.
        """
        classes = class_of(batch["label"])
        with tf.GradientTape() as tape:
            logits = self.networks["G_l"](batch["images"], training=True, seeds=batch["seed"])
            loss = cross_entropy(logits, classes)
        right = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), classes)
        accuracy = tf.reduce_mean(tf.cast(right, tf.float32))
        return {**self.descend(tape, {"G": loss}), "G/lesion": loss, "accuracy/G_l": accuracy}

    def guidance(self, images: tf.Tensor, labels: Mapping[str, tf.Tensor]) -> Terms:
        """Returns the cross-entropy of generated images [B,H,W,C], `G/lesion` (eq. 15).

        G_l is at rest: it uses its moving statistics and changes nothing. Reads `labels["label"]`,
        the classes that the images were made for.
        """
        logits = self.networks["G_l"](images, training=False)
        return {"G/lesion": cross_entropy(logits, class_of(labels["label"]))}

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns the most probable class `labels` [B], int32, and `probabilities` [B,K]."""
        logits = self.networks["G_l"](batch["images"], training=False)
        labels = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return {"labels": labels, "probabilities": tf.nn.softmax(logits)}


def class_of(label: tf.Tensor) -> tf.Tensor:
    """Returns the class [B] of constant label maps [B,H,W,1]."""
    return label[:, 0, 0, 0]


def cross_entropy(logits: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """Returns the batch's mean of -log softmax(logits)[class]; logits [B,K], classes [B]."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits))
