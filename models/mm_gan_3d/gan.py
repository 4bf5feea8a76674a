"""System "gan" of MM-GAN: label volumes -> volumes of one modality (the paper's eq. 1 and 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from losses.adversarial import FAKE, REAL, least_squares, least_squares_accuracy
from losses.reconstruction import mean_absolute_error
from models.blocks.spectral import power_iterations
from models.mm_gan_3d.config import MMGANConfig
from models.mm_gan_3d.networks import build_discriminator, build_generator, check_volume_size
from models.mm_gan_3d.pool import ImagePool
from models.mm_gan_3d.slabs import generate_in_slabs
from models.system import Batch, GANSystem, Terms
from utils.training.schedules import constant_then_linear


def with_organ(label: tf.Tensor, volume: tf.Tensor, organ: int) -> tf.Tensor:
    """Returns a label in which the organ outside of the lesion is a class.

    Args:
        label: [B,D,H,W,1], 0 in the organ or its class already.
        volume: [B,D,H,W,1] of a modality; the organ is where it is above 0, so that each modality
            has its own label.
        organ: number of the class.
    """
    inside = (label == 0) & (volume > 0)
    return tf.where(inside, tf.constant(organ, label.dtype), label)


class MMGAN(GANSystem):
    """G and D of one modality, D with an image pool.

    Args:
        config: settings.
        size: of the volumes, D, H and W, voxels; multiples of 8.
        total_steps: updates of the training, over which the learning rates fall.
        classes: of the label, background included.
        organ: number of the class of the organ that lesions lie in.
        channel: of the batch's images, the modality that it makes.
    """

    monitored = ("accuracy/D",)

    def __init__(
        self,
        config: MMGANConfig,
        size: Sequence[int],
        total_steps: int,
        classes: int,
        organ: int,
        channel: int = 0,
    ):
        check_volume_size("A volume", size)
        self.config = c = config
        self.classes, self.organ, self.channel = classes, organ, channel
        networks = {
            "G": build_generator(c.width, classes, c.head, "G", c.gradient_checkpointing),
            "D": build_discriminator(c.discriminator, c.discriminator_width, classes + 1, "D"),
            "pool": ImagePool(c.pool, size, c.pool_probability),
        }
        rates = {
            group: constant_then_linear(rate, total_steps, c.constant_share)
            for group, rate in (("G", c.learning_rate), ("D", c.discriminator_learning_rate))
        }
        super().__init__(networks, {"G": ["G"], "D": ["D"]}, rates, c.beta_1, c.beta_2)

    def train_step(self, batch: Batch) -> Terms:
        """One update of D and one of G, from one forward pass.

        The batch holds `images` [B,D,H,W,M] in [0,1], `label` [B,D,H,W,1] and `seed` [B,2].
        """
        c, volume = self.config, self._volume(batch)
        label, real = with_organ(batch["label"], volume, self.organ), _signed(volume)
        # 1. One step of the power iteration: all passes of this step see the same kernels.
        power_iterations(self.networks["G"], self.networks["D"])
        with tf.GradientTape(persistent=True) as tape:
            # 2. G makes a volume of the label, which D judges with it.
            made = self._make(label)
            judged = self._scores(label, made)
            # 3. D sees a pair of the pool in the place of the new one, or that.
            shown, its_label = self.networks["pool"].exchange(made, label, batch["seed"])
            real_scores, fake_scores = self._scores(label, real), self._scores(its_label, shown)
            terms = self.terms(judged, real_scores, fake_scores)
            if c.reconstruction:
                terms["G/reconstruction"] = c.reconstruction * mean_absolute_error(made, real)
            losses = {
                group: tf.add_n([v for key, v in terms.items() if key.startswith(f"{group}/")])
                for group in ("G", "D")
            }
        report = self.descend(tape, losses)
        accuracy = least_squares_accuracy(real_scores, fake_scores)
        return {**report, **terms, "accuracy/D": accuracy}

    def terms(self, judged: tf.Tensor, real: tf.Tensor, fake: tf.Tensor) -> Terms:
        """Returns eq. 1 and 2 with targets 1 for real, 0 for fake and 1 for G.

        The paper prints D's targets the other way round, with which G would help D.

        Args:
            judged: scores [B,d,h,w,1] of what G made, for G.
            real, fake: those of real volumes and of the pool, for D.
        """
        places = 1.0
        if self.config.reduction == "sum":
            places = float(judged.shape[1:].num_elements())
        return {
            "G/adversarial": 0.5 * places * least_squares(judged, REAL),
            "D/real": 0.5 * places * least_squares(real, REAL),
            "D/fake": 0.5 * places * least_squares(fake, FAKE),
        }

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,D,H,W,1] in [0,1] of `label` [B,D,H,W,1], with the organ as a class.

        0 where the label is 0. Where the batch has `images`, the organ is taken from them.
        """
        label = batch["label"]
        if "images" in batch:
            label = with_organ(label, self._volume(batch), self.organ)
        return {"images": tf.clip_by_value((self._make(label) + 1.0) / 2.0, 0.0, 1.0)}

    def synthesize_in_slabs(self, label: np.ndarray, slices: int) -> np.ndarray:
        """Returns what `synthesize` does, for a volume that does not fit into memory.

        Args:
            label: [D,H,W], with the organ as a class.
            slices: see `generate_in_slabs`.
        """
        made = generate_in_slabs(self.networks["G"], label, self.classes, slices)[..., 0]
        return np.where(label > 0, np.clip((made + 1) / 2, 0, 1), 0)

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the middle slices of the generated and of the real volumes, [B,H,W,1]."""
        middle = batch["images"].shape[1] // 2
        return outputs["images"][:, middle], self._volume(batch)[:, middle]

    def _volume(self, batch: Batch) -> tf.Tensor:
        """Returns the batch's volumes of the modality, [B,D,H,W,1]."""
        return batch["images"][..., self.channel : self.channel + 1]

    def _make(self, label: tf.Tensor) -> tf.Tensor:
        """Returns what G makes of a label, in [-1,1], with the background that the label tells."""
        return tf.where(label > 0, self.networks["G"](self._one_hot(label)), -1.0)

    def _scores(self, label: tf.Tensor, volume: tf.Tensor) -> tf.Tensor:
        return self.networks["D"](tf.concat([self._one_hot(label), volume], axis=-1))

    def _one_hot(self, label: tf.Tensor) -> tf.Tensor:
        """Returns a label [B,D,H,W,1] as [B,D,H,W,classes]."""
        return tf.one_hot(label[..., 0], self.classes)


def _signed(images: tf.Tensor) -> tf.Tensor:
    """Returns volumes of [0,1] in [-1,1], the range of G's tanh."""
    return 2.0 * images - 1.0
