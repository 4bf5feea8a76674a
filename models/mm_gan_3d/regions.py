"""System "regions": a network S that finds the regions of a lesion in volumes (paper 4.3, 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Optional, get_args

import tensorflow as tf

from losses.segmentation import soft_dice_per_sample
from models.mm_gan_3d.networks import build_generator
from models.networks.cascade import build_cascade
from models.networks.context_unet import ContextUNetSpec, build_context_unet
from models.networks.settings import WIDTH, Decay, learning_rate
from models.system import Batch, GANSystem, Terms
from utils.errors import BELOW_ONE, POSITIVE, at_least, between, check_fields, one_of

SMOOTHING = 1e-5  # of the soft Dice, as in Ellis' code
THRESHOLD = 0.5
Network = Literal["generator", "context", "cascade"]


@dataclass(frozen=True)
class RegionsConfig:
    """The network S.

    Args:
        network: generator (made like G; the paper's measure of synthetic volumes), context (a U-Net
            with context modules) or cascade (a network for each region and view).
        width: base width n, channels.
        levels: sizes at which a network with context modules works.
        heads: levels of it that have an output of their own.
        drop: share of the channels that training zeroes in context modules.
        learning_rate: Adam's, per update; the paper has 2e-4 for the network made like G.
        decay: of the learning rate: constant, or cosine, which ends at 0.
    """

    network: Network = "context"
    width: int = 16
    levels: int = 5
    heads: int = 3
    drop: float = 0.3
    learning_rate: float = 5e-4
    decay: Decay = "constant"

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--regions.",
            network=one_of(get_args(Network)),
            width=WIDTH,
            levels=at_least(2),
            heads=between(1, self.levels - 1),
            drop=BELOW_ONE,
            learning_rate=POSITIVE,
            decay=one_of(get_args(Decay)),
        )


class Regions(GANSystem):
    """S learns the regions of a lesion by soft Dice; the generators never see it.

    Args:
        config: settings.
        channels: numbers of the batch's images that S sees.
        regions: the classes of each region.
        total_steps: updates in all, for the decay of the learning rate.
    """

    def __init__(
        self,
        config: RegionsConfig,
        channels: Sequence[int],
        regions: Sequence[Sequence[int]],
        total_steps: int,
    ):
        self.config, self.channels, self.regions = config, tuple(channels), regions
        rate = learning_rate(config.learning_rate, config.decay, total_steps)
        super().__init__({"S": self._network()}, {"S": ["S"]}, {"S": rate})

    def _network(self) -> tf.keras.Model:
        c, outputs = self.config, len(self.regions)
        if c.network == "cascade":
            return build_cascade(c.width, len(self.channels), outputs, "S")
        if c.network == "generator":
            return build_generator(c.width, len(self.channels), "linear", "S", outputs=outputs)
        spec = ContextUNetSpec(c.width, c.levels, c.heads, c.drop, outputs)
        return build_context_unet(spec, len(self.channels), "S")

    def train_step(self, batch: Batch) -> Terms:
        """One update on `images` [B,D,H,W,M] in [0,1], `label` [B,D,H,W,1] and `seed` [B,2]."""
        with tf.GradientTape() as tape:
            masks = self._masks(batch["label"])
            found = self._find(batch["images"], batch["seed"], masks)
            loss = soft_dice_per_sample(found, masks, SMOOTHING)
        return self.descend(tape, {"S": loss})

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `regions` [B,D,H,W,R], int32, 1 where S finds the region in `images`."""
        return {"regions": tf.cast(self._find(batch["images"]) > THRESHOLD, tf.int32)}

    def _find(
        self,
        images: tf.Tensor,
        seeds: Optional[tf.Tensor] = None,
        masks: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """Returns the probabilities [B,D,H,W,R]; `seeds` and true `masks` are given in training."""
        seen, S = 2.0 * tf.gather(images, self.channels, axis=-1) - 1.0, self.networks["S"]
        if self.config.network == "cascade":
            return S(seen, masks)
        if self.config.network == "generator":
            return tf.sigmoid(S(seen))
        # Its deepest level halves sides more often than G does: black voxels fill them up.
        size, step = seen.shape[1:4], 2 ** (self.config.levels - 1)
        seen = tf.pad(seen, [(0, 0), *((0, -side % step) for side in size), (0, 0)], "CONSTANT", -1)
        found = S(seen, seeds, training=seeds is not None)
        return tf.sigmoid(found[:, : size[0], : size[1], : size[2]])

    def _masks(self, label: tf.Tensor) -> tf.Tensor:
        """Returns the regions of a label [B,D,H,W,1] as [B,D,H,W,R], 0 or 1."""
        inside = [tf.reduce_any(label == list(classes), axis=-1) for classes in self.regions]
        return tf.cast(tf.stack(inside, axis=-1), tf.float32)
