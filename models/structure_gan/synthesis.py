"""Systems "pretraining" and "synthesis": map and label to four modalities (thesis 4.3-4.6)."""

from __future__ import annotations

import tensorflow as tf

from losses.adversarial import least_squares_accuracy
from losses.consistency import pairwise_consistency
from losses.reconstruction import (
    ERRORS,
    masked_energy,
    masked_squared_error,
    mean_squared_error,
)
from models.networks.discriminator import Discriminator
from models.networks.unet import UNet
from models.structure_gan.config import NUM_CLASSES, NUM_MODALITIES, SynthesisConfig
from models.structure_gan.modalities import (
    BY_TARGET,
    TARGET,
    TRANSLATIONS,
    decode_modalities,
    from_rows,
    modality_index,
    to_channels,
    to_rows,
    translate_to_others,
)
from models.structure_gan.registration import Registration, adversarial_terms
from models.structure_gan.segmentation import Segmentation, lesion_terms
from models.system import Batch, GANSystem, Terms
from utils.seeding import normal, uniform


def fuse_noise(structure: tf.Tensor, outside: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Returns s' = s + noise * (1 - m) * (1 - s), all [B,H,W,1] (thesis eq. 12).

    0 outside the organ, 1 on lines, the noise (0.5..0.6) elsewhere.
    """
    return structure + noise * (1.0 - outside) * (1.0 - structure)


def build_generator(config: SynthesisConfig) -> UNet:
    """Returns G from what `generator_input` gives to one modality; 6 channels by default."""
    with_label = 1 + NUM_CLASSES * config.label_input
    channels = {"concat": with_label, "weighted": NUM_CLASSES, "noise": 1}[config.fusion]
    return config.build_unet(channels, "G", conditions=NUM_MODALITIES)


def build_discriminator(config: SynthesisConfig) -> Discriminator:
    """Returns D, which scores validity and modality of slices [B,H,W,1]."""
    return config.build_discriminator(config.discriminator_width, 2, "D")


def versus(
    network: Discriminator, real_rows: tf.Tensor, rows: tf.Tensor, config: SynthesisConfig
) -> tuple[Terms, Terms, Terms]:
    """Returns D's terms, G's terms (eq. 13-14) and D's accuracy on rows [B*4,H,W,1]."""
    real, fake = network(real_rows), network(rows)
    samples, order = tf.shape(rows)[0] // NUM_MODALITIES, tuple(range(NUM_MODALITIES))
    terms_d, terms_g = adversarial_terms(real, fake, samples, order, config.adversarial)
    return terms_d, terms_g, {"accuracy/D": least_squares_accuracy(real[0], fake[0])}


def generator_input(
    config: SynthesisConfig,
    structure: tf.Tensor,
    outside: tf.Tensor,
    label: tf.Tensor,
    seeds: tf.Tensor,
) -> tf.Tensor:
    """Returns what G reads, from maps and label [B,H,W,1]: one row per sample, or per modality.

    concat: [s', scale * one-hot + offset] as [B,H,W,6], s' alone without label. For Table 1 also
    weighted: 0.8 s' + 0.2 one-hot as [B,H,W,5]; noise: N(0,1) as [B*4,H,W,1], sample by sample.
    """
    if config.fusion == "noise":
        return to_rows(normal(seeds, "input", (*structure.shape[1:3], NUM_MODALITIES)))
    low, high = config.noise
    noise = uniform(seeds, "fusion", tuple(structure.shape[1:]), low, high)
    fused = fuse_noise(structure, outside, noise)
    one_hot = tf.one_hot(label[..., 0], NUM_CLASSES)
    if config.fusion == "weighted":
        return 0.8 * fused + 0.2 * one_hot
    if not config.label_input:
        return fused
    return tf.concat([fused, config.label_scale * one_hot + config.label_offset], axis=-1)


def generate(
    network: UNet,
    config: SynthesisConfig,
    structure: tf.Tensor,
    outside: tf.Tensor,
    label: tf.Tensor,
    seeds: tf.Tensor,
) -> tf.Tensor:
    """Returns x_g [B,H,W,4] in (0,1) from maps and label [B,H,W,1]; one encoder pass a sample."""
    codes = network.encode(generator_input(config, structure, outside, label, seeds))
    if config.fusion == "noise":  # every modality has codes of its own
        condition = tf.one_hot(modality_index(tf.shape(structure)[0]), NUM_MODALITIES)
        return to_channels(network.decode(codes, condition))
    return to_channels(decode_modalities(network, codes))


def reconstruction_terms(
    images: tf.Tensor, generated: tf.Tensor, outside: tf.Tensor, config: SynthesisConfig
) -> Terms:
    """Returns eq. 18's two terms, summed over the four modalities of images [B,H,W,4]."""
    w = config.pretraining
    inside = ERRORS[w.error](generated, images)
    background = masked_squared_error(generated, images, outside)
    return {
        "G/reconstruction": w.reconstruction * NUM_MODALITIES * inside,
        "G/reconstruction_outside": w.outside * NUM_MODALITIES * background,
    }


class Pretraining(GANSystem):
    """G learns to rebuild real slices from their extracted maps and labels (eq. 18).

    With `config.pretraining.adversarial` D learns beside it to tell the rebuilt slices from real
    ones, so that G draws the texture that no map determines instead of its mean.
    """

    def __init__(self, config: SynthesisConfig):
        self.config = config
        networks, rates = {"G": build_generator(config)}, {"G": config.pretraining.learning_rate}
        if config.pretraining.adversarial:
            networks["D"] = build_discriminator(config)
            rates["D"] = config.discriminator_learning_rate
            self.monitored = ("accuracy/D",)
        super().__init__(networks, {name: [name] for name in networks}, rates)

    def train_step(self, batch: Batch) -> Terms:
        """One update on registered `images`, `label`, `structure`, `outside` of real slices."""
        report = {}
        with tf.GradientTape(persistent=True) as tape:
            # 1. Noise fusion (eq. 12), and G makes the four modalities of every slice.
            generated = self.synthesize(batch)["images"]
            # 2. Their errors, and those outside of the organ once more (eq. 18).
            terms = reconstruction_terms(batch["images"], generated, batch["outside"], self.config)
            losses = {"G": tf.add_n(list(terms.values()))}
            # 3. D against G on real and rebuilt slices; off in the thesis.
            if "D" in self.networks:
                factor = self.config.pretraining.adversarial
                rows = to_rows(batch["images"]), to_rows(generated)
                terms_d, terms_g, report = versus(self.networks["D"], *rows, self.config)
                terms_g = {name: factor * term for name, term in terms_g.items()}
                losses = {
                    "G": losses["G"] + tf.add_n(list(terms_g.values())),
                    "D": tf.add_n(list(terms_d.values())),
                }
                terms = {**terms, **terms_g, **terms_d}
        return {**self.descend(tape, losses), **terms, **report}

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,H,W,4] for the batch's maps and labels."""
        maps = (batch["structure"], batch["outside"], batch["label"])
        return {
            "images": generate(self.networks["G"], self.config, *maps, batch["seed"]),
        }

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns G's slices [B,H,W,4] and those of the batch, which it rebuilds."""
        return outputs["images"], batch["images"]


class Synthesis(GANSystem):
    """G against D, guided by the frozen translator and segmenters (eq. 13-17).

    Args:
        config: settings.
        translator: trained system whose G_t is used for registration; never updated here.
        segmenters: trained system whose G_l are used for the lesions; never updated here.
    """

    monitored = ("accuracy/D",)

    def __init__(self, config: SynthesisConfig, translator: Registration, segmenters: Segmentation):
        self.config = config
        self.G_t = translator.networks["G_t"]
        self.segmenters = segmenters
        networks = {
            "G": build_generator(config),
            "D": build_discriminator(config),
        }
        rates = {"G": config.learning_rate, "D": config.discriminator_learning_rate}
        super().__init__(networks, {"G": ["G"], "D": ["D"]}, rates)

    def train_step(self, batch: Batch) -> Terms:
        """One simultaneous update of G and D.

        Besides a real slice's keys the batch holds `unpaired_images` [B,H,W,4] for D and
        `random_structure`, `random_outside`, `random_label` [B,H,W,1] for G.
        """
        with tf.GradientTape(persistent=True) as tape:
            # 1. Four modalities x_g of random maps and labels, after noise fusion (eq. 12).
            x_g = self.synthesize(batch)["images"]  # [B,H,W,4]
            # 2. D against G on real and generated slices (eq. 13-14).
            rows, real_rows = to_rows(x_g), to_rows(batch["unpaired_images"])
            terms_d, terms_g, accuracy = versus(self.networks["D"], real_rows, rows, self.config)
            # 3. What the frozen guides say: G_l finds the lesion (eq. 15), G_t registers (eq. 16).
            terms_g.update(self._registration_terms(rows))
            terms_g.update(self._lesion_term(x_g, batch["random_label"]))
            # 4. Terms that the thesis leaves off.
            terms_g.update(self._outside_term(x_g, batch["random_outside"]))
            terms_g.update(self._kept_reconstruction(batch))
            losses = {"G": tf.add_n(list(terms_g.values())), "D": tf.add_n(list(terms_d.values()))}
        # 5. Both networks at once, from one forward pass.
        return {**self.descend(tape, losses), **terms_g, **terms_d, **accuracy}

    def _registration_terms(self, rows: tf.Tensor) -> Terms:
        """Eq. 16 on rows [B*4,H,W,1], and the agreement of the translations to one target."""
        if not (self.config.registration or self.config.consistency):
            return {}
        count = len(TRANSLATIONS)
        x_gt = from_rows(translate_to_others(self.G_t, rows), count)  # [B,12,H,W,1]
        targets = tf.gather(from_rows(rows, NUM_MODALITIES), TARGET, axis=1)
        consistency = [pairwise_consistency(tf.gather(x_gt, ks, axis=1)) for ks in BY_TARGET]
        return {
            "G/registration": self.config.registration * count * mean_squared_error(targets, x_gt),
            "G/consistency": self.config.consistency * tf.add_n(consistency),
        }

    def _lesion_term(self, x_g: tf.Tensor, label: tf.Tensor) -> Terms:
        """Eq. 15: every G_l finds the given lesion in its generated modality."""
        if not self.config.lesion:
            return {}
        terms = lesion_terms(self.segmenters, x_g, label, self.config.class_weights)
        return {"G/lesion": self.config.lesion * tf.add_n(list(terms.values()))}

    def _outside_term(self, x_g: tf.Tensor, outside: tf.Tensor) -> Terms:
        """Squared intensity outside of the random map's organ (the paper's code)."""
        if not self.config.outside:
            return {}
        energy = masked_energy(x_g, outside)
        return {"G/outside": self.config.outside * NUM_MODALITIES * energy}

    def _kept_reconstruction(self, batch: Batch) -> Terms:
        """Eq. 18 on the extracted maps, as in the pre-training."""
        if not self.config.reconstruction:
            return {}
        maps = (batch["structure"], batch["outside"], batch["label"])
        rebuilt = generate(self.networks["G"], self.config, *maps, batch["seed"])
        terms = reconstruction_terms(batch["images"], rebuilt, batch["outside"], self.config)
        return {name: self.config.reconstruction * term for name, term in terms.items()}

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,H,W,4] for the batch's random maps and labels."""
        maps = (batch["random_structure"], batch["random_outside"], batch["random_label"])
        return {
            "images": generate(self.networks["G"], self.config, *maps, batch["seed"]),
        }

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns G's slices [B,H,W,4] and those of the batch, of other maps and labels."""
        return outputs["images"], batch["images"]
