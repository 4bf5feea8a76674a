"""System "vessels": the U-Net that finds the vessels of the retina (thesis 5.6.2, Table 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import tensorflow as tf

from losses.segmentation import weighted_binary_cross_entropy
from models.networks.settings import UNET_RULES, Decay, UNetConfig, learning_rate
from models.networks.unet import check_sides
from models.system import Batch, GANSystem, Terms
from utils.errors import POSITIVE, check_fields, one_of


@dataclass(frozen=True)
class VesselConfig(UNetConfig):
    """Vessel network, a U-Net.

    Args:
        width: base width n, channels.
        initializer: kernel initialiser.
        activation: of the hidden units: capped_relu, or the text's leaky_relu (slope 0.2).
        output_norm: instance norm at the output; the text has none.
        vessel_weight: weight of a pixel of a vessel beside one of the background.
        learning_rate: Adam's, per update.
        decay: of the learning rate: constant, or cosine, which ends at 0.
    """

    vessel_weight: float = 5.0
    decay: Decay = "constant"

    def __post_init__(self) -> None:
        decay = one_of(get_args(Decay))
        check_fields(self, "--network.", **UNET_RULES, vessel_weight=POSITIVE, decay=decay)

    def check_image_size(self, size: Sequence[int]) -> None:
        """Raises UserError for images of a size (height, width) that the network cannot take."""
        check_sides("An image of --slicing.size", size)


class Vessels(GANSystem):
    """A U-Net from photographs [B,H,W,3] to one logit per pixel.

    Args:
        config: settings.
        vessel: number of the class of vessels in the label.
        total_steps: updates in all, for the decay of the learning rate.
    """

    def __init__(self, config: VesselConfig, vessel: int, total_steps: int):
        self.config = config
        self.vessel = vessel
        options = {"outputs": 1, "output_activation": "logits"}
        networks = {"G_v": config.build_unet(3, "G_v", **options)}
        rate = learning_rate(config.learning_rate, config.decay, total_steps)
        super().__init__(networks, {"G": ["G_v"]}, {"G": rate})

    def train_step(self, batch: Batch) -> Terms:
        """One update on `images` [B,H,W,3] and `label` [B,H,W,1], by the cross-entropy of U-Net."""
        target = tf.cast(batch["label"] == self.vessel, tf.float32)
        with tf.GradientTape() as tape:
            logits = self.networks["G_v"](batch["images"])
            loss = weighted_binary_cross_entropy(logits, target, self.config.vessel_weight)
        return self.descend(tape, {"G": loss})

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `probabilities` [B,H,W,1] of a vessel."""
        return {"probabilities": tf.sigmoid(self.networks["G_v"](batch["images"]))}
