"""System "segmenter": a U-Net that finds the whole tumour (paper 2.3 and 3.4)."""

from __future__ import annotations

from typing import Literal

import tensorflow as tf

from losses.segmentation import soft_dice_per_sample
from models.system import Batch, GANSystem, Terms
from models.tc_mgan.config import SegmenterConfig
from models.tc_mgan.modalities import (
    NUM_MODALITIES,
    NUM_TARGETS,
    draw_targets,
    one_hot,
    source_of,
    target_of,
    whole_tumour,
)
from models.tc_mgan.networks import build_segmenter
from utils.images import to_signed

Inputs = Literal["labelled_target", "four_channel", "source"]
# Image channels and length of the modality code for each of them.
CHANNELS = {
    "labelled_target": (1, NUM_TARGETS),
    "four_channel": (NUM_MODALITIES, 0),
    "source": (1, 0),
}
THRESHOLD = 0.5


class Segmenter(GANSystem):
    """S learns the whole tumour by soft Dice on the batch's images.

    Its batch norm takes each replica's statistics alone: several devices with a part of the batch
    each do not equal one device with the whole batch.

    Args:
        config: settings of the network.
        inputs: "labelled_target", one of the three targets at random with its modality code, gives
            the segmenter that guides the generator; "four_channel", all modalities, and "source",
            T2 alone, give the U-Nets whose accuracy shows how useful synthetic modalities are.
    """

    def __init__(self, config: SegmenterConfig, inputs: Inputs = "labelled_target"):
        self.config = config
        self.inputs = inputs
        networks = {"S": build_segmenter(config.width, *CHANNELS[inputs], "S")}
        super().__init__(networks, {"S": ["S"]}, {"S": config.learning_rate}, config.beta_1)

    def _find(self, batch: Batch, training: bool) -> tf.Tensor:
        """The probability [B,H,W,1] of the whole tumour in what S sees of the batch."""
        S, images = self.networks["S"], batch["images"]
        if self.inputs == "labelled_target":
            index = draw_targets(batch["seed"])
            return S(target_of(images, index), one_hot(index), training=training)
        seen = source_of(images) if self.inputs == "source" else to_signed(images)
        return S(seen, training=training)

    def train_step(self, batch: Batch) -> Terms:
        """One update on `images` [B,H,W,4], `label` [B,H,W,1] and `seed` [B,2].

        `images` may hold synthetic modalities in the place of real ones.
        """
        with tf.GradientTape() as tape:
            # 1. The tumour's probability in a slice of a random target (or in other inputs).
            found = self._find(batch, training=True)
            # 2. Its soft Dice with the whole tumour (2.3).
            loss = soft_dice_per_sample(found, whole_tumour(batch["label"]))
        return self.descend(tape, {"S": loss})

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns the whole tumour, [B,H,W,1]: `probabilities` float32 and `labels`, 0 or 1, int32.

        Reads `images` [B,H,W,4], and `seed` [B,2] if a target has to be drawn.
        """
        probabilities = self._find(batch, training=False)
        labels = tf.cast(probabilities > THRESHOLD, tf.int32)
        return {"probabilities": probabilities, "labels": labels}
