"""System "gan": pix2pix, MGAN, TC-MGAN and TC-MGAN-bw, from T2 to three modalities (paper 2)."""

from __future__ import annotations

import math
from typing import Optional

import tensorflow as tf

from losses.adversarial import critic_accuracy, critic_score_sum, gradient_penalty_of_sum
from losses.classification import sigmoid_cross_entropy_sum
from losses.reconstruction import absolute_error_sum
from losses.segmentation import soft_dice_per_sample
from models.networks.pix2pix import TableUNet
from models.system import Batch, GANSystem, LearningRate, Terms
from models.tc_mgan.config import NO_LABEL_WEIGHTS, VARIANTS, TCMGANConfig
from models.tc_mgan.modalities import (
    NUM_TARGETS,
    TARGET_CHANNELS,
    TARGETS,
    Pair,
    draw_targets,
    one_hot,
    pair_of,
    same_target,
    source_of,
)
from models.tc_mgan.networks import Critic, build_generator, build_segmenter
from models.tc_mgan.segmenter import Segmenter
from utils.errors import UserError
from utils.images import to_unit
from utils.seeding import uniform


def learning_rate(config: TCMGANConfig, total_steps: int) -> LearningRate:
    """Returns the rate of update k = 0, 1, ..: it falls with the first k >= share * total_steps."""
    if not config.decay_shares:
        return config.learning_rate
    # Rounded: 0.6 * total must not pass a whole number by an error of the last digit.
    first = [math.ceil(round(share * total_steps, 6)) for share in config.decay_shares]
    factors = (1.0, *config.decay_factors)
    # A boundary is the last update with the old rate.
    return tf.keras.optimizers.schedules.PiecewiseConstantDecay(
        [k - 1 for k in first], [config.learning_rate * factor for factor in factors]
    )


def _copied(segmenter: Segmenter) -> TableUNet:
    """A network S with the segmenter's weights, which are trained further."""
    S = build_segmenter(segmenter.config.width, 1, NUM_TARGETS, "S")
    S.set_weights(segmenter.networks["S"].get_weights())
    return S


class TCMGAN(GANSystem):
    """G and D are updated in turns, once each per batch; in tc_mgan_bw S follows.

    The networks are "G" and "D"; in pix2pix a pair for each target, "G_Flair", "D_Flair" and so on,
    each trained on every batch; in tc_mgan_bw also "S", a copy of the segmenter's, whose batch norm
    takes each replica's statistics alone. With S fixed, or without S, nothing depends on how a
    batch is split.

    Args:
        config: settings, the variant among them.
        segmenter: trained with "labelled_target" inputs; never updated here. None is enough for the
            variants without tumour term.
        total_steps: updates in all, for the decay of the learning rate.
    """

    def __init__(self, config: TCMGANConfig, segmenter: Optional[Segmenter], total_steps: int):
        self.config = config
        self.variant = VARIANTS[config.variant]
        self.labels = NUM_TARGETS * self.variant.conditional
        # Name of each model behind G and D, with its target; None: the modality code says.
        self.models: dict[str, Optional[int]] = {"": None}
        if not self.variant.conditional:
            self.models = {f"_{name}": index for index, name in enumerate(TARGETS)}
        networks: dict[str, tf.keras.Model] = {}
        for model in self.models:
            g, d, sizes = f"G{model}", f"D{model}", (config.image_size, self.labels)
            networks[g] = build_generator(config.width, *sizes, g)
            networks[d] = Critic(config.critic_width, *sizes, d)
        if self.variant.tumour and segmenter is None:
            raise UserError(
                f"--gan.variant is {config.variant}, which needs a trained segmenter; train the "
                "segmenter first or give mgan"
            )
        self.S = segmenter.networks["S"] if self.variant.tumour else None
        if self.variant.trains_segmenter:
            self.S = networks["S"] = _copied(segmenter)
        rates = dict.fromkeys(networks, learning_rate(config, total_steps))
        super().__init__(networks, {name: [name] for name in networks}, rates, config.beta_1)

    def train_step(self, batch: Batch) -> Terms:
        """One update of every network on `images` [B,H,W,4], `label` [B,H,W,1] and `seed` [B,2]."""
        report = {}
        for model, target in self.models.items():
            seeds = batch["seed"]
            # 1. A target c of each sample: random (2.2), or the model's own in pix2pix (2.1).
            index = draw_targets(seeds) if target is None else same_target(target, seeds)
            pair = pair_of(batch, index)
            # 2. D (eq. 6), then G against the new D (eq. 7), each on a forward pass of its own.
            report.update(self._critic_step(model, pair, seeds))
            report.update(self._generator_step(model, pair))
            # 3. In bw S is updated too, on images of the new G (3.1).
            if self.variant.trains_segmenter:
                report.update(self._segmenter_step(model, pair))
        return report

    def _generate(self, model: str, x: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        """G(x, c), or G(x) in pix2pix: [B,H,W,1] in [-1,1]."""
        return self.networks[f"G{model}"](x, c if self.labels else None)

    def _critic_step(self, model: str, pair: Pair, seeds: tf.Tensor) -> Terms:
        """Eq. 6.

        L_D = -D(y) + D(G(x, c)) + modality classification loss of y + gradient penalty.
        """
        w, D, d = self.config.weights, self.networks[f"D{model}"], f"D{model}"
        x, y, c, *_ = pair
        fake = self._generate(model, x, c)
        share = uniform(seeds, f"interpolation{model}", (1, 1, 1))
        with tf.GradientTape() as tape:
            # One forward pass for real and generated images; nothing in D mixes samples.
            judged = D(tf.concat([y, fake], axis=0), tf.concat([x, x], axis=0))
            real_score, fake_score = tf.split(judged["score"], 2)
            penalty = gradient_penalty_of_sum(lambda image: D(image, x)["score"], y, fake, share)
            terms = {
                f"{d}/real": -critic_score_sum(real_score),
                f"{d}/fake": critic_score_sum(fake_score),
                f"{d}/penalty": w.penalty * penalty,
            }
            if self.labels:
                real_class, _ = tf.split(judged["modality"], 2)
                terms[f"{d}/modality"] = w.modality * sigmoid_cross_entropy_sum(real_class, c)
            loss = tf.add_n(list(terms.values()))
        accuracy = {f"accuracy/{d}": critic_accuracy(real_score, fake_score)}
        return {**self.descend(tape, {d: loss}), **terms, **accuracy}

    def _generator_step(self, model: str, pair: Pair) -> Terms:
        """Eq. 7.

        L_G = -D(G(x, c)) + modality classification loss of G(x, c) + l1 + tumour consistency.
        """
        w, g = self.config.weights, f"G{model}"
        x, y, c, tumour, _ = pair
        with tf.GradientTape() as tape:
            fake = self._generate(model, x, c)
            judged = self.networks[f"D{model}"](fake, x)
            terms = {
                f"{g}/adversarial": -critic_score_sum(judged["score"]),
                f"{g}/l1": w.l1 * absolute_error_sum(fake, y, self._pixel_weights(pair.label)),
            }
            if self.labels:
                terms[f"{g}/modality"] = w.modality * sigmoid_cross_entropy_sum(
                    judged["modality"], c
                )
            if self.variant.tumour:
                found = self.S(fake, c, training=self.variant.trains_segmenter)
                terms[f"{g}/tumour"] = w.tumour * soft_dice_per_sample(found, tumour)  # eq. 4
            loss = tf.add_n(list(terms.values()))
        return {**self.descend(tape, {g: loss}), **terms}

    def _pixel_weights(self, label: tf.Tensor) -> Optional[tf.Tensor]:
        """The factor of each pixel's absolute error [B,H,W,1]; None = 1 everywhere."""
        weights = self.config.weights.l1_labels
        return None if weights == NO_LABEL_WEIGHTS else tf.gather(tf.constant(weights), label)

    def _segmenter_step(self, model: str, pair: Pair) -> Terms:
        """L_S of the released code: soft Dice on real and on generated images of the updated G."""
        w = self.config.weights
        x, y, c, tumour, _ = pair
        fake = self._generate(model, x, c)
        with tf.GradientTape() as tape:
            # Two forward passes: batch norm sees real and generated images apart.
            terms = {
                f"S/{name}": weight * soft_dice_per_sample(self.S(image, c, training=True), tumour)
                for name, image, weight in (
                    ("fake", fake, w.segmenter_fake),
                    ("real", y, w.segmenter_real),
                )
            }
            loss = tf.add_n(list(terms.values()))
        return {**self.descend(tape, {"S": loss}), **terms}

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,H,W,3] in [0,1], the targets in the order of `TARGETS`.

        Of the batch only T2 in `images` [B,H,W,4] is read.
        """
        x, models, fakes = source_of(batch["images"]), list(self.models), []
        for index in range(NUM_TARGETS):
            c = one_hot(same_target(index, x))
            fakes.append(self._generate(models[index % len(models)], x, c))
        return {"images": to_unit(tf.concat(fakes, axis=-1))}

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns translated slices and the batch's slices of these modalities, [B,H,W,3] each."""
        return outputs["images"], tf.gather(batch["images"], TARGET_CHANNELS, axis=-1)
