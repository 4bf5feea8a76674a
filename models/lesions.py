"""System "segmentation": one lesion segmenter G_l per modality (thesis 4.5, eq. 22)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import tensorflow as tf

from losses.segmentation import class_weighted_cross_entropy, class_weighted_squared_error
from models.networks.modalities import NUM_MODALITIES
from models.networks.settings import UNET_RULES, UNetConfig
from models.system import Batch, GANSystem, Terms
from utils.errors import Rule, check_fields, one_of

NUM_CLASSES = 5  # of the labels of BRATS, for which there are the G_l
CLASS_WEIGHTS = (2.5, 25.0, 125.0, 125.0, 125.0)
SegmentationLoss = Literal["squared_error", "cross_entropy"]
ONE_PER_CLASS = Rule(
    f"{NUM_CLASSES} numbers, background first",
    lambda values: len(values) == NUM_CLASSES and all(map(math.isfinite, values)),
)
# Each loss with the function that ends the network; the soft-max is inside the cross-entropy.
LOSSES = {
    "squared_error": (class_weighted_squared_error, "sigmoid"),
    "cross_entropy": (class_weighted_cross_entropy, "logits"),
}

Inputs = Literal["per_modality", "four_channel"]


SEGMENTATION_RULES = {
    **UNET_RULES,
    "output_offset": ONE_PER_CLASS,
    "loss": one_of(get_args(SegmentationLoss)),
}


@dataclass(frozen=True)
class SegmentationConfig(UNetConfig):
    """Lesion segmenters G_l, one U-Net per modality.

    Args:
        width: base width n, channels.
        initializer: kernel initialiser.
        activation: of the hidden units: capped_relu, or the text's leaky_relu (slope 0.2).
        output_norm: instance norm at the output; the text has none.
        output_offset: initial offset of each class' output norm (without norm: its bias), logit.
        loss: squared_error of five sigmoids, or cross_entropy of a soft-max; it is also the lesion
            term of the stage synthesis.
        class_weights: weight of each class in the loss, background first.
        learning_rate: Adam's, per update.
    """

    output_offset: tuple[float, ...] = (0.0,) * NUM_CLASSES
    loss: SegmentationLoss = "squared_error"
    class_weights: tuple[float, ...] = CLASS_WEIGHTS

    def __post_init__(self) -> None:
        rules = {**SEGMENTATION_RULES, "class_weights": ONE_PER_CLASS}
        check_fields(self, "--segmentation.", **rules)


class Segmentation(GANSystem):
    """Four independent U-Nets G_l0..G_l3, trained together by one optimiser.

    Args:
        config: settings of each U-Net.
        inputs: "per_modality", or "four_channel" for a single U-Net G_l that sees the modalities
            together, as in the early availability experiments of the original code; K, the number
            of networks, is then 1 instead of 4.
    """

    def __init__(self, config: SegmentationConfig, inputs: Inputs = "per_modality"):
        self.config, self.class_weights = config, config.class_weights
        self.loss, output_activation = LOSSES[config.loss]
        self.channels = NUM_MODALITIES if inputs == "four_channel" else 1  # of a network's input
        networks = self.build_networks(
            {"outputs": NUM_CLASSES, "output_activation": output_activation}
        )
        super().__init__(networks, {"G": list(networks)}, {"G": config.learning_rate})

    def build_networks(self, options: dict[str, Any]) -> dict[str, tf.keras.Model]:
        """Returns the networks by name; `options` are of `UNetSpec`."""
        count = NUM_MODALITIES // self.channels
        names = ["G_l"] if count == 1 else [f"G_l{i}" for i in range(count)]
        return {name: self.config.build_unet(self.channels, name, **options) for name in names}

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
            terms = lesion_terms(self, batch["images"], batch["label"], self.class_weights)
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
