"""Systems of the GANs that make an image of a random vector: DCGAN, ACGAN, WGAN and WGAN-GP.

Images are square, and in [-1,1] inside of the networks. Slices of another shape are shrunk into the
square with black margins, which generated images lose again. All channels of a slice are made at
once; ACGAN makes one modality of a slice that has several.
"""

from __future__ import annotations

import abc

import tensorflow as tf

from losses.adversarial import (
    FAKE,
    REAL,
    binary_cross_entropy,
    critic_accuracy,
    critic_score_sum,
    gradient_penalty_of_sum,
    least_squares_accuracy,
)
from models.baselines.latent_config import (
    ACGANConfig,
    DCGANConfig,
    LatentGANConfig,
    WGANConfig,
    WGANGPConfig,
)
from models.baselines.latent_networks import (
    acgan_networks,
    dcgan_networks,
    wgan_gp_networks,
    wgan_networks,
)
from models.system import STATE, Batch, GANSystem, Terms
from utils.images import to_signed, to_unit
from utils.seeding import normal, uniform
from utils.training.distribute import assign_all

Size = tuple[int, int]  # height, width


def to_square(images: tf.Tensor, side: int) -> tf.Tensor:
    """Shrinks or enlarges [B,H,W,C] in [0,1] into squares [B,side,side,C] with black margins."""
    return tf.clip_by_value(tf.image.resize_with_pad(images, side, side, antialias=True), 0.0, 1.0)


def from_square(images: tf.Tensor, size: Size) -> tf.Tensor:
    """Returns the part of squares [B,S,S,C] that `to_square` has filled, as [B,*size,C]."""
    side = max(size)
    images = tf.image.resize(images, [side, side], antialias=True)
    return tf.clip_by_value(tf.image.resize_with_crop_or_pad(images, *size), 0.0, 1.0)


class LatentGAN(GANSystem):
    """G makes images of a random vector; what all of them have but the training step.

    A batch holds `images` [B,H,W,M] in [0,1] and `seed` [B,2]. D's update and G's see vectors of
    their own.

    Args:
        config: settings.
        networks: G and D, and what else is part of the state.
        size: height and width of the slices, pixels.
        beta_2, rmsprop: see `GANSystem`.
    """

    monitored: tuple[str, ...] = ("accuracy/D",)

    def __init__(
        self,
        config: LatentGANConfig,
        networks: dict[str, tf.keras.Model],
        size: Size,
        beta_2: float = 0.999,
        rmsprop: bool = False,
    ):
        self.config, self.size = config, size
        groups, rates = {"G": ["G"], "D": ["D"]}, dict.fromkeys("GD", config.learning_rate)
        super().__init__(networks, groups, rates, config.beta_1, beta_2, rmsprop)

    def real(self, batch: Batch) -> tf.Tensor:
        """Returns the batch's images as D sees them, [B,S,S,C] in [-1,1]."""
        return to_signed(to_square(batch["images"], self.config.size))

    def generate(self, seeds: tf.Tensor, turn: str) -> tf.Tensor:
        """Returns G's images [B,S,S,C] in [-1,1] of the vectors that `turn` has, in training."""
        return self.networks["G"](self.latent(seeds, turn), training=True)

    def latent(self, seeds: tf.Tensor, turn: str) -> tf.Tensor:
        """Returns the vectors [B,latent] of a turn, a function of the samples' seeds."""
        return normal(seeds, f"latent {turn}", (self.config.latent,))

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,H,W,M] in [0,1] from `seed` [B,2]."""
        images = self.networks["G"](self.latent(batch["seed"], "sample"))
        return {"images": from_square(to_unit(images), self.size)}

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the generated images [B,H,W,M] and the batch's slices."""
        return outputs["images"], batch["images"]


class FixedSizeGAN(LatentGAN):
    """Images have one size all the time: D is updated on every batch, and G after it."""

    def train_step(self, batch: Batch) -> Terms:
        """One update of D on real and generated images, then one of G against the new D."""
        return {**self.critic_step(batch), **self.generator_step(batch)}

    def critic_step(self, batch: Batch) -> Terms:
        """Updates D."""
        real, seeds = self.real(batch), batch["seed"]
        fake = tf.stop_gradient(self.generate(seeds, "D"))
        with tf.GradientTape() as tape:
            terms, accuracy = self.critic_terms(real, fake, batch)
            loss = tf.add_n(list(terms.values()))
        return {**self.descend(tape, {"D": loss}), **terms, "accuracy/D": accuracy}

    def generator_step(self, batch: Batch) -> Terms:
        """Updates G."""
        with tf.GradientTape() as tape:
            terms = self.generator_terms(self.generate(batch["seed"], "G"), batch["seed"])
            loss = tf.add_n(list(terms.values()))
        return {**self.descend(tape, {"G": loss}), **terms}

    @abc.abstractmethod
    def critic_terms(
        self, real: tf.Tensor, fake: tf.Tensor, batch: Batch
    ) -> tuple[Terms, tf.Tensor]:
        """Returns the terms of D's loss for images [B,S,S,C] in [-1,1], and its accuracy."""

    @abc.abstractmethod
    def generator_terms(self, fake: tf.Tensor, seeds: tf.Tensor) -> Terms:
        """Returns the terms of G's loss for images [B,S,S,C] in [-1,1]."""


class DCGAN(FixedSizeGAN):
    """DCGAN: D maximises log D(x) + log(1 - D(G(z))), G maximises log D(G(z))."""

    def __init__(self, config: DCGANConfig, size: Size, channels: int):
        super().__init__(config, dcgan_networks(config, channels), size)

    def critic_terms(
        self, real: tf.Tensor, fake: tf.Tensor, batch: Batch
    ) -> tuple[Terms, tf.Tensor]:
        """Cross-entropies of real and generated images, each with batch norm of its own."""
        D = self.networks["D"]
        scores = [D(images, training=True)[0] for images in (real, fake)]
        terms = {
            "D/real": binary_cross_entropy(scores[0], REAL),
            "D/fake": binary_cross_entropy(scores[1], FAKE),
            "D/decay": self._decay("D"),
        }
        return terms, least_squares_accuracy(*scores, middle=0.0)

    def generator_terms(self, fake: tf.Tensor, seeds: tf.Tensor) -> Terms:
        """Cross-entropy of generated images that are to be taken for real ones."""
        (score,) = self.networks["D"](fake, training=True)
        return {"G/adversarial": binary_cross_entropy(score, REAL), "G/decay": self._decay("G")}

    def latent(self, seeds: tf.Tensor, turn: str) -> tf.Tensor:
        """Returns vectors U(-1,1)."""
        return uniform(seeds, f"latent {turn}", (self.config.latent,), -1.0, 1.0)

    def _decay(self, name: str) -> tf.Tensor:
        """Returns half of the weighted sum of a network's squared weights."""
        squares = [tf.reduce_sum(tf.square(v)) for v in self.variables(name)]
        return 0.5 * self.config.decay * tf.add_n(squares)


class ACGAN(FixedSizeGAN):
    """ACGAN: DCGAN's game, and both networks want D to find the class.

    Args:
        config: settings.
        size: height and width of the slices, pixels.
        channels: of an image.
        classes: number of classes, which the batch's `label` has; 1 = all images are alike; 0 = the
            class is the modality, and an image is one of the `channels` modalities of a slice.
    """

    def __init__(self, config: ACGANConfig, size: Size, channels: int, classes: int = 0):
        self.of_modality = not classes
        self.classes = classes or channels
        channels = 1 if self.of_modality else channels
        super().__init__(config, acgan_networks(config, channels, self.classes), size)

    def critic_terms(
        self, real: tf.Tensor, fake: tf.Tensor, batch: Batch
    ) -> tuple[Terms, tf.Tensor]:
        """Cross-entropies of real and generated images, and of the classes that D finds in both."""
        D, seeds = self.networks["D"], batch["seed"]
        # Other outputs are dropped for each: seeds that differ by a number have other draws.
        passes = enumerate((real, fake))
        score, found = zip(*(D(images, seeds + k, training=True) for k, images in passes))
        drawn = self._drawn(seeds, "D")
        terms = {
            "D/real": binary_cross_entropy(score[0], REAL),
            "D/fake": binary_cross_entropy(score[1], FAKE),
            "D/class_real": self._class_loss(found[0], self._classes_of(batch)),
            "D/class_fake": self._class_loss(found[1], drawn),
        }
        return terms, least_squares_accuracy(*score, middle=0.0)

    def generator_terms(self, fake: tf.Tensor, seeds: tf.Tensor) -> Terms:
        """Cross-entropies of generated images: taken for real ones, and of the class drawn."""
        score, found = self.networks["D"](fake, seeds + 2, training=True)
        return {
            "G/adversarial": binary_cross_entropy(score, REAL),
            "G/class": self._class_loss(found, self._drawn(seeds, "G")),
        }

    def _class_loss(self, logits: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        if self.config.nll_of_softmax:
            true = tf.gather(tf.nn.softmax(logits), classes, batch_dims=1)
            return -tf.reduce_mean(true)
        return tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=logits)
        )

    def real(self, batch: Batch) -> tf.Tensor:
        """Returns the images, or one modality of each slice, as D sees them."""
        images = super().real(batch)
        if not self.of_modality:
            return images
        return tf.gather(images, self._classes_of(batch)[:, None], axis=-1, batch_dims=1)

    def _classes_of(self, batch: Batch) -> tf.Tensor:
        """Returns the class of each real image, [B]; of modalities a random one."""
        if self.of_modality or self.classes == 1:
            return self._drawn(batch["seed"], "real")
        return batch["label"][:, 0, 0, 0]

    def _drawn(self, seeds: tf.Tensor, turn: str) -> tf.Tensor:
        """Returns a random class of each sample, [B] int32."""
        drawn = uniform(seeds, f"class {turn}", (), 0.0, float(self.classes))
        return tf.minimum(tf.cast(drawn, tf.int32), self.classes - 1)

    def latent(self, seeds: tf.Tensor, turn: str) -> tf.Tensor:
        """Returns vectors with the one-hot code of the class drawn behind them."""
        return self._with_class(seeds, turn, self._drawn(seeds, turn))

    def _with_class(self, seeds: tf.Tensor, turn: str, classes: tf.Tensor) -> tf.Tensor:
        return tf.concat([super().latent(seeds, turn), tf.one_hot(classes, self.classes)], axis=-1)

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,H,W,M] in [0,1]: of random classes, or each modality in its turn."""
        if not self.of_modality:
            return super().synthesize(batch)
        seeds, images = batch["seed"], []
        for modality in range(self.classes):
            classes = tf.fill([seeds.shape[0]], modality)
            images.append(self.networks["G"](self._with_class(seeds, "sample", classes)))
        return {"images": from_square(to_unit(tf.concat(images, axis=-1)), self.size)}


class Turns(tf.keras.Model):
    """Whose turn it is, as a part of the checkpoint.

    Attributes:
        since: updates of the critic since G's last.
        made: updates of G.
        shown: G's loss and gradient norm of its last turn, which logs show in between.
    """

    def __init__(self):
        super().__init__(name="turns")
        self.since = self.add_weight("since", [], tf.int32, **STATE)
        self.made = self.add_weight("made", [], tf.int32, **STATE)
        self.shown = self.add_weight("shown", [2], tf.float32, **STATE)
        self.built = True


class WGAN(FixedSizeGAN):
    """WGAN (its Algorithm 1): the critic maximises D(x) - D(G(z)), G maximises D(G(z)).

    The critic's weights are clipped after each of its updates. G is updated when the critic has
    been often enough; every batch is one of the critic's.
    """

    monitored = ()

    def __init__(self, config: WGANConfig, size: Size, channels: int):
        networks = {**wgan_networks(config, channels), "turns": Turns()}
        super().__init__(config, networks, size, rmsprop=True)

    def critic_terms(
        self, real: tf.Tensor, fake: tf.Tensor, batch: Batch
    ) -> tuple[Terms, tf.Tensor]:
        """Means of the scores of real and generated images."""
        D = self.networks["D"]
        scores = [D(images, training=True)[0] for images in (real, fake)]
        terms = {"D/real": -critic_score_sum(scores[0]), "D/fake": critic_score_sum(scores[1])}
        return terms, critic_accuracy(*scores)

    def train_step(self, batch: Batch) -> Terms:
        """One update of the critic, and one of G if it is its turn and the critic's was sound."""
        report = self.critic_step(batch)
        sound = tf.reduce_all(tf.math.is_finite(list(report.values())))
        return {**report, **self.turn(batch["seed"], sound)}

    def critic_step(self, batch: Batch) -> Terms:
        """Updates the critic and clips its weights."""
        report, clip = super().critic_step(batch), self.config.clip
        weights = self.variables("D")
        assign_all(weights, [tf.clip_by_value(v, -clip, clip) for v in weights])
        return report

    def wanted(self, updates: tf.Tensor) -> tf.Tensor:
        """Returns the critic's updates before G's next, given the number of G's so far."""
        c = self.config
        long = updates < c.long_starts
        if c.long_every:
            long |= updates % c.long_every == 0
        return tf.where(long, c.long_steps, c.critic_steps)

    def generator_terms(self, fake: tf.Tensor, seeds: tf.Tensor) -> Terms:
        """Minus the mean of generated images' scores."""
        return {"G/adversarial": -critic_score_sum(self.networks["D"](fake, training=True)[0])}

    def turn(self, seeds: tf.Tensor, sound: tf.Tensor) -> Terms:
        """Updates G if it is its turn; reports its last turn otherwise."""
        turns = self.networks["turns"]
        since, updates = turns.since + 1, tf.convert_to_tensor(turns.made)
        due = sound & (since >= self.wanted(updates))

        def loss() -> tf.Tensor:
            return self.generator_terms(self.generate(seeds, "G"), seeds)["G/adversarial"]

        with tf.GradientTape() as tape:
            # The gradient of the branch that is not taken is not computed either.
            found = tf.cond(due, loss, lambda: tf.constant(0.0))
        report = self.descend(tape, {"G": found}, due)
        shown = tf.where(due, tf.stack([found, report["gradient_norm/G"]]), turns.shown)
        finite = sound & tf.reduce_all(tf.math.is_finite(shown))
        for variable, value in (
            (turns.since, tf.where(due, 0, since)),
            (turns.made, updates + tf.cast(due, tf.int32)),
            (turns.shown, shown),
        ):
            variable.assign(tf.where(finite, value, variable))
        return {"loss/G": shown[0], "gradient_norm/G": shown[1], "G/adversarial": shown[0]}


class WGANGP(WGAN):
    """WGAN-GP (its Algorithm 1): a penalty on the gradient's norm in the place of the clipping."""

    def __init__(self, config: WGANGPConfig, size: Size, channels: int):
        networks = {**wgan_gp_networks(config, channels), "turns": Turns()}
        LatentGAN.__init__(self, config, networks, size, config.beta_2)

    def critic_terms(
        self, real: tf.Tensor, fake: tf.Tensor, batch: Batch
    ) -> tuple[Terms, tf.Tensor]:
        """WGAN's terms, and the penalty between real and generated images."""
        terms, accuracy = super().critic_terms(real, fake, batch)
        share, D = uniform(batch["seed"], "interpolation", (1, 1, 1)), self.networks["D"]
        penalty = gradient_penalty_of_sum(lambda images: D(images)[0], real, fake, share)
        return {**terms, "D/penalty": self.config.penalty * penalty}, accuracy

    def critic_step(self, batch: Batch) -> Terms:
        """Updates the critic."""
        return FixedSizeGAN.critic_step(self, batch)

    def wanted(self, updates: tf.Tensor) -> tf.Tensor:
        """Returns the critic's updates before each of G's."""
        return tf.constant(self.config.critic_steps)
