"""System "segmenter": a U-Net that learns all labels from real images, to judge generated ones."""

from __future__ import annotations

import tensorflow as tf

from losses.segmentation import soft_dice_per_class
from models.samr.config import LabelNetConfig
from models.samr.networks import build_segmenter
from models.system import Batch, GANSystem, Terms
from utils.images import to_signed
from utils.training.schedules import constant_then_linear


class LabelNet(GANSystem):
    """S, made like U, learns by soft Dice; the generator never sees it.

    Args:
        config: settings.
        sequences: channels of the images.
        labels: number of labels.
        total_steps: updates in all, for the decay of the learning rate.
    """

    def __init__(self, config: LabelNetConfig, sequences: int, labels: int, total_steps: int):
        self.labels = labels
        network = build_segmenter(config.levels, config.width, sequences, labels, "S")
        rate = constant_then_linear(config.learning_rate, total_steps, config.constant_share)
        super().__init__({"S": network}, {"S": ["S"]}, {"S": rate})

    def train_step(self, batch: Batch) -> Terms:
        """One update on `images` [B,H,W,S] and `label` [B,H,W,1]."""
        with tf.GradientTape() as tape:
            terms = self.terms(batch)
        return {**self.descend(tape, {"S": terms["S/dice"]}), **terms}

    def terms(self, batch: Batch) -> Terms:
        """Returns the soft Dice error of what S finds in training."""
        label = tf.one_hot(batch["label"][..., 0], self.labels)
        found = self.networks["S"](to_signed(batch["images"]), training=True)
        return {"S/dice": soft_dice_per_class(found, label)}

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `labels` [B,H,W,1], int32: the most probable label of each pixel."""
        found = self.networks["S"](to_signed(batch["images"]), training=False)
        return {"labels": tf.argmax(found, axis=-1, output_type=tf.int32)[..., None]}
