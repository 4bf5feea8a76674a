"""System "registration": the modality translator G_t (thesis 4.4, eq. 19-21, Fig. 10)."""

from __future__ import annotations

import tensorflow as tf

from losses import adversarial
from losses.classification import class_index_regression
from losses.consistency import pairwise_consistency
from losses.reconstruction import mean_squared_error
from models.structure_gan.config import NUM_MODALITIES, AdversarialWeights, RegistrationConfig
from models.structure_gan.modalities import (
    SOURCE,
    TARGET,
    TRANSLATIONS,
    from_rows,
    modality_index,
    to_rows,
    translate_to_others,
)
from models.system import Batch, GANSystem, Terms


class Registration(GANSystem):
    """Conditional cycle-consistent translator between the four modalities."""

    monitored = ("accuracy/D_t",)

    def __init__(self, config: RegistrationConfig):
        self.config = config
        networks = {
            "G_t": config.build_unet(1, "G_t", conditions=NUM_MODALITIES),
            "D_t": config.build_discriminator(config.width, 2, "D_t"),
        }
        rates = dict.fromkeys("GD", config.learning_rate)
        super().__init__(networks, {"G": ["G_t"], "D": ["D_t"]}, rates)

    def translations(self, images: tf.Tensor) -> tf.Tensor:
        """Maps images [B,H,W,4] to all translations [B,12,H,W,1], ordered as `TRANSLATIONS`."""
        rows = translate_to_others(self.networks["G_t"], to_rows(images))
        return from_rows(rows, len(TRANSLATIONS))

    def train_step(self, batch: Batch) -> Terms:
        """One simultaneous update of G_t and D_t.

        The batch holds `unpaired_images` [B,H,W,4], whose modalities may come from different
        patients; with `config.registered` it is `images` instead.
        """
        config, G_t, D_t = self.config, self.networks["G_t"], self.networks["D_t"]
        images = batch["images" if config.registered else "unpaired_images"]
        x = to_rows(images)  # [B*4,H,W,1]
        samples = tf.shape(images)[0]
        with tf.GradientTape(persistent=True) as tape:
            # 1. Every modality to the three others, and each translation back to its source.
            x_t = translate_to_others(G_t, x)  # [B*12,H,W,1]
            back = tf.one_hot(modality_index(samples, SOURCE), NUM_MODALITIES)
            x_cr = from_rows(G_t.decode(G_t.encode(x_t), back), NUM_MODALITIES - 1)  # [B*4,3,...]
            # 2. D_t against G_t on real slices and translations (eq. 20-21).
            real, fake = D_t(x), D_t(x_t)
            terms_d, terms_g = adversarial_terms(real, fake, samples, TARGET, config.adversarial)
            # 3. Cycles lead back to their slice (eq. 19), and those of one slice agree.
            count = len(TRANSLATIONS)
            cycle = mean_squared_error(x_cr, x[:, None])
            terms_g["G/cycle"] = config.cycle * count * cycle
            consistency = pairwise_consistency(x_cr)
            terms_g["G/consistency"] = config.consistency * NUM_MODALITIES * consistency
            # 4. Supervised error on registered slices; off in the thesis.
            if config.supervised:
                targets = tf.gather(from_rows(x, NUM_MODALITIES), TARGET, axis=1)
                error = mean_squared_error(from_rows(x_t, count), targets)
                terms_g["G/supervised"] = config.supervised * count * error
            losses = {"G": tf.add_n(list(terms_g.values())), "D": tf.add_n(list(terms_d.values()))}
        # 5. Both networks at once, from one forward pass.
        accuracy = {"accuracy/D_t": adversarial.least_squares_accuracy(real[0], fake[0])}
        return {**self.descend(tape, losses), **terms_g, **terms_d, **accuracy}

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `translations` [B,12,H,W,1] of the batch's images."""
        return {"translations": self.translations(batch["images"])}

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the translations [B,H,W,12] and the batch's slices of the same modalities."""
        translations = tf.transpose(outputs["translations"][..., 0], [0, 2, 3, 1])
        return translations, tf.gather(batch["images"], TARGET, axis=-1)


def adversarial_terms(
    real: tuple[tf.Tensor, tf.Tensor],
    fake: tuple[tf.Tensor, tf.Tensor],
    samples: tf.Tensor,
    fake_order: tuple,
    weights: AdversarialWeights,
) -> tuple:
    """Returns (D's terms, G's terms) of a two-headed discriminator (eq. 13-14, 20-21).

    Args:
        real: validity and modality scores of real rows, the four modalities of every sample.
        fake: the same of generated rows.
        samples: number of samples B behind the rows.
        fake_order: modality of each of a sample's generated rows; a term is summed over them.
        weights: weight of one summand.
    """
    (valid_real, class_real), (valid_fake, class_fake) = real, fake
    n_real, n_fake = NUM_MODALITIES, len(fake_order)
    loss, w = adversarial.least_squares, weights
    modality_real = class_index_regression(class_real, modality_index(samples))
    modality_fake = class_index_regression(class_fake, modality_index(samples, fake_order))
    terms_d = {
        "D/real": w.real * n_real * loss(valid_real, adversarial.REAL),
        "D/fake": w.fake * n_fake * loss(valid_fake, adversarial.FAKE),
        "D/modality": w.modality * n_real * modality_real,
    }
    if w.modality_fake:
        terms_d["D/modality_fake"] = w.modality_fake * n_fake * modality_fake
    terms_g = {
        "G/adversarial": w.fake * n_fake * loss(valid_fake, adversarial.REAL),
        "G/modality": w.modality * n_fake * modality_fake,
    }
    return terms_d, terms_g
