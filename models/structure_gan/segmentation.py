"""System "segmentation": one lesion segmenter G_l per modality (thesis 4.5, eq. 22)."""

from __future__ import annotations

import tensorflow as tf

from losses.segmentation import class_weighted_cross_entropy, class_weighted_squared_error
from models.networks.unet import UNetSpec, build_unet
from models.structure_gan.config import NUM_CLASSES, NUM_MODALITIES, SegmentationConfig
from models.system import Batch, GANSystem, Terms
from utils.distribute import apply_gradients

# Each loss with the function that ends the network; the soft-max is inside the cross-entropy.
LOSSES = {
    "squared_error": (class_weighted_squared_error, "sigmoid"),
    "cross_entropy": (class_weighted_cross_entropy, "logits"),
}


class Segmentation(GANSystem):
    """Four independent U-Nets G_l0..G_l3, trained together by one optimiser."""

    def __init__(self, config: SegmentationConfig):
        self.config = config
        self.loss, output_activation = LOSSES[config.loss]
        spec = UNetSpec(
            config.width,
            outputs=NUM_CLASSES,
            initializer=config.initializer,
            output_offset=config.output_offset,
            activation=config.activation,
            output_norm=config.output_norm,
            output_activation=output_activation,
        )
        names = [f"G_l{i}" for i in range(NUM_MODALITIES)]
        networks = {name: build_unet(spec, 1, name) for name in names}
        super().__init__(networks, {"G": names}, {"G": config.learning_rate})

    def class_scores(self, images: tf.Tensor) -> tf.Tensor:
        """Maps images [B,H,W,4] to class scores [B,4,H,W,5], modality i by G_li.

        A score is a probability (squared error) or a logit of a soft-max (cross-entropy); of
        either the highest marks the most probable class.
        """
        networks = self.networks.values()
        return tf.stack([net(images[..., i : i + 1]) for i, net in enumerate(networks)], axis=1)

    def train_step(self, batch: Batch) -> Terms:
        """One update of the four segmenters on `images` [B,H,W,4] and `label` [B,H,W,1]."""
        with tf.GradientTape() as tape:
            terms = lesion_terms(self, batch["images"], batch["label"], self.config.class_weights)
            loss = tf.add_n(list(terms.values()))
        norm = apply_gradients(tape, loss, self.variables("G"), self.optimizers["G"])
        return {"loss/G": loss, **terms, "gradient_norm/G": norm}

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `labels` [B,H,W,4], int32: the arg-max class of each modality's segmenter."""
        classes = tf.argmax(self.class_scores(batch["images"]), axis=-1, output_type=tf.int32)
        return {"labels": tf.transpose(classes, [0, 2, 3, 1])}


def lesion_terms(
    segmenters: Segmentation, images: tf.Tensor, label: tf.Tensor, class_weights: tuple
) -> Terms:
    """Returns each modality's lesion loss (eq. 22 on real images, eq. 15 on generated ones)."""
    scores = segmenters.class_scores(images)
    return {
        f"G/lesion_{i}": segmenters.loss(scores[:, i], label, class_weights)
        for i in range(NUM_MODALITIES)
    }
