"""System "structure": random structure maps and their masks (thesis 4.2.2, eq. 6-11, Fig. 7)."""

from __future__ import annotations

import tensorflow as tf

from losses import adversarial, latent, reconstruction
from losses.structure import line_sparsity
from models.networks.discriminator import Discriminator
from models.networks.unet import UNetSpec, build_unet
from models.structure_gan.config import StructureConfig
from models.structure_gan.map_networks import CodeDiscriminator, CodePrior, MapDecoder, MapEncoder
from models.system import Batch, GANSystem, Terms
from utils.images import resize_nearest_tf1
from utils.seeding import dropout, normal

PRIOR_DECAY = 0.998  # averages over some 500 steps, a whole pass over a small data set
LINE = 1  # channel of the structure maps, and "outside" channel of the masks


def two_channels(binary: tf.Tensor) -> tf.Tensor:
    """Returns a 0/1 map [B,H,W,1] as its one-hot channels [B,H,W,2]."""
    return tf.concat([1.0 - binary, binary], axis=-1)


def to_binary(probabilities: tf.Tensor) -> tf.Tensor:
    """Returns the arg-max of two channels [B,H,W,2] as a 0/1 map [B,H,W,1]."""
    return tf.cast(probabilities[..., 1:] > probabilities[..., :1], tf.float32)


class StructureGAN(GANSystem):
    """VAE-GAN E_s, G_s, D_z, D_s and the mask generator G_m, trained together.

    D_s knows the soft maps of G_s from one-hot ones sooner or later: its accuracy is not watched.
    """

    def __init__(self, config: StructureConfig):
        self.config = config
        size, width = config.map_size, config.width
        networks = {
            "E_s": MapEncoder(width, config.latent_size, config.halvings),
            "G_s": MapDecoder(
                width, config.latent_size, size, config.halvings, config.constant_stddev
            ),
            "G_m": build_unet(
                UNetSpec(width // 2, outputs=2, initializer=config.initializer), 2, "G_m"
            ),
            "D_z": CodeDiscriminator(width, config.latent_size),
            "D_s": Discriminator(width, 1, 2, "D_s", config.discriminator),
        }
        if config.prior == "fitted":
            networks["code_prior"] = CodePrior(config.latent_size, PRIOR_DECAY)
        networks["E_s"](tf.zeros([1, *size, 1]))
        networks["G_s"](tf.zeros([1, config.latent_size]))
        networks["D_z"](tf.zeros([1, config.latent_size]))
        groups = {"G": ["E_s", "G_s", "G_m"], "D": ["D_z", "D_s"]}
        rates = {"G": config.learning_rate, "D": config.discriminator_learning_rate}
        if config.separate_mask_optimizer:
            groups["G"].remove("G_m")
            groups["M"], rates["M"] = ["G_m"], config.learning_rate
        super().__init__(networks, groups, rates)

    def reconstruct(self, batch: Batch, training: bool) -> dict[str, tf.Tensor]:
        """Encodes and decodes the extracted maps; `s`, `code`, `s_r` and the code's moments."""
        config, seeds = self.config, batch["seed"]
        s = resize_nearest_tf1(batch["structure"], config.map_size)
        lines = s * 0.1 + 0.9  # the encoder sees lines as 1.0 on 0.9
        keep = config.keep_encoder if training or config.dropout_at_generation else 1.0
        mean, log_variance = self.networks["E_s"](dropout(lines, keep, seeds, "E_s"))
        shape = (config.latent_size,)
        code = mean + tf.exp(0.5 * log_variance) * normal(seeds, "code", shape)
        s_r = self.networks["G_s"](code)
        return {"s": s, "code": code, "mean": mean, "log_variance": log_variance, "s_r": s_r}

    def train_step(self, batch: Batch) -> Terms:
        """One simultaneous update of {E_s, G_s, G_m} (or {E_s, G_s} and {G_m}) and {D_z, D_s}.

        The batch holds `structure` and `outside` [B,H,W,1] of real slices and `seed` [B,2].
        """
        config, seeds = self.config, batch["seed"]
        m = two_channels(resize_nearest_tf1(batch["outside"], config.map_size))
        z = normal(seeds, "z", (config.latent_size,))
        with tf.GradientTape(persistent=True) as tape:
            real = self.reconstruct(batch, training=True)
            s = two_channels(real["s"])
            s_g = self.networks["G_s"](z)
            # One pass of G_m and D_s over real and random maps; instance norm is per sample.
            maps = tf.concat([s, s_g], axis=0)
            masks = self.networks["G_m"](dropout_twice(maps, config.keep_mask, seeds, "G_m"))
            m_r, m_g = tf.split(masks, 2)
            kept = dropout_twice(maps, config.keep_discriminator, seeds, "D_s")
            real_map, fake_map = tf.split(self.networks["D_s"](kept), 2)
            codes = self.networks["D_z"](tf.concat([z, real["code"]], axis=0))
            real_code, fake_code = tf.split(codes, 2)
            terms_g = {
                **self._latent_terms(real, fake_code),
                **self._map_terms(s, real["s_r"], s_g, fake_map, m, m_r, m_g),
            }
            terms_d = self._discriminator_terms(real_code, fake_code, real_map, fake_map)
            terms = {"G": terms_g, "D": terms_d}
            if config.separate_mask_optimizer:
                terms["M"] = {"M/mask": terms_g.pop("G/mask")}
            losses = {group: tf.add_n(list(named.values())) for group, named in terms.items()}
        report = self.descend(tape, losses)
        report["accuracy/D_z"] = adversarial.least_squares_accuracy(real_code, fake_code)
        report["accuracy/D_s"] = adversarial.least_squares_accuracy(real_map, fake_map)
        if "code_prior" in self.networks:
            norms = [report[f"gradient_norm/{group}"] for group in losses]
            sound = tf.reduce_all(tf.math.is_finite(norms))
            self.networks["code_prior"].update(real["code"], sound)
        for named in terms.values():
            report.update(named)
        return report

    def _discriminator_terms(self, real_code, fake_code, real_map, fake_map) -> Terms:
        w = self.config.weights
        loss = adversarial.least_squares
        return {
            "D/code_real": w.code_discriminator * loss(real_code, adversarial.REAL),  # eq. 8
            "D/code_fake": w.code_discriminator * loss(fake_code, adversarial.FAKE),
            "D/map_real": w.map_discriminator * loss(real_map, adversarial.REAL),  # eq. 10
            "D/map_fake": w.map_discriminator * loss(fake_map, adversarial.FAKE),
        }

    def _latent_terms(self, real: dict[str, tf.Tensor], fake_code: tf.Tensor) -> Terms:
        w = self.config.weights
        mean_moment, spread_moment = latent.moment_matching(real["mean"], real["log_variance"])
        adversarial_code = adversarial.least_squares(fake_code, adversarial.REAL)
        terms = {
            "G/code_adversarial": w.code_adversarial * adversarial_code,  # eq. 9
            "G/code_moments": w.moments * (mean_moment + spread_moment),
        }
        if w.kl:
            kl = latent.kl_divergence(real["mean"], real["log_variance"])
            terms["G/code_kl"] = w.kl * kl
        return terms

    def _map_terms(self, s, s_r, s_g, fake_map, m, m_r, m_g) -> Terms:
        w = self.config.weights
        first = {"line": LINE, "both": 0}[self.config.outside_channels]
        outside, outside_g = m[..., first:], m_g[..., first:]
        outside_lines = reconstruction.masked_energy(s_r[..., first:], outside)
        outside_lines += reconstruction.masked_energy(s_g[..., first:], outside_g)
        squared = reconstruction.mean_squared_error(s, s_r)
        absolute = reconstruction.mean_absolute_error(s, s_r)
        sparsity = line_sparsity(s_r) + line_sparsity(s_g)
        adversarial_map = adversarial.least_squares(fake_map, adversarial.REAL)
        return {
            "G/map_adversarial": w.map_adversarial * adversarial_map,  # eq. 11
            "G/map_squared_error": w.reconstruction_squared * squared,  # eq. 7
            "G/map_absolute_error": w.reconstruction_absolute * absolute,
            "G/line_sparsity": w.line_sparsity * sparsity,
            "G/lines_outside": w.lines_outside * outside_lines,  # eq. 7, 11
            "G/mask": w.mask * reconstruction.mean_squared_error(m, m_r),  # eq. 6
        }

    def random_maps(self, seeds: tf.Tensor, size: tuple) -> dict[str, tf.Tensor]:
        """Decodes random codes, one per row of seeds [B,2], to 0/1 maps and masks [B,*size,1].

        `score` [B] is the mean of D_s' patch scores, towards 1 for maps that look extracted.
        """
        config = self.config
        keep_mask, keep_score = 1.0, 1.0
        if config.dropout_at_generation:
            keep_mask, keep_score = config.keep_mask, config.keep_discriminator
        z = normal(seeds, "z", (config.latent_size,))
        if "code_prior" in self.networks:
            z = self.networks["code_prior"](z)
        s_g = self.networks["G_s"](z)
        m_g = self.networks["G_m"](dropout(s_g, keep_mask, seeds, "G_m"))
        scores = self.networks["D_s"](dropout(s_g, keep_score, seeds, "D_s"))
        return {
            "structure": resize_nearest_tf1(to_binary(s_g), size),
            "outside": resize_nearest_tf1(to_binary(m_g), size),
            "score": tf.reduce_mean(scores, axis=[1, 2, 3]),
        }

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `random_maps` of the batch's size, and `reconstructed` extracted maps."""
        size = tuple(batch["structure"].shape[1:3])
        real = self.reconstruct(batch, training=False)
        decoded = resize_nearest_tf1(to_binary(real["s_r"]), size)
        return {**self.random_maps(batch["seed"], size), "reconstructed": decoded}


def dropout_twice(
    stacked: tf.Tensor, keep_probability: float, seeds: tf.Tensor, name: str
) -> tf.Tensor:
    """Returns dropout of two stacked batches [2B,...] with independent draws for each half."""
    first, second = tf.split(stacked, 2)
    return tf.concat(
        [
            dropout(first, keep_probability, seeds, f"{name}/first"),
            dropout(second, keep_probability, seeds, f"{name}/second"),
        ],
        axis=0,
    )
