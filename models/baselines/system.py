"""System "baseline": GAN# and SkrGAN* (thesis Table 3; original code, 2.8)."""

from __future__ import annotations

import tensorflow as tf

from losses.adversarial import FAKE, REAL, least_squares, least_squares_accuracy
from losses.reconstruction import mean_squared_error
from models.baselines.config import BaselineConfig
from models.system import Batch, GANSystem, Terms
from utils.seeding import normal

LETTERS = "xyzw"  # T1, T2, T1c, Flair in the released code


class Baseline(GANSystem):
    """G_x, G_y.. against D_x, D_y.., one pair per image; none of them knows of the others."""

    def __init__(self, config: BaselineConfig, images: int = 4, channels: int = 1, maps: int = 1):
        """Builds the networks.

        Args:
            config: their settings.
            images: images of a sample that are made one by one, such as modalities; at most 4.
            channels: channels of each of these images.
            maps: structure maps of a sample.
        """
        self.config, self.channels, self.letters = config, channels, LETTERS[:images]
        self.monitored = tuple(f"accuracy/D_{letter}" for letter in self.letters)
        generators, discriminators = ([f"{net}_{x}" for x in self.letters] for net in "GD")
        networks = {name: config.build_unet(maps, name, outputs=channels) for name in generators}
        for name in discriminators:
            width = config.discriminator_width
            networks[name] = config.build_discriminator(width, 1, name, channels)
        rates = dict.fromkeys("GD", config.learning_rate)
        super().__init__(networks, {"G": generators, "D": discriminators}, rates)

    def train_step(self, batch: Batch) -> Terms:
        """One simultaneous update on `images` [B,H,W,M] and `structure` [B,H,W,K] of real slices.

        A term is the sum of those of all images.
        """
        with tf.GradientTape(persistent=True) as tape:
            # 1. Each G_i makes its image, of noise (GAN#) or of the inverted map (SkrGAN*).
            generated = self.synthesize(batch)["images"]
            # 2. Each D_i against its G_i (least squares), and the error to the real slice.
            terms_g, terms_d, accuracy = self.terms(batch["images"], generated)
            losses = {"G": tf.add_n(list(terms_g.values())), "D": tf.add_n(list(terms_d.values()))}
        # 3. All networks at once, from one forward pass.
        return {**self.descend(tape, losses), **terms_g, **terms_d, **accuracy}

    def terms(self, images: tf.Tensor, generated: tf.Tensor) -> tuple[Terms, Terms, Terms]:
        """Returns terms of G and D, and accuracies of D, for real and made images [B,H,W,M]."""
        c, count, scores = self.config, len(self.letters), []
        pairs = tf.split(tf.concat([images, generated], axis=0), count, axis=-1)
        for letter, pair in zip(self.letters, pairs):
            scores.append(tf.split(self.networks[f"D_{letter}"](pair), 2))
        real, fake = (tf.stack(part) for part in zip(*scores))  # means over all equal B and h x w
        terms_g = {"G/adversarial": c.adversarial * count * least_squares(fake, REAL)}
        if c.reconstruction:
            error = mean_squared_error(generated, images)
            terms_g["G/reconstruction"] = c.reconstruction * count * error
        terms_d = {
            "D/real": c.real * count * least_squares(real, REAL),
            "D/fake": c.fake * count * least_squares(fake, FAKE),
        }
        accuracy = {
            f"accuracy/D_{letter}": least_squares_accuracy(real[i], fake[i])
            for i, letter in enumerate(self.letters)
        }
        return terms_g, terms_d, accuracy

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,H,W,M] in (0,1) from `structure` [B,H,W,K] and `seed` [B,2].

        With the input "noise" only the shape of the map is used.
        """
        structure, images = batch["structure"], []
        for letter in self.letters:
            if self.config.generator_input == "noise":
                shape = tuple(structure.shape[1:])
                fed = normal(batch["seed"], f"noise {letter}", shape)
            else:
                fed = 1.0 - structure
            images.append(self.networks[f"G_{letter}"](fed))
        return {"images": tf.concat(images, axis=-1)}

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the generated images [B,H,W,M] and the batch's slices."""
        return outputs["images"], batch["images"]
