"""System "baseline": GAN# and SkrGAN* (thesis Table 3; original code, 2.8)."""

from __future__ import annotations

import tensorflow as tf

from losses.adversarial import FAKE, REAL, least_squares, least_squares_accuracy
from losses.reconstruction import mean_squared_error
from models.baselines.config import BaselineConfig
from models.system import Batch, GANSystem, Terms
from utils.seeding import normal

MODALITIES = "xyzw"  # T1, T2, T1c, Flair in the released code


class Baseline(GANSystem):
    """G_x..G_w against D_x..D_w, one pair per modality; none of them knows of the others."""

    monitored = tuple(f"accuracy/D_{modality}" for modality in MODALITIES)

    def __init__(self, config: BaselineConfig):
        self.config = config
        generators, discriminators = ([f"{net}_{m}" for m in MODALITIES] for net in "GD")
        networks = {name: config.build_unet(1, name) for name in generators}
        for name in discriminators:
            networks[name] = config.build_discriminator(config.discriminator_width, 1, name)
        rates = dict.fromkeys("GD", config.learning_rate)
        super().__init__(networks, {"G": generators, "D": discriminators}, rates)

    def train_step(self, batch: Batch) -> Terms:
        """One simultaneous update on `images` [B,H,W,4] and `structure` [B,H,W,1] of real slices.

        A term is the sum of the four modalities'.
        """
        with tf.GradientTape(persistent=True) as tape:
            # 1. Each G_i makes its modality, of noise (GAN#) or of the inverted map (SkrGAN*).
            generated = self.synthesize(batch)["images"]
            # 2. Each D_i against its G_i (least squares), and the error to the real slice.
            terms_g, terms_d, accuracy = self.terms(batch["images"], generated)
            losses = {"G": tf.add_n(list(terms_g.values())), "D": tf.add_n(list(terms_d.values()))}
        # 3. All networks at once, from one forward pass.
        return {**self.descend(tape, losses), **terms_g, **terms_d, **accuracy}

    def terms(self, images: tf.Tensor, generated: tf.Tensor) -> tuple[Terms, Terms, Terms]:
        """Returns terms of G and D, and accuracies of D, for real and made images [B,H,W,4]."""
        c, scores = self.config, []
        for i, modality in enumerate(MODALITIES):
            pair = tf.concat([images[..., i : i + 1], generated[..., i : i + 1]], axis=0)
            scores.append(tf.split(self.networks[f"D_{modality}"](pair), 2))
        real, fake = (tf.stack(part) for part in zip(*scores))  # means over all equal B and h x w
        count = len(MODALITIES)
        terms_g = {"G/adversarial": c.adversarial * count * least_squares(fake, REAL)}
        if c.reconstruction:
            error = mean_squared_error(generated, images)
            terms_g["G/reconstruction"] = c.reconstruction * count * error
        terms_d = {
            "D/real": c.real * count * least_squares(real, REAL),
            "D/fake": c.fake * count * least_squares(fake, FAKE),
        }
        accuracy = {
            f"accuracy/D_{modality}": least_squares_accuracy(real[i], fake[i])
            for i, modality in enumerate(MODALITIES)
        }
        return terms_g, terms_d, accuracy

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,H,W,4] in (0,1) from `structure` [B,H,W,1] and `seed` [B,2].

        With the input "noise" only the size of the map is used.
        """
        structure, images = batch["structure"], []
        for modality in MODALITIES:
            if self.config.generator_input == "noise":
                shape = tuple(structure.shape[1:])
                fed = normal(batch["seed"], f"noise {modality}", shape)
            else:
                fed = 1.0 - structure
            images.append(self.networks[f"G_{modality}"](fed))
        return {"images": tf.concat(images, axis=-1)}

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the generated slices [B,H,W,4] and the batch's slices."""
        return outputs["images"], batch["images"]
