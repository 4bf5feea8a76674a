"""Systems "pretraining" and "synthesis": map and label to images (thesis 4.3-4.6).

Of BRATS G makes four modalities of a slice one by one, told which; of the other data sets one image
with all its channels. `Content` says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import tensorflow as tf

from losses.adversarial import least_squares_accuracy
from losses.reconstruction import ERRORS, masked_energy, masked_squared_error
from models.networks.adversarial import adversarial_terms, validity_terms
from models.networks.discriminator import Discriminator
from models.networks.modalities import modality_index, to_channels, to_rows
from models.networks.unet import UNet
from models.structure_gan.config import BRATS, Content, GeneratorConfig
from models.structure_gan.guidance import Guide, Made
from models.system import Batch, GANSystem, Terms
from utils.seeding import normal, uniform


def fuse_noise(structure: tf.Tensor, outside: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Returns s' = s + noise * (1 - m) * (1 - s), all [B,H,W,K] (thesis eq. 12).

    0 outside the organ, 1 on lines, the noise (0.5..0.6) elsewhere.
    """
    return structure + noise * (1.0 - outside) * (1.0 - structure)


def build_generator(config: GeneratorConfig, content: Content = BRATS) -> UNet:
    """Returns G, from what `generator_input` gives to one image; of BRATS it reads 6 channels."""
    with_label = content.maps + content.classes * _reads_label(config, content)
    channels = {"concat": with_label, "weighted": content.classes, "noise": 1}[config.fusion]
    conditions = content.modalities if content.modalities > 1 else 0
    if _told_class(config, content):
        conditions = content.classes
    return config.build_unet(channels, "G", outputs=content.channels, conditions=conditions)


def _told_class(config: GeneratorConfig, content: Content) -> bool:
    """Returns whether G's norms are told the class, in the place of maps in its input.

    Maps that are constant over the image are subtracted by the instance norm behind the first
    convolution: the class could act at the image's borders only.
    """
    by_norm = config.condition == "conditional_instance_norm"
    return config.label_input and content.of_image and by_norm


def _reads_label(config: GeneratorConfig, content: Content) -> bool:
    """Returns whether G's input has maps of the label's classes."""
    return config.label_input and content.classes > 0 and not _told_class(config, content)


def build_discriminator(config: GeneratorConfig, content: Content = BRATS) -> Discriminator:
    """Returns D, which scores images' validity and, if there are several, their modality."""
    heads = 2 if content.modalities > 1 else 1
    return config.build_discriminator(config.discriminator_width, heads, "D", content.channels)


def versus(
    network: Discriminator,
    real_rows: tf.Tensor,
    rows: tf.Tensor,
    config: GeneratorConfig,
    content: Content = BRATS,
) -> tuple[Terms, Terms, Terms]:
    """Returns D's terms, G's terms (eq. 13-14) and D's accuracy on rows, see `to_rows`."""
    real, fake = network(real_rows), network(rows)
    if content.modalities > 1:
        samples, order = tf.shape(rows)[0] // content.modalities, tuple(range(content.modalities))
        terms = adversarial_terms(real, fake, samples, order, config.adversarial)
        real, fake = real[0], fake[0]
    else:
        terms = validity_terms(real, fake, 1, 1, config.adversarial)
    return (*terms, {"accuracy/D": least_squares_accuracy(real, fake)})


def generator_input(
    config: GeneratorConfig,
    structure: tf.Tensor,
    outside: tf.Tensor,
    label: Optional[tf.Tensor],
    seeds: tf.Tensor,
    content: Content = BRATS,
) -> tf.Tensor:
    """Returns what G reads, from maps [B,H,W,K] and label [B,H,W,1]: a row per sample or modality.

    concat: [s', scale * one-hot + offset] as [B,H,W,K+classes], s' alone where G does not read the
    label. For Table 1 also weighted: 0.8 s' + 0.2 one-hot as [B,H,W,classes]; noise: N(0,1) as
    [B*modalities,H,W,1], sample by sample.
    """
    if config.fusion == "noise":
        return to_rows(normal(seeds, "input", (*structure.shape[1:3], content.modalities)))
    low, high = config.noise
    noise = uniform(seeds, "fusion", tuple(structure.shape[1:]), low, high)
    fused = fuse_noise(structure, outside, noise)
    if not _reads_label(config, content):
        return fused
    one_hot = tf.one_hot(label[..., 0], content.classes)
    if config.fusion == "weighted":
        return 0.8 * fused + 0.2 * one_hot
    return tf.concat([fused, config.label_scale * one_hot + config.label_offset], axis=-1)


def generate(
    network: UNet,
    config: GeneratorConfig,
    batch: Batch,
    prefix: str = "",
    content: Content = BRATS,
) -> tf.Tensor:
    """Returns x_g [B,H,W,M] in (0,1); one encoder pass a sample.

    Args:
        network: G.
        config: its settings.
        batch: `seed` [B,2], and under the prefix maps [B,H,W,K] and, if there is one, the label
            [B,H,W,1].
        prefix: "random_" for generated maps.
        content: what G makes.
    """
    structure, label = batch[prefix + "structure"], batch.get(prefix + "label")
    maps = structure, batch[prefix + "outside"], label
    codes = network.encode(generator_input(config, *maps, batch["seed"], content))
    condition = None
    if content.modalities > 1:
        condition = tf.one_hot(modality_index(tf.shape(structure)[0]), content.modalities)
    elif _told_class(config, content):
        condition = tf.one_hot(label[:, 0, 0, 0], content.classes)
    return to_channels(network.decode(codes, condition), content.modalities)


def reconstruction_terms(
    batch: Batch, generated: tf.Tensor, config: GeneratorConfig, content: Content = BRATS
) -> Terms:
    """Returns eq. 18's two terms on images [B,H,W,M], summed over the modalities."""
    w, images, outside = config.pretraining, batch["images"], batch["outside"]
    inside = ERRORS[w.error](generated, images)
    background = masked_squared_error(generated, images, outside)
    return {
        "G/reconstruction": w.reconstruction * content.modalities * inside,
        "G/reconstruction_outside": w.outside * content.modalities * background,
    }


class Pretraining(GANSystem):
    """G learns to rebuild real slices from their extracted maps and labels (eq. 18).

    With `config.pretraining.adversarial` D learns beside it to tell the rebuilt slices from real
    ones, so that G draws the texture that no map determines instead of its mean.
    """

    def __init__(self, config: GeneratorConfig, content: Content = BRATS):
        self.config = config
        self.content = content
        networks = {"G": build_generator(config, content)}
        rates = {"G": config.pretraining.learning_rate}
        if config.pretraining.adversarial:
            networks["D"] = build_discriminator(config, content)
            rates["D"] = config.discriminator_learning_rate
            self.monitored = ("accuracy/D",)
        super().__init__(networks, {name: [name] for name in networks}, rates)

    def train_step(self, batch: Batch) -> Terms:
        """One update on registered `images`, `label`, `structure`, `outside` of real slices."""
        config, content, report = self.config, self.content, {}
        with tf.GradientTape(persistent=True) as tape:
            # 1. Noise fusion (eq. 12), and G makes the modalities of every slice.
            generated = self.synthesize(batch)["images"]
            # 2. Their errors, and those outside of the organ once more (eq. 18).
            terms = reconstruction_terms(batch, generated, config, content)
            losses = {"G": tf.add_n(list(terms.values()))}
            # 3. D against G on real and rebuilt slices; off in the thesis.
            if "D" in self.networks:
                factor, count = config.pretraining.adversarial, content.modalities
                rows = to_rows(batch["images"], count), to_rows(generated, count)
                found = versus(self.networks["D"], *rows, config, content)
                terms_d, terms_g, report = found
                terms_g = {name: factor * term for name, term in terms_g.items()}
                losses = {
                    "G": losses["G"] + tf.add_n(list(terms_g.values())),
                    "D": tf.add_n(list(terms_d.values())),
                }
                terms = {**terms, **terms_g, **terms_d}
        return {**self.descend(tape, losses), **terms, **report}

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,H,W,M] for the batch's maps and labels."""
        images = generate(self.networks["G"], self.config, batch, content=self.content)
        return {"images": images}

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns G's slices [B,H,W,M] and those of the batch, which it rebuilds."""
        return outputs["images"], batch["images"]


class Synthesis(GANSystem):
    """G against D, guided by frozen systems (eq. 13-17).

    Args:
        config: settings.
        guides: what judges G beside D; never updated here.
        content: what G makes.
    """

    monitored = ("accuracy/D",)

    def __init__(
        self, config: GeneratorConfig, guides: Sequence[Guide] = (), content: Content = BRATS
    ):
        self.config = config
        self.guides = guides
        self.content = content
        networks = {
            "G": build_generator(config, content),
            "D": build_discriminator(config, content),
        }
        rates = {"G": config.learning_rate, "D": config.discriminator_learning_rate}
        super().__init__(networks, {"G": ["G"], "D": ["D"]}, rates)

    def train_step(self, batch: Batch) -> Terms:
        """One simultaneous update of G and D.

        Besides a real slice's keys the batch holds `unpaired_images` [B,H,W,M] for D, and for G
        `random_structure` and `random_outside` [B,H,W,K] and the labels with the prefix `random_`.
        """
        count, labels = self.content.modalities, random_labels(batch)
        with tf.GradientTape(persistent=True) as tape:
            # 1. Images x_g of random maps and labels, after noise fusion (eq. 12).
            x_g = self.synthesize(batch)["images"]  # [B,H,W,M]
            # 2. D against G on real and generated slices (eq. 13-14).
            rows, real_rows = to_rows(x_g, count), to_rows(batch["unpaired_images"], count)
            found = versus(self.networks["D"], real_rows, rows, self.config, self.content)
            terms_d, terms_g, accuracy = found
            # 3. What the frozen guides say, such as G_l on the lesion (eq. 15) and G_t (eq. 16).
            for guide in self.guides:
                terms_g.update(guide(Made(x_g, rows), labels))
            # 4. Terms that the thesis leaves off.
            terms_g.update(self._outside_term(x_g, batch["random_outside"]))
            terms_g.update(self._kept_reconstruction(batch))
            losses = {"G": tf.add_n(list(terms_g.values())), "D": tf.add_n(list(terms_d.values()))}
        # 5. Both networks at once, from one forward pass.
        return {**self.descend(tape, losses), **terms_g, **terms_d, **accuracy}

    def _outside_term(self, x_g: tf.Tensor, outside: tf.Tensor) -> Terms:
        """Squared intensity outside of the random map's organ (the paper's code)."""
        if not self.config.outside:
            return {}
        energy = masked_energy(x_g, outside)
        return {"G/outside": self.config.outside * self.content.modalities * energy}

    def _kept_reconstruction(self, batch: Batch) -> Terms:
        """Eq. 18 on the extracted maps, as in the pre-training."""
        if not self.config.reconstruction:
            return {}
        rebuilt = generate(self.networks["G"], self.config, batch, content=self.content)
        terms = reconstruction_terms(batch, rebuilt, self.config, self.content)
        return {name: self.config.reconstruction * term for name, term in terms.items()}

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,H,W,M] for the batch's random maps and labels."""
        return {
            "images": generate(self.networks["G"], self.config, batch, "random_", self.content),
        }

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns G's slices [B,H,W,M] and those of the batch, of other maps and labels."""
        return outputs["images"], batch["images"]


def random_labels(batch: Batch) -> Batch:
    """Returns what is random in a batch and no map, by the keys without `random_`."""
    prefix, maps = "random_", ("random_structure", "random_outside")
    return {k[len(prefix) :]: v for k, v in batch.items() if k.startswith(prefix) and k not in maps}
