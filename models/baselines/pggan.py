"""System PGGAN: networks that grow from 4x4 pixels, each new size faded in.

Karras et al., "Progressive growing of GANs for improved quality, stability, and variation", 2018,
and the authors' code. How far it has grown, and the moments of its optimisers, are part of the
checkpoint: a run resumes in the middle of a fade.
"""

from __future__ import annotations

import functools

import tensorflow as tf

from losses.adversarial import critic_accuracy, critic_score_sum, gradient_penalty_of_sum
from models.baselines.latent_config import PGGANConfig
from models.baselines.latent_gan import LatentGAN, Size, from_square
from models.baselines.latent_networks import double, halve
from models.baselines.pggan_networks import GrowingCritic, GrowingGenerator
from models.system import STATE, Batch, Terms
from utils.images import to_unit
from utils.seeding import uniform
from utils.training.distribute import assign_all


class Progress(tf.keras.Model):
    """How far the networks have grown, as a part of the checkpoint.

    The sizes follow each other: the first is trained alone, each further one is faded in and then
    trained. A phase is one of these parts.

    Args:
        config: settings.

    Attributes:
        shown: real images that D has seen so far.
        phase: number of the phase of the last update; the optimisers begin anew with each.
    """

    def __init__(self, config: PGGANConfig):
        super().__init__(name="progress")
        self.top = config.doublings
        self.stable, self.fade = config.phases
        self.shown = self.add_weight("shown", [], tf.int64, **STATE)
        self.phase = self.add_weight("phase", [], tf.int32, **STATE)
        self.built = True

    def now(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the level (4 * 2^level pixels), the share of it in the image, and the phase."""
        shown, period = tf.convert_to_tensor(self.shown), self.stable + self.fade
        done = tf.cast(tf.minimum(shown // period, tf.cast(self.top, tf.int64)), tf.int32)
        rest = shown % period
        fading = (rest >= self.stable) & (done < self.top)
        level = tf.minimum(done + tf.cast(fading, tf.int32), self.top)
        share = tf.cast(rest - self.stable, tf.float32) / self.fade
        phase = tf.minimum(2 * done + tf.cast(fading, tf.int32), 2 * self.top)
        return level, tf.where(fading, share, 1.0), phase


class PGGAN(LatentGAN):
    """WGAN-GP's game with one update of the critic for each of G's, on images that grow.

    `networks` has G_mean besides, the moving average of G's weights, which makes the samples.
    """

    monitored = ()

    def __init__(self, config: PGGANConfig, size: Size, channels: int):
        networks = {
            "G": GrowingGenerator(config, channels, "G"),
            "D": GrowingCritic(config, channels),
            "G_mean": GrowingGenerator(config, channels, "G_mean"),
            "progress": Progress(config),
        }
        networks["G_mean"].set_weights(networks["G"].get_weights())
        super().__init__(config, networks, size, config.beta_2)

    def train_step(self, batch: Batch) -> Terms:
        """One update of D and one of G at the size that they have grown to."""
        progress = self.networks["progress"]
        level, share, phase = progress.now()
        # 1. A new phase begins with new moments of both optimisers.
        begins = tf.not_equal(phase, progress.phase)
        state = [v for optimizer in self.optimizers.values() for v in optimizer.variables()]
        assign_all(state, [tf.zeros_like(v) for v in state], due=begins)
        # 2. D on real and generated images of this size, then G against the new D.
        report = {
            **self._critic_step(batch, level, share),
            **self._generator_step(batch, level, share),
        }
        # 3. The moving average, and the progress.
        finite = tf.reduce_all(tf.math.is_finite(list(report.values())))
        now, mean = (self.networks[name].trainable_variables for name in ("G", "G_mean"))
        kept = self.config.mean_decay
        assign_all(mean, [kept * m + (1 - kept) * v for m, v in zip(mean, now)], due=finite)
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        seen = tf.gather([replicas * n for n in self._batch_sizes(batch)], level)
        seen = tf.where(finite, tf.cast(seen, tf.int64), 0)
        progress.shown.assign(progress.shown + seen)
        progress.phase.assign(tf.where(finite, phase, progress.phase))
        return {**report, "progress/level": tf.cast(level, tf.float32), "progress/share": share}

    def _batch_sizes(self, batch: Batch) -> list[int]:
        """Returns how many samples of a batch an update takes at each level."""
        c, given = self.config, batch["seed"].shape[0]
        return [c.batch_size(level, given) for level in range(c.doublings + 1)]

    def _critic_step(self, batch: Batch, level: tf.Tensor, share: tf.Tensor) -> Terms:
        sizes = self._batch_sizes(batch)
        with tf.GradientTape() as tape:
            cases = [
                functools.partial(self._judged, self._part(batch, size), number, share)
                for number, size in enumerate(sizes)
            ]
            found = tf.switch_case(level, cases)
            loss = tf.add_n(found[:4])
        names = ("D/real", "D/fake", "D/penalty", "D/drift", "accuracy/D")
        return {**self.descend(tape, {"D": loss}), **dict(zip(names, found))}

    @staticmethod
    def _part(batch: Batch, size: int) -> Batch:
        return {key: batch[key][:size] for key in ("images", "seed")}

    def _judged(self, batch: Batch, level: int, share: tf.Tensor) -> list[tf.Tensor]:
        """Returns the terms of D's loss at a level, and its accuracy."""
        c, D, seeds = self.config, self.networks["D"], batch["seed"]
        real = shrunk(self.real(batch), c.doublings - level, share)
        fake = tf.stop_gradient(self.networks["G"](self.latent(seeds, "D"), level, share))
        score = [D(images, level, share) for images in (real, fake)]
        mixing = uniform(seeds, "interpolation", (1, 1, 1))
        penalty = gradient_penalty_of_sum(lambda x: D(x, level, share), real, fake, mixing)
        return [
            -critic_score_sum(score[0]),
            critic_score_sum(score[1]),
            c.penalty * penalty,
            c.drift * tf.reduce_mean(tf.square(score[0])),
            critic_accuracy(*score),
        ]

    def _generator_step(self, batch: Batch, level: tf.Tensor, share: tf.Tensor) -> Terms:
        def adversarial(number: int, seeds: tf.Tensor) -> tf.Tensor:
            fake = self.networks["G"](self.latent(seeds, "G"), number, share)
            return -critic_score_sum(self.networks["D"](fake, number, share))

        with tf.GradientTape() as tape:
            cases = [
                functools.partial(adversarial, number, batch["seed"][:size])
                for number, size in enumerate(self._batch_sizes(batch))
            ]
            loss = tf.switch_case(level, cases)
        return {**self.descend(tape, {"G": loss}), "G/adversarial": loss}

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,H,W,M] in [0,1] from `seed` [B,2], as sharp as G has grown."""
        level, share, _ = self.networks["progress"].now()
        z = self.latent(batch["seed"], "sample")

        def full_size(number: int) -> tf.Tensor:
            images = self.networks["G_mean"](z, number, share)
            for _ in range(self.config.doublings - number):
                images = double(images)
            return images

        cases = [functools.partial(full_size, k) for k in range(self.config.doublings + 1)]
        images = tf.ensure_shape(tf.switch_case(level, cases), full_size(0).shape)
        return {"images": from_square(to_unit(images), self.size)}


def shrunk(images: tf.Tensor, halvings: int, share: tf.Tensor) -> tf.Tensor:
    """Returns images [B,S,S,C] at a lower size, blended with their half size as G's are.

    Args:
        images: of the full size.
        halvings: how often they are halved.
        share: of the images at this size; the rest is of half of it, doubled.
    """
    for _ in range(halvings):
        images = halve(images)
    if images.shape[1] == 4:
        return images
    return share * images + (1.0 - share) * double(halve(images))
