"""System "segmentation": one lesion segmenter G_l per modality (thesis 4.5, eq. 22)."""

from __future__ import annotations

from typing import Literal

import tensorflow as tf

from losses.segmentation import class_weighted_cross_entropy, class_weighted_squared_error
from models.structure_gan.config import NUM_CLASSES, NUM_MODALITIES, SegmentationConfig
from models.system import Batch, GANSystem, Terms

# Each loss with the function that ends the network; the soft-max is inside the cross-entropy.
LOSSES = {
    "squared_error": (class_weighted_squared_error, "sigmoid"),
    "cross_entropy": (class_weighted_cross_entropy, "logits"),
}

Inputs = Literal["per_modality", "four_channel"]


class Segmentation(GANSystem):
    """Four independent U-Nets G_l0..G_l3, trained together by one optimiser.

    Args:
        config: settings of each U-Net.
        inputs: "per_modality", or "four_channel" for a single U-Net G_l that sees the modalities
            together, as in the early availability experiments of the original code; K, the number
            of networks, is then 1 instead of 4.
    """

    def __init__(self, config: SegmentationConfig, inputs: Inputs = "per_modality"):
        self.config = config
        self.loss, output_activation = LOSSES[config.loss]
        options = {"outputs": NUM_CLASSES, "output_activation": output_activation}
        together = inputs == "four_channel"
        self.channels = NUM_MODALITIES if together else 1  # of each network's input
        names = ["G_l"] if together else [f"G_l{i}" for i in range(NUM_MODALITIES)]
        networks = {name: config.build_unet(self.channels, name, **options) for name in names}
        super().__init__(networks, {"G": names}, {"G": config.learning_rate})

    def class_scores(self, images: tf.Tensor) -> tf.Tensor:
        """Maps images [B,H,W,4] to class scores [B,K,H,W,5], modality i by G_li.

        A score is a probability (squared error) or a logit of a soft-max (cross-entropy); of
        either the highest marks the most probable class.
        """
        parts = tf.split(images, NUM_MODALITIES // self.channels, axis=-1)
        scores = [net(part) for net, part in zip(self.networks.values(), parts)]
        return tf.stack(scores, axis=1)

    def train_step(self, batch: Batch) -> Terms:
        """One update of the four segmenters on `images` [B,H,W,4] and `label` [B,H,W,1]."""
        with tf.GradientTape() as tape:
            # 1. Each G_l segments the slices of its modality (eq. 22).
            terms = lesion_terms(self, batch["images"], batch["label"], self.config.class_weights)
            loss = tf.add_n(list(terms.values()))
        # 2. All networks at once, by the sum of their losses.
        return {**self.descend(tape, {"G": loss}), **terms}

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `labels` [B,H,W,K], int32: the arg-max class of each network."""
        classes = tf.argmax(self.class_scores(batch["images"]), axis=-1, output_type=tf.int32)
        return {"labels": tf.transpose(classes, [0, 2, 3, 1])}


def lesion_terms(
    segmenters: Segmentation, images: tf.Tensor, label: tf.Tensor, class_weights: tuple
) -> Terms:
    """Returns each network's lesion loss (eq. 22 on real images, eq. 15 on generated ones)."""
    scores = segmenters.class_scores(images)
    return {
        f"G/lesion_{i}": segmenters.loss(scores[:, i], label, class_weights)
        for i in range(scores.shape[1])
    }
