"""The map stage of the early paper: random maps and their masks (2.3).

Networks EC_F, DC_F, MASK (EC_MASK and DC_MASK), D_F and FD_F.
"""

from __future__ import annotations

from typing import Optional

import tensorflow as tf

from losses.adversarial import FAKE, REAL, least_squares, least_squares_accuracy
from losses.latent import moment_matching
from losses.reconstruction import masked_energy, mean_squared_error
from models.early_gan.config import EarlyMapsConfig
from models.early_gan.map_networks import MapDecoder, MapDiscriminator, MapEncoder
from models.networks.maps import CodeDiscriminator, to_binary, two_channels
from models.networks.unet import UNetSpec, build_unet
from models.system import Batch, GANSystem, Terms
from utils.images import resize_nearest_tf1
from utils.seeding import normal


class EarlyMaps(GANSystem):
    """The VAE of maps against D_F and FD_F, and the mask net, each with an optimiser of its own.

    Args:
        config: settings.
        size: height and width of the maps, pixels.
    """

    monitored = ("accuracy/D_F",)

    def __init__(self, config: EarlyMapsConfig, size: tuple[int, int]):
        self.config, self.size = config, tuple(size)
        width, latent = config.width, config.latent_size
        spec = UNetSpec(width, outputs=2, initializer=config.initializer, skips=False)
        networks = {
            "EC_F": MapEncoder(width, latent, config.initializer),
            "DC_F": MapDecoder(width, size, config.initializer),
            "MASK": build_unet(spec, 1, "MASK"),
            "D_F": MapDiscriminator(width),
            "FD_F": CodeDiscriminator(width, latent, "FD_F"),
        }
        for name in ("EC_F", "D_F"):
            networks[name](tf.zeros([1, *size, 1]))
        for name in ("DC_F", "FD_F"):
            networks[name](tf.zeros([1, latent]))
        groups = {"G": ["EC_F", "DC_F"], "M": ["MASK"], "D": ["D_F", "FD_F"]}
        super().__init__(networks, groups, dict.fromkeys(groups, config.learning_rate))

    def encode(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Encodes the extracted maps: their `code` and its moments, each [B,L]."""
        mean, log_variance = self.networks["EC_F"](batch["structure"])
        noise = normal(batch["seed"], "code", (self.config.latent_size,))
        code = mean + tf.exp(0.5 * log_variance) * noise
        return {"code": code, "mean": mean, "log_variance": log_variance}

    def outputs(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Calls the networks on extracted and random maps.

        `rebuilt` and `random` [B,H,W,2] are DC_F's, `masks` MASK's for the extracted, rebuilt and
        random maps; scores of D_F and FD_F are `real_map`, `fake_map`, `real_code`, `fake_code`.
        """
        DC_F, MASK, D_F, FD_F = (self.networks[k] for k in ("DC_F", "MASK", "D_F", "FD_F"))
        z = normal(batch["seed"], "z", (self.config.latent_size,))
        real = self.encode(batch)
        rebuilt, random = DC_F(real["code"]), DC_F(z)
        return {
            **real,
            "rebuilt": rebuilt,
            "random": random,
            "masks": tuple(map(MASK, (batch["structure"], to_binary(rebuilt), to_binary(random)))),
            "real_map": D_F(batch["structure"]),
            "fake_map": D_F(self._seen(random)),
            "real_code": FD_F(z),
            "fake_code": FD_F(real["code"]),
        }

    def _seen(self, channels: tf.Tensor) -> tf.Tensor:
        """Returns what losses see of two channels: a soft map [B,H,W,1], or the arg-max."""
        if not self.config.live_terms:
            return to_binary(channels)
        none, there = tf.split(channels, 2, axis=-1)
        return there / (none + there + 1e-6)

    def terms(self, batch: Batch, outputs: dict[str, tf.Tensor]) -> dict[str, Terms]:
        """Returns the terms of each optimiser's group (2.3; weights of the code, 7.3)."""
        w, f, mask = self.config.weights, batch["structure"], batch["outside"]
        target = self.config.onehot_target * two_channels(f)
        moments = tf.add_n(moment_matching(outputs["mean"], outputs["log_variance"]))
        terms_g = {
            "G/code_adversarial": w.code * least_squares(outputs["fake_code"], REAL),
            "G/code_moments": w.moments * moments,
            "G/map_adversarial": w.map_adversarial * least_squares(outputs["fake_map"], REAL),
            "G/map": w.map * mean_squared_error(outputs["rebuilt"], target),
            "G/lines_outside": w.outside * masked_energy(self._seen(outputs["rebuilt"]), mask),
        }
        terms_m = {"M/mask": w.mask * mean_squared_error(outputs["masks"][0], two_channels(mask))}
        maps = f, self._seen(outputs["rebuilt"]), self._seen(outputs["random"])
        for name, lines, found in zip(("real", "rebuilt", "random"), maps, outputs["masks"]):
            energy = masked_energy(tf.stop_gradient(lines), self._seen(found))
            terms_m[f"M/lines_outside_{name}"] = w.outside * energy
        terms_d = {
            "D/code_real": w.code * least_squares(outputs["real_code"], REAL),
            "D/code_fake": w.code * least_squares(outputs["fake_code"], FAKE),
            "D/map_real": w.map_discriminator * least_squares(outputs["real_map"], REAL),
            "D/map_fake": w.map_discriminator * least_squares(outputs["fake_map"], FAKE),
        }
        return {"G": terms_g, "M": terms_m, "D": terms_d}

    def train_step(self, batch: Batch) -> Terms:
        """One simultaneous update of all networks.

        The batch holds `structure` and `outside` [B,H,W,1] of real slices and `seed` [B,2].
        """
        with tf.GradientTape(persistent=True) as tape:
            # 1. Rebuilt and random maps, their masks, and all scores.
            outputs = self.outputs(batch)
            # 2. Losses of the VAE, of the mask net, and of both discriminators.
            terms = self.terms(batch, outputs)
            losses = {group: tf.add_n(list(named.values())) for group, named in terms.items()}
        # 3. All groups at once, from one forward pass.
        report = self.descend(tape, losses)
        report["accuracy/D_F"] = least_squares_accuracy(outputs["real_map"], outputs["fake_map"])
        for named in terms.values():
            report.update(named)
        return report

    def random_maps(
        self, seeds: tf.Tensor, size: tuple, root: Optional[tf.Tensor] = None
    ) -> dict[str, tf.Tensor]:
        """Decodes random codes, one per row of seeds [B,2], to 0/1 maps and masks [B,*size,1].

        `score` [B] is the mean of D_F's patch scores. `root` is not needed here.
        """
        channels = self.networks["DC_F"](normal(seeds, "z", (self.config.latent_size,)))
        structure = to_binary(channels)
        outside = to_binary(self.networks["MASK"](structure))
        return {
            "structure": resize_nearest_tf1(structure, size),
            "outside": resize_nearest_tf1(outside, size),
            "score": tf.reduce_mean(self.networks["D_F"](structure), axis=[1, 2, 3]),
        }

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `random_maps` of the batch's size, and `reconstructed` extracted maps."""
        rebuilt = to_binary(self.networks["DC_F"](self.encode(batch)["code"]))
        return {**self.random_maps(batch["seed"], self.size), "reconstructed": rebuilt}

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns random and extracted structure maps [B,H,W,1]."""
        return outputs["structure"], batch["structure"]
