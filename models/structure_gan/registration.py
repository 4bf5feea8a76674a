"""System "registration": the modality translator G_t (thesis 4.4, eq. 19-21, Fig. 10)."""

from __future__ import annotations

import tensorflow as tf

from losses import adversarial
from losses.consistency import pairwise_consistency
from losses.reconstruction import ERRORS, mean_squared_error
from models.networks.adversarial import adversarial_terms
from models.networks.modalities import (
    BACK,
    NUM_MODALITIES,
    TARGET,
    TRANSLATIONS,
    from_rows,
    to_rows,
    translate_to_others,
    translation_codes,
)
from models.networks.settings import learning_rate
from models.structure_gan.config import RegistrationConfig
from models.system import Batch, GANSystem, Terms


class Registration(GANSystem):
    """Conditional cycle-consistent translator between the four modalities.

    Args:
        config: settings; without weight of its terms for G_t there is no D_t.
        total_steps: updates in all, for the decay of the learning rate.
    """

    def __init__(self, config: RegistrationConfig, total_steps: int):
        self.config = config
        conditions = {"target": NUM_MODALITIES, "translation": len(TRANSLATIONS)}[config.code]
        networks = {"G_t": config.build_unet(1, "G_t", conditions=conditions)}
        groups = {"G": ["G_t"]}
        if config.adversarial.fake or config.adversarial.modality:
            networks["D_t"] = config.build_discriminator(config.width, 2, "D_t")
            groups["D"] = ["D_t"]
            self.monitored = ("accuracy/D_t",)
        rates = dict.fromkeys(
            groups, learning_rate(config.learning_rate, config.decay, total_steps)
        )
        super().__init__(networks, groups, rates)

    def translations(self, images: tf.Tensor) -> tf.Tensor:
        """Maps images [B,H,W,4] to all translations [B,12,H,W,1], ordered as `TRANSLATIONS`."""
        rows = translate_to_others(self.networks["G_t"], to_rows(images))
        return from_rows(rows, len(TRANSLATIONS))

    def train_step(self, batch: Batch) -> Terms:
        """One simultaneous update of G_t and D_t.

        The batch holds `unpaired_images` [B,H,W,4], whose modalities may come from different
        patients; with `config.registered` it is `images` instead.
        """
        config, G_t = self.config, self.networks["G_t"]
        images = batch["images" if config.registered else "unpaired_images"]
        x = to_rows(images)  # [B*4,H,W,1]
        terms_g, terms_d, accuracy = {}, {}, {}
        with tf.GradientTape(persistent=True) as tape:
            # 1. Every modality to the three others.
            x_t = translate_to_others(G_t, x)  # [B*12,H,W,1]
            # 2. D_t against G_t on real slices and translations (eq. 20-21).
            if "D_t" in self.networks:
                real, fake = self.networks["D_t"](x), self.networks["D_t"](x_t)
                weights, samples = config.adversarial, tf.shape(images)[0]
                terms_d, terms_g = adversarial_terms(real, fake, samples, TARGET, weights)
                accuracy["accuracy/D_t"] = adversarial.least_squares_accuracy(real[0], fake[0])
            # 3. Cycles lead back to their slice (eq. 19), and those of one slice agree.
            terms_g.update(self._cycle_terms(x, x_t))
            # 4. Supervised error on registered slices; off in the thesis.
            terms_g.update(self._supervised_term(x, x_t))
            losses = {
                group: tf.add_n(list(terms.values()))
                for group, terms in (("G", terms_g), ("D", terms_d))
                if terms
            }
        # 5. Both networks at once, from one forward pass.
        return {**self.descend(tape, losses), **terms_g, **terms_d, **accuracy}

    def _cycle_terms(self, x: tf.Tensor, x_t: tf.Tensor) -> Terms:
        """Eq. 19 on rows x [B*4,H,W,1] and x_t [B*12,H,W,1], and the agreement of the cycles."""
        config, G_t = self.config, self.networks["G_t"]
        if not (config.cycle or config.consistency):
            return {}
        back = translation_codes(G_t, tf.shape(x)[0] // NUM_MODALITIES, BACK)
        x_cr = from_rows(G_t.decode(G_t.encode(x_t), back), NUM_MODALITIES - 1)  # [B*4,3,...]
        cycle = mean_squared_error(x_cr, x[:, None])
        return {
            "G/cycle": config.cycle * len(TRANSLATIONS) * cycle,
            "G/consistency": config.consistency * NUM_MODALITIES * pairwise_consistency(x_cr),
        }

    def _supervised_term(self, x: tf.Tensor, x_t: tf.Tensor) -> Terms:
        """Error of x_t [B*12,H,W,1] to the true targets among x [B*4,H,W,1], if it has a weight."""
        config, count = self.config, len(TRANSLATIONS)
        if not config.supervised:
            return {}
        targets = tf.gather(from_rows(x, NUM_MODALITIES), TARGET, axis=1)  # [B,12,H,W,1]
        error = ERRORS[config.error](from_rows(x_t, count), targets)
        return {"G/supervised": config.supervised * count * error}

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `translations` [B,12,H,W,1] of the batch's images."""
        return {"translations": self.translations(batch["images"])}

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the translations [B,H,W,12] and the batch's slices of the same modalities."""
        translations = tf.transpose(outputs["translations"][..., 0], [0, 2, 3, 1])
        return translations, tf.gather(batch["images"], TARGET, axis=-1)
