"""System "structure": random structure maps and their masks (thesis 4.2.2, eq. 6-11, Fig. 7)."""

from __future__ import annotations

from typing import Optional

import tensorflow as tf

from losses import adversarial, latent, reconstruction
from losses.structure import line_sparsity
from models.networks.discriminator import Discriminator
from models.networks.maps import CodeDiscriminator, to_binary, two_channels
from models.networks.unet import UNetSpec, build_unet
from models.structure_gan.map_networks import CodePrior, MapDecoder, MapEncoder
from models.structure_gan.structure_config import StructureConfig
from models.system import Batch, GANSystem, Terms
from utils.images import resize_nearest_tf1
from utils.seeding import dropout, normal

PRIOR_DECAY = 0.998  # averages over some 500 steps, a whole pass over a small data set


class StructureGAN(GANSystem):
    """VAE-GAN E_s, G_s, D_z, D_s and the mask generator G_m, trained together.

    D_s knows the soft maps of G_s from one-hot ones sooner or later: its accuracy is not monitored.

    Args:
        config: settings.
        maps: number K of structure maps and of masks that a slice has.
    """

    def __init__(self, config: StructureConfig, maps: int = 1):
        self.config = config
        self.maps = maps
        size, width = config.map_size, config.width
        fine = config.fine_code
        networks = {
            "E_s": MapEncoder(width, config.latent_size, config.halvings, fine),
            "G_s": MapDecoder(
                width, config.latent_size, size, config.halvings, config.constant_stddev, fine, maps
            ),
            "G_m": build_unet(
                UNetSpec(width // 2, outputs=2 * maps, initializer=config.initializer),
                2 * maps,
                "G_m",
            ),
            "D_z": CodeDiscriminator(width, config.latent_size),
            "D_s": Discriminator(width, 1, 2 * maps, "D_s", config.discriminator),
        }
        if config.prior == "fitted":
            networks["code_prior"] = CodePrior(config.code_size, PRIOR_DECAY)
        networks["E_s"](tf.zeros([1, *size, maps]))
        networks["G_s"](tf.zeros([1, config.code_size]))
        networks["D_z"](tf.zeros([1, config.latent_size]))
        groups = {"G": ["E_s", "G_s", "G_m"], "D": ["D_z", "D_s"]}
        rates = {"G": config.learning_rate, "D": config.discriminator_learning_rate}
        if config.separate_mask_optimizer:
            groups["G"].remove("G_m")
            groups["M"], rates["M"] = ["G_m"], config.learning_rate
        super().__init__(networks, groups, rates)

    def encode(self, batch: Batch, training: bool) -> dict[str, tf.Tensor]:
        """Encodes the extracted maps: `s` [B,H,W,K], `code` and its moments [B,code_size]."""
        config, seeds = self.config, batch["seed"]
        s = resize_nearest_tf1(batch["structure"], config.map_size)
        lines = s * 0.1 + 0.9  # the encoder sees lines as 1.0 on 0.9
        keep = config.keep_encoder if training or config.dropout_at_generation else 1.0
        mean, log_variance = self.networks["E_s"](dropout(lines, keep, seeds, "E_s"))
        code = mean + tf.exp(0.5 * log_variance) * normal(seeds, "code", (config.code_size,))
        return {"s": s, "code": code, "mean": mean, "log_variance": log_variance}

    def outputs(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Calls the networks on extracted and random maps: `encode`, and what the losses compare.

        s_r, s_g and m_r, m_g [B,H,W,2K] are rebuilt and random maps and their masks; scores of D_s
        and D_z are `real_map`, `fake_map`, `real_code` and `fake_code`.
        """
        config, seeds = self.config, batch["seed"]
        G_s, G_m, D_s, D_z = (self.networks[name] for name in ("G_s", "G_m", "D_s", "D_z"))
        z = normal(seeds, "z", (config.code_size,))
        real = self.encode(batch, training=True)
        s, s_g = two_channels(real["s"]), G_s(z)
        return {
            **real,
            "s_r": G_s(real["code"]),
            "s_g": s_g,
            "m_r": G_m(dropout(s, config.keep_mask, seeds, "G_m/first")),
            "m_g": G_m(dropout(s_g, config.keep_mask, seeds, "G_m/second")),
            "real_map": D_s(dropout(s, config.keep_discriminator, seeds, "D_s/first")),
            "fake_map": D_s(dropout(s_g, config.keep_discriminator, seeds, "D_s/second")),
            "real_code": D_z(z[:, : config.latent_size]),
            "fake_code": D_z(real["code"][:, : config.latent_size]),
        }

    def terms(self, batch: Batch, outputs: dict[str, tf.Tensor]) -> dict[str, Terms]:
        """Returns the loss terms of each optimiser's group.

        Args:
            batch: with `outside` [B,H,W,K].
            outputs: see `outputs`.
        """
        m = two_channels(resize_nearest_tf1(batch["outside"], self.config.map_size))
        terms_g = {**self._latent_terms(outputs), **self._map_terms(m, outputs)}
        terms = {"G": terms_g, "D": self._discriminator_terms(outputs)}
        if self.config.separate_mask_optimizer:
            terms["M"] = {"M/mask": terms_g.pop("G/mask")}
        return terms

    def train_step(self, batch: Batch) -> Terms:
        """One simultaneous update of {E_s, G_s, G_m} (or {E_s, G_s} and {G_m}) and {D_z, D_s}.

        The batch holds `structure` and `outside` [B,H,W,K] of real slices and `seed` [B,2].
        """
        with tf.GradientTape(persistent=True) as tape:
            # 1. Maps: rebuilt s_r = G_s(E_s(s)), random s_g = G_s(z); masks m_r, m_g; all scores.
            outputs = self.outputs(batch)
            # 2. Losses of {E_s, G_s, G_m} (eq. 6, 7, 9, 11) and of {D_z, D_s} (eq. 8, 10).
            terms = self.terms(batch, outputs)
            losses = {group: tf.add_n(list(named.values())) for group, named in terms.items()}
        # 3. All groups at once, from one forward pass.
        report = self.descend(tape, losses)
        accuracy = adversarial.least_squares_accuracy
        report["accuracy/D_z"] = accuracy(outputs["real_code"], outputs["fake_code"])
        report["accuracy/D_s"] = accuracy(outputs["real_map"], outputs["fake_map"])
        # 4. The prior of random codes, if it is fitted, unless the update was left out.
        if "code_prior" in self.networks:
            norms = [report[f"gradient_norm/{group}"] for group in losses]
            sound = tf.reduce_all(tf.math.is_finite(norms))
            self.networks["code_prior"].update(outputs["code"], sound)
        for named in terms.values():
            report.update(named)
        return report

    def _discriminator_terms(self, outputs: dict[str, tf.Tensor]) -> Terms:
        """Eq. 8 (codes) and 10 (maps)."""
        w = self.config.weights
        loss = adversarial.least_squares
        return {
            "D/code_real": w.code_discriminator * loss(outputs["real_code"], adversarial.REAL),
            "D/code_fake": w.code_discriminator * loss(outputs["fake_code"], adversarial.FAKE),
            "D/map_real": w.map_discriminator * loss(outputs["real_map"], adversarial.REAL),
            "D/map_fake": w.map_discriminator * loss(outputs["fake_map"], adversarial.FAKE),
        }

    def _latent_terms(self, outputs: dict[str, tf.Tensor]) -> Terms:
        """Eq. 9, and what brings the codes to N(0, I)."""
        w = self.config.weights
        size = self.config.latent_size
        moments, fine = (
            (outputs["mean"][:, part], outputs["log_variance"][:, part])
            for part in (slice(size), slice(size, None))
        )
        adversarial_code = adversarial.least_squares(outputs["fake_code"], adversarial.REAL)
        terms = {
            "G/code_adversarial": w.code_adversarial * adversarial_code,
            "G/code_moments": w.moments * tf.add_n(latent.moment_matching(*moments)),
        }
        if w.kl:
            terms["G/code_kl"] = w.kl * latent.kl_divergence(*moments)
        if w.kl_fine:
            terms["G/fine_kl"] = w.kl_fine * latent.kl_divergence(*fine)
        return terms

    def _map_terms(self, m: tf.Tensor, outputs: dict[str, tf.Tensor]) -> Terms:
        """Eq. 6, 7 and 11, and the sparsity of lines."""
        w = self.config.weights
        s = two_channels(outputs["s"])
        s_r, s_g, m_r, m_g = (outputs[name] for name in ("s_r", "s_g", "m_r", "m_g"))
        first = {"line": self.maps, "both": 0}[self.config.outside_channels]
        outside, outside_g = m[..., first:], m_g[..., first:]
        outside_lines = reconstruction.masked_energy(s_r[..., first:], outside)
        outside_lines += reconstruction.masked_energy(s_g[..., first:], outside_g)
        squared = reconstruction.mean_squared_error(s, s_r)
        absolute = reconstruction.mean_absolute_error(s, s_r)
        sparsity = line_sparsity(s_r) + line_sparsity(s_g)
        adversarial_map = adversarial.least_squares(outputs["fake_map"], adversarial.REAL)
        return {
            "G/map_adversarial": w.map_adversarial * adversarial_map,  # eq. 11
            "G/map_squared_error": w.reconstruction_squared * squared,  # eq. 7
            "G/map_absolute_error": w.reconstruction_absolute * absolute,
            "G/line_sparsity": w.line_sparsity * sparsity,
            "G/lines_outside": w.lines_outside * outside_lines,  # eq. 7, 11
            "G/mask": w.mask * reconstruction.mean_squared_error(m, m_r),  # eq. 6
        }

    def random_maps(
        self, seeds: tf.Tensor, size: tuple, root: Optional[tf.Tensor] = None
    ) -> dict[str, tf.Tensor]:
        """Decodes random codes, one per row of seeds [B,2]: `maps_of` N(0, I)."""
        return self.maps_of(normal(seeds, "z", (self.config.code_size,)), seeds, size, root)

    def maps_of(
        self, z: tf.Tensor, seeds: tf.Tensor, size: tuple, root: Optional[tf.Tensor] = None
    ) -> dict[str, tf.Tensor]:
        """Decodes codes [B,code_size] in units of the prior to 0/1 maps and masks [B,*size,K].

        `score` [B] is the mean of D_s' patch scores, towards 1 for maps that look extracted. Seeds
        [B,2] are those of the drop-out. `root` is that of the prior, if it is known, see
        `CodePrior`.
        """
        config = self.config
        keep_mask, keep_score = 1.0, 1.0
        if config.dropout_at_generation:
            keep_mask, keep_score = config.keep_mask, config.keep_discriminator
        if "code_prior" in self.networks:
            z = self.networks["code_prior"](z, root)
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
        s_r = self.networks["G_s"](self.encode(batch, training=False)["code"])
        decoded = resize_nearest_tf1(to_binary(s_r), size)
        return {**self.random_maps(batch["seed"], size), "reconstructed": decoded}

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns random and extracted structure maps [B,H,W,K]."""
        return outputs["structure"], batch["structure"]
