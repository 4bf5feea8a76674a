"""System "samr": all sequences of a lesion label and an atlas, from one generator."""

from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np
import tensorflow as tf

from losses.adversarial import ADVERSARIAL, FAKE, REAL, least_squares_accuracy
from losses.matching import feature_matching
from losses.reconstruction import mean_absolute_error
from losses.segmentation import soft_dice_per_class
from models.samr.config import SAMRConfig
from models.samr.networks import (
    Generator,
    GeneratorSpec,
    PatchDiscriminator,
    build_segmenter,
    build_unet,
)
from models.samr.regions import (
    REGIONS,
    SCALES,
    plain_views,
    region_masks,
    regional_views,
    with_lesion_union,
)
from models.system import Batch, GANSystem, Terms
from utils.images import to_signed, to_unit
from utils.training.schedules import constant_then_linear

# Discriminators by kind.
NUMBERS = {"label_wise": REGIONS * SCALES, "two_scales": SCALES, "one": 1}
NEIGHBOURS = (-1, 0, 1)  # slices of the atlas that G sees, from below to above


class Inputs(NamedTuple):
    """What a step works on.

    Attributes:
        label: one-hot [B,H,W,L].
        atlas: [B,H,W,3S] in [-1,1]; None without.
        images: [B,H,W,S] in [-1,1], real.
        seeds: [B,2], of the samples.
    """

    label: tf.Tensor
    atlas: Optional[tf.Tensor]
    images: tf.Tensor
    seeds: tf.Tensor


class SAMR(GANSystem):
    """G against D1..D6, with U that finds the labels in real and in generated images.

    Args:
        config: settings.
        sequences: channels of the images.
        labels: number of labels: background, normal brain or its tissues, and those of the lesion.
        atlas: [Z,H,W,sequences] in [0,1], mean images of neighbouring axial slices; None without.
        first: index in the volume of the atlas' first slice.
        total_steps: updates in all, for the decay of the learning rate.
    """

    monitored = ("accuracy/D",)

    def __init__(
        self,
        config: SAMRConfig,
        sequences: int,
        labels: int,
        atlas: Optional[np.ndarray],
        total_steps: int,
        first: int = 0,
    ):
        self.config = config
        self.labels = labels
        self.first = first
        self.atlas = None if atlas is None else to_signed(tf.constant(atlas, tf.float32))
        maps = 0 if atlas is None else len(NEIGHBOURS) * sequences
        networks = {"G": _build_generator(config, labels, maps, sequences)}
        names = [f"D{i}" for i in range(1, NUMBERS[config.discriminators] + 1)]
        seen = labels + sequences + (maps if config.atlas_in_discriminator else 0)
        margin = 1 if config.discriminators == "one" else 2
        for name in names:
            options = config.discriminator_norm, margin, config.discriminator_halvings
            networks[name] = PatchDiscriminator(config.discriminator_width, seen, name, *options)
        groups = {"G": ["G"], "D": names}
        if config.weights.consistency:
            levels = config.segmenter_levels, config.segmenter_width
            networks["U"] = build_segmenter(*levels, sequences, labels, "U")
            groups["U"] = ["U"]
        rate = constant_then_linear(config.learning_rate, total_steps, config.constant_share)
        super().__init__(networks, groups, dict.fromkeys(groups, rate), config.beta_1)

    def train_step(self, batch: Batch) -> Terms:
        """One update of all networks on `images` [B,H,W,S], `label` [B,H,W,1], `source` [B,2].

        What the generator's dropout zeroes is a function of `seed` [B,2].
        """
        w, data = self.config.weights, self.inputs(batch)
        with tf.GradientTape(persistent=True) as tape:
            # 1. All sequences of the batch's labels.
            fake = self.learning(data)
            # 2. The discriminators against G, each in its region and scale (eq. 1), and their
            #    features of real and of generated images (eq. 2).
            terms_g, terms_d, accuracy = self.versus(data, fake)
            terms = {"G": terms_g, "D": terms_d}
            # 3. U finds the labels in real and in generated images (eq. 4).
            if "U" in self.networks:
                pair = (self.shape_error(data, images) for images in (data.images, fake))
                terms["U"] = dict(zip(("U/real", "U/fake"), pair))
                terms_g["G/consistency"] = w.consistency * terms["U"]["U/fake"]
            if w.absolute:
                terms_g["G/absolute"] = w.absolute * mean_absolute_error(fake, data.images)
            losses = {group: tf.add_n(list(found.values())) for group, found in terms.items()}
        # 4. G, D and U, each by its own loss, from one forward pass of G.
        report = self.descend(tape, losses)
        for found in terms.values():
            report.update(found)
        return {**report, **accuracy}

    def inputs(self, batch: Batch) -> Inputs:
        """Returns what a step works on, of a batch."""
        label, atlas = self._one_hot(batch["label"]), self._atlas_of(batch["source"])
        return Inputs(label, atlas, to_signed(batch["images"]), batch["seed"])

    def learning(self, data: Inputs) -> tf.Tensor:
        """Returns what G makes in training, [B,H,W,S] in [-1,1]."""
        if self.config.generator == "unet":
            return self.networks["G"](data.label, training=True, seeds=data.seeds)
        return self._generate(data.label, data.atlas, training=True)

    def shape_error(self, data: Inputs, images: tf.Tensor) -> tf.Tensor:
        """Returns the soft Dice error of what U finds in images [B,H,W,S] in [-1,1] (eq. 3)."""
        return soft_dice_per_class(self.networks["U"](images, training=True), data.label)

    def versus(self, data: Inputs, fake: tf.Tensor) -> tuple[Terms, Terms, Terms]:
        """Returns terms of G and of D, summed over the discriminators, and D's accuracy."""
        loss, middle = ADVERSARIAL[self.config.adversarial]
        views = [self._views(data.label, data.atlas, images) for images in (data.images, fake)]
        sums = {"adversarial": [], "matching": [], "real": [], "fake": [], "accuracy": []}
        for name, real_view, fake_view in zip(self.groups["D"], *views):
            (real, made), *layers = self._judged(self.networks[name], real_view, fake_view)
            sums["adversarial"].append(loss(made, REAL))
            sums["matching"].append(
                feature_matching(*zip(*layers), error=self.config.matching_error)
            )
            sums["real"].append(self.config.weights.discriminator * loss(real, REAL))
            sums["fake"].append(self.config.weights.discriminator * loss(made, FAKE))
            sums["accuracy"].append(least_squares_accuracy(real, made, middle))
        total = {name: tf.add_n(parts) for name, parts in sums.items()}
        terms_g = {"G/adversarial": total["adversarial"]}
        if self.config.weights.matching:
            terms_g["G/matching"] = self.config.weights.matching * total["matching"]
        terms_d = {"D/real": total["real"], "D/fake": total["fake"]}
        return terms_g, terms_d, {"accuracy/D": total["accuracy"] / len(self.groups["D"])}

    def _judged(
        self, network: PatchDiscriminator, real: tf.Tensor, fake: tf.Tensor
    ) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Scores and then each layer's features, of real and of generated images."""
        if self.config.discriminator_norm == "instance":  # mixes no samples: one pass for both
            score, features = network(tf.concat([real, fake], axis=0))
            return [tuple(tf.split(part, 2)) for part in (score, *features)]
        parts = [network(view, training=True) for view in (real, fake)]
        return list(zip(*((score, *features) for score, features in parts)))

    def _views(
        self, x: tf.Tensor, atlas: Optional[tf.Tensor], images: tf.Tensor
    ) -> list[tf.Tensor]:
        """What each discriminator sees: label, atlas and images in its region and scale."""
        seen = [atlas] if self.config.atlas_in_discriminator and atlas is not None else []
        if self.config.discriminators != "label_wise":
            views = plain_views(tf.concat([x, *seen, images], axis=-1))
            return views[: NUMBERS[self.config.discriminators]]
        first = self.config.first_lesion
        stack = tf.concat([with_lesion_union(x, first), *seen, images], axis=-1)
        return regional_views(stack, region_masks(x, first))

    def _generate(self, x: tf.Tensor, atlas: Optional[tf.Tensor], training: bool) -> tf.Tensor:
        if self.config.atlas and self.config.generator == "residual" and atlas is not None:
            return self.networks["G"](x, atlas, training=training)
        return self.networks["G"](x, training=training)

    def _one_hot(self, label: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(label[..., 0], self.labels)

    def _atlas_of(self, source: tf.Tensor) -> Optional[tf.Tensor]:
        """The atlas at the slices' heights and beside them [B,H,W,3S]; its edges repeat."""
        if self.atlas is None:
            return None
        height, last = source[:, 1] - self.first, self.atlas.shape[0] - 1
        heights = [tf.clip_by_value(height + step, 0, last) for step in NEIGHBOURS]
        return tf.concat([tf.gather(self.atlas, z) for z in heights], axis=-1)

    def synthesize(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns `images` [B,H,W,S] in [0,1] of `label` [B,H,W,1] and `source` [B,2].

        Of a slice's `source` only the second number is read, its height in the atlas.
        """
        atlas = self._atlas_of(batch["source"])
        images = self._generate(self._one_hot(batch["label"]), atlas, training=False)
        return {"images": to_unit(images)}

    def collapse_pair(
        self, outputs: dict[str, tf.Tensor], batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns G's images [B,H,W,S] and those of the batch."""
        return outputs["images"], batch["images"]


def _build_generator(config: SAMRConfig, labels: int, maps: int, sequences: int) -> tf.keras.Model:
    """Returns G for labels, an atlas of `maps` channels and so many sequences."""
    if config.generator == "unet":
        return build_unet(config.unet_levels, config.width, labels, sequences, config.dropout)
    return Generator(
        GeneratorSpec(
            labels=labels,
            atlas=maps if config.atlas else 0,
            sequences=sequences,
            width=config.width,
            down_samplings=config.down_samplings,
            blocks=config.blocks,
            norm=config.norm,
            decoders=sequences if config.stretch_out else 1,
            own_blocks=config.own_blocks,
            doubling=config.doubling,
        )
    )
