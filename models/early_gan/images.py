"""The image stage of the early paper: one code space for maps and for all modalities (2.4, 2.6).

EC_R maps a structure map with a label into it, EC_M any modality, and DC_M makes any modality of a
code. Networks "EC_R", "M" (EC_M and DC_M), "D_M" and "FD_R".
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Optional

import tensorflow as tf

from losses.adversarial import FAKE, REAL, least_squares, least_squares_accuracy
from losses.classification import class_index_regression
from losses.consistency import pairwise_consistency
from losses.reconstruction import masked_energy, mean_absolute_error, mean_squared_error
from losses.structure import soft_edges
from models.early_gan.config import EarlyGANConfig
from models.early_gan.networks import CodeEncoder, MRICodeDiscriminator
from models.lesions import NUM_CLASSES, Segmentation, lesion_terms
from models.networks.adversarial import adversarial_terms, validity_terms
from models.networks.modalities import (
    NUM_MODALITIES,
    SOURCE,
    from_rows,
    modality_index,
    to_channels,
    to_rows,
    translate_to_others,
)
from models.networks.unet import UNetSpec
from models.system import Batch, GANSystem, Terms
from utils.seeding import normal, uniform

M = NUM_MODALITIES
OTHERS = M - 1
HARD = 1e-7  # softness of a threshold that is one but for rounding
PAIRS = M * OTHERS  # translations of a sample


class Translated(NamedTuple):
    """Images that were translated into others.

    Attributes:
        codes: of the sources, [B*4,h,w,8n].
        targets: modality of each translation, [B*4*k] int32, k targets of a source in a row.
        images: the translations, [B*4*k,H,W,1].
    """

    codes: tf.Tensor
    targets: tf.Tensor
    images: tf.Tensor


class EarlyGAN(GANSystem):
    """Generation, and translation of real images, trained together.

    Args:
        config: settings.
        lesions: trained lesion nets; None: no lesion term.
        joint: train the lesion nets on, on real slices alone; otherwise they stay as they are.
    """

    monitored = ("accuracy/D_M",)

    def __init__(
        self,
        config: EarlyGANConfig,
        lesions: Optional[Segmentation] = None,
        joint: bool = False,
    ):
        self.config, self.lesions, self.joint = config, lesions, joint
        self.targets = OTHERS if config.all_targets else 1  # of each source
        spec = UNetSpec(config.width, initializer=config.initializer, activation=config.activation)
        wide, stddev = replace(spec, width=config.discriminator_width), config.discriminator_stddev
        networks = {
            "EC_R": CodeEncoder(spec, NUM_CLASSES, "EC_R"),
            "M": config.build_unet(1, "M", conditions=M, skips=False),
            "D_M": config.build_discriminator(config.discriminator_width, 2, "D_M"),
            "FD_R": MRICodeDiscriminator(wide, config.width, stddev, "FD_R"),
        }
        groups = {"G": ["EC_R", "M"], "D": ["D_M", "FD_R"]}
        rates = {"G": config.learning_rate, "D": config.discriminator_learning_rate}
        if joint:
            networks.update(lesions.networks)
            groups["L"], rates["L"] = list(lesions.networks), lesions.config.learning_rate
        super().__init__(networks, groups, rates)

    def train_step(self, batch: Batch) -> Terms:
        """One simultaneous update of all networks.

        Besides `seed` the batch holds `unpaired_images` [B,H,W,4] and, for generation,
        `random_structure`, `random_outside` and `random_label` [B,H,W,1]; joint lesion nets learn
        from `images` with `label`.
        """
        x, samples = to_rows(batch["unpaired_images"]), tf.shape(batch["seed"])[0]
        with tf.GradientTape(persistent=True) as tape:
            # 1. A map with its label becomes a code, and four images of it.
            code_g = self.code_of_map(batch)
            x_g = self.decode(code_g, modality_index(samples))  # [B*4,H,W,1]
            # 2. Real images and those of the map are translated into others.
            made, real = self.translate(x_g, batch["seed"]), self.translate(x, batch["seed"])
            # 3. D_M on real images, images of maps, and translations; FD_R on both kinds of codes.
            terms_g, terms_d, accuracy = self._adversarial(x, x_g, real, code_g)
            # 4. Reconstruction, translation and cycles of real images.
            terms_g.update(self._real_terms(x, real))
            # 5. Map, label and translations hold the four images of the map together.
            terms_g.update(self._made_terms(batch, x_g, made, code_g))
            losses = {"G": tf.add_n(list(terms_g.values())), "D": tf.add_n(list(terms_d.values()))}
            # 6. Lesion nets on real slices, if they learn on.
            terms_l = self._lesion_nets_terms(batch) if self.joint else {}
            if terms_l:
                losses["L"] = tf.add_n(list(terms_l.values()))
        # 7. All networks at once, from one forward pass.
        return {**self.descend(tape, losses), **terms_g, **terms_d, **terms_l, **accuracy}

    def _lesion_nets_terms(self, batch: Batch) -> Terms:
        """The lesion nets' own terms, on real slices with their label.

        Unless they have weights of their own, these are those of G's lesion term.
        """
        weights = self.lesions.config.class_weights or self.config.guide_weights(joint=True)
        data = batch["images"], batch["label"], weights
        found = lesion_terms(self.lesions, *data)
        return {f"L/{name[2:]}": term for name, term in found.items()}

    def code_of_map(self, batch: Batch, prefix: str = "random_") -> tf.Tensor:
        """Returns EC_R's code of 0.8 map (or noise) + 0.2 one-hot label, [B,h,w,8n]."""
        structure = batch[prefix + "structure"]
        if self.config.noise_map:
            structure = normal(batch["seed"], "map", tuple(structure.shape[1:]))
        one_hot = tf.one_hot(batch[prefix + "label"][..., 0], NUM_CLASSES)
        return self.networks["EC_R"](0.8 * structure + 0.2 * one_hot)

    def decode(self, codes: tf.Tensor, modalities: tf.Tensor) -> tf.Tensor:
        """Returns DC_M's images [B*k,H,W,1] of codes [B,h,w,8n], k modalities of each in a row."""
        return self.networks["M"].decode((codes, {}), tf.one_hot(modalities, M))

    def encode(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns EC_M's codes [R,h,w,8n] of images [R,H,W,1]."""
        return self.networks["M"].encode(rows)[0]

    def translate(self, rows: tf.Tensor, seeds: tf.Tensor) -> Translated:
        """Translates rows [B*4,H,W,1] into all three others, or one that the first seed draws."""
        codes, source = self.encode(rows), modality_index(tf.shape(rows)[0] // M)
        if self.config.all_targets:
            shifts = tf.range(1, M)
            # In ascending order of the targets, as `TRANSLATIONS` has them.
            targets = tf.sort((source[:, None] + shifts) % M, axis=1)
        else:
            drawn = uniform(seeds[:1], "shift", (), 0.0, float(OTHERS))[0]
            shift = 1 + tf.minimum(tf.cast(drawn, tf.int32), OTHERS - 1)
            targets = ((source + shift) % M)[:, None]
        targets = tf.reshape(targets, [-1])
        return Translated(codes, targets, self.decode(codes, targets))

    def translations(self, images: tf.Tensor) -> tf.Tensor:
        """Maps images [B,H,W,4] to all translations [B,12,H,W,1], ordered as `TRANSLATIONS`."""
        return from_rows(translate_to_others(self.networks["M"], to_rows(images)), PAIRS)

    def journeys(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns images [B,H,W,4] rebuilt, translated, and translated back to where they were.

        The latter two are [B,12,H,W,1], ordered as `TRANSLATIONS`.
        """
        rows, samples = to_rows(images), tf.shape(images)[0]
        rebuilt = self.decode(self.encode(rows), modality_index(samples))
        there = self.translations(images)
        flat = tf.reshape(there, [-1, *rows.shape[1:]])
        back = self.decode(self.encode(flat), modality_index(samples, SOURCE))
        return to_channels(rebuilt), there, from_rows(back, PAIRS)

    def _adversarial(
        self, x: tf.Tensor, x_g: tf.Tensor, real: Translated, code_g: tf.Tensor
    ) -> tuple[Terms, Terms, Terms]:
        """Returns G's terms, D's terms, and D_M's accuracy."""
        c, D, FD = self.config, self.networks["D_M"], self.networks["FD_R"]
        scores, fakes, assisted = D(x), D(x_g), D(real.images)
        samples, order = tf.shape(x)[0] // M, tuple(range(M))
        terms_d, terms_g = adversarial_terms(scores, fakes, samples, order, c.adversarial)
        w, valid = c.real, assisted[0]
        terms_d["D/translated"] = w.validity * PAIRS * least_squares(valid, FAKE)
        terms_g["G/translated"] = w.validity * PAIRS * least_squares(valid, REAL)
        found = class_index_regression(assisted[1], real.targets)
        terms_g["G/translated_modality"] = w.modality * PAIRS * found
        code_d, code_terms = validity_terms(FD(real.codes), FD(code_g), M, 1, c.code)
        terms_d.update({f"D/code_{name[2:]}": term for name, term in code_d.items()})
        terms_g["G/code_adversarial"] = code_terms["G/adversarial"]
        if not c.one_sided:
            fooled = least_squares(FD(real.codes), FAKE)
            terms_g["G/code_of_images"] = c.code.real * M * fooled
        return terms_g, terms_d, {"accuracy/D_M": least_squares_accuracy(scores[0], fakes[0])}

    def _real_terms(self, x: tf.Tensor, real: Translated) -> Terms:
        """Sums over the images of a sample, their translations, and pairs of these."""
        w, k, black = self.config.real, self.targets, tf.cast(x <= 0.0, tf.float32)
        rebuilt = self.decode(real.codes, modality_index(tf.shape(x)[0] // M))
        codes_t = self.encode(real.images)
        source = tf.repeat(modality_index(tf.shape(x)[0] // M), k)
        cycles = self.decode(codes_t, source)  # [B*4*k,H,W,1]
        x_k, codes_k, black_k = (tf.repeat(rows, k, axis=0) for rows in (x, real.codes, black))
        terms = {
            "G/reconstruction": w.reconstruction * M * mean_squared_error(rebuilt, x),
            "G/cycle": w.cycle * PAIRS * mean_squared_error(cycles, x_k),
            "G/code": w.code * PAIRS * _mean_squares(codes_t, codes_k),
            "G/range_rebuilt": self.config.range.rebuilt * M * masked_energy(rebuilt, black),
            "G/range_translated": self.config.range.translated
            * PAIRS
            * masked_energy(real.images, black_k),
        }
        if self.config.all_targets:
            terms["G/consistency"] = w.consistency * M * pairwise_consistency(from_rows(cycles, k))
            pairs = pairwise_consistency(from_rows(tf.cast(codes_t, tf.float32), k))
            terms["G/code_pairs"] = w.code_pairs * M * pairs
        return terms

    def _made_terms(
        self, batch: Batch, x_g: tf.Tensor, made: Translated, code_g: tf.Tensor
    ) -> Terms:
        """Terms of the four images of a map x_g [B*4,H,W,1]."""
        c, w, k = self.config, self.config.made, self.targets
        translated = from_rows(made.images, M * k)  # [B,4k,H,W,1]
        targets = from_rows(made.targets, M * k)
        wanted = tf.gather(from_rows(x_g, M), targets, axis=1, batch_dims=1)
        codes = from_rows(tf.cast(made.codes, tf.float32), M)
        outside = batch["random_outside"]
        four, many = (tf.repeat(outside, count, axis=0) for count in (M, M * k))
        terms = {
            "G/registration": w.translation * PAIRS * mean_squared_error(wanted, translated),
            "G/made_code": w.code
            * M
            * mean_squared_error(codes, tf.cast(code_g, tf.float32)[:, None]),
            "G/made_code_pairs": w.code_pairs * pairwise_consistency(codes),
            "G/range_made": c.range.made
            * (M * masked_energy(x_g, four) + PAIRS * masked_energy(made.images, many)),
            **self._edge_terms(batch, x_g),
        }
        if c.all_targets:
            order = tf.argsort(targets[0], stable=True)  # three translations to each target
            by_target = tf.reshape(tf.gather(translated, order, axis=1), [-1, M, k, *x_g.shape[1:]])
            pairs = [pairwise_consistency(part) for part in tf.unstack(by_target, axis=1)]
            terms["G/registration_pairs"] = w.translation_pairs * tf.add_n(pairs)
        if self.lesions is not None and w.lesion:
            weights = c.guide_weights(self.joint)
            data = to_channels(x_g), batch["random_label"], weights
            found = lesion_terms(self.lesions, *data)
            terms["G/lesion"] = w.lesion * tf.add_n(list(found.values()))
        return terms

    def _edge_terms(self, batch: Batch, x_g: tf.Tensor) -> Terms:
        """The edges of each image are the map's, outside of the label, and each other's."""
        c, healthy = self.config, tf.cast(batch["random_label"] == 0, tf.float32)
        if c.live_terms:
            found = soft_edges(x_g, c.edge_threshold)
        else:
            found = tf.stop_gradient(soft_edges(x_g, c.edge_threshold, softness=HARD))
        edges = from_rows(found, M) * healthy[:, None]
        structure = (batch["random_structure"] * healthy)[:, None]
        return {
            "G/edges": c.made.edges * M * mean_squared_error(edges, structure),
            "G/edge_pairs": c.made.edge_pairs * pairwise_consistency(edges),
        }

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,H,W,4] for the batch's random maps and labels."""
        return {"images": self.images_of_maps(batch)}

    def images_of_maps(self, batch: Batch, prefix: str = "random_") -> tf.Tensor:
        """Returns the four images [B,H,W,4] of each map with its label."""
        codes = self.code_of_map(batch, prefix)
        return to_channels(self.decode(codes, modality_index(tf.shape(codes)[0])))

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns generated slices [B,H,W,4] and those of the batch, of other maps and labels."""
        return outputs["images"], batch["images"]


class Pretraining(EarlyGAN):
    """EC_R, EC_M and DC_M on registered slices, which few minutes need; not in the paper.

    Args:
        config: settings.
    """

    def __init__(self, config: EarlyGANConfig):
        super().__init__(replace(config, learning_rate=config.pretraining.learning_rate))

    def train_step(self, batch: Batch) -> Terms:
        """One update on registered `images` with their `structure`, `outside` and `label`."""
        w, k = self.config.pretraining, self.targets
        x, samples = to_rows(batch["images"]), tf.shape(batch["seed"])[0]
        with tf.GradientTape(persistent=True) as tape:
            # 1. The slice's map and label become its four images, and these one another.
            code_g = self.code_of_map(batch, prefix="")
            x_g = self.decode(code_g, modality_index(samples))
            real = self.translate(x, batch["seed"])
            # 2. D_M and FD_R learn beside, so that G draws texture instead of its mean.
            terms_g, terms_d, accuracy = self._adversarial(x, x_g, real, code_g)
            terms_g = {name: w.adversarial * term for name, term in terms_g.items()}
            # 3. Errors to the slice itself.
            targets = from_rows(real.targets, M * k)
            wanted = tf.gather(from_rows(x, M), targets, axis=1, batch_dims=1)
            translated = from_rows(real.images, M * k)
            codes = tf.repeat(code_g, M, axis=0)
            four, many = (tf.repeat(batch["outside"], count, axis=0) for count in (M, M * k))
            terms_g["G/made"] = w.made * M * mean_absolute_error(x_g, x)
            terms_g["G/translation"] = (
                w.translation * PAIRS * mean_absolute_error(translated, wanted)
            )
            terms_g["G/code"] = w.code * M * _mean_squares(codes, real.codes)
            terms_g["G/outside"] = w.outside * (
                M * masked_energy(x_g, four) + PAIRS * masked_energy(real.images, many)
            )
            losses = {"G": tf.add_n(list(terms_g.values())), "D": tf.add_n(list(terms_d.values()))}
        return {**self.descend(tape, losses), **terms_g, **terms_d, **accuracy}

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,H,W,4] of the batch's own maps and labels."""
        return {"images": self.images_of_maps(batch, prefix="")}


def _mean_squares(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Returns the mean squared difference of codes, in float32."""
    return mean_squared_error(tf.cast(a, tf.float32), tf.cast(b, tf.float32))
