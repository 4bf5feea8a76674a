"""What guides G beside D: frozen systems that judge the images which G makes.

Every guide is called as `guide(made, labels) -> terms`, with G's images (`Made`) and the labels
that they were made from, by the batch's keys without `random_`. It returns weighted terms of G's
loss by name. Its networks are never updated. Without guides G has only D.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable, NamedTuple, Protocol

import tensorflow as tf

from losses.consistency import pairwise_consistency
from losses.reconstruction import mean_squared_error
from models.lesions import Segmentation, lesion_terms
from models.networks.modalities import (
    BY_TARGET,
    NUM_MODALITIES,
    TARGET,
    TRANSLATIONS,
    from_rows,
    translate_to_others,
)
from models.structure_gan.config import SynthesisConfig
from models.structure_gan.registration import Registration
from models.system import Terms

Labels = Mapping[str, tf.Tensor]


class Made(NamedTuple):
    """What G made.

    Attributes:
        images: [B,H,W,M].
        rows: the same, each modality as an image of its own, see `to_rows`.
    """

    images: tf.Tensor
    rows: tf.Tensor


Guide = Callable[[Made, Labels], Terms]


@dataclass(frozen=True)
class RegistrationGuide:
    """G_t: the modalities of one slice translate into each other (eq. 16).

    Args:
        translator: trained.
        config: weights `registration` and `consistency`; without both it says nothing.
    """

    translator: Registration
    config: SynthesisConfig

    def __call__(self, made: Made, labels: Labels) -> Terms:
        """Returns eq. 16, and the agreement of the translations to one target."""
        if not (self.config.registration or self.config.consistency):
            return {}
        rows, count = made.rows, len(TRANSLATIONS)
        translated = translate_to_others(self.translator.networks["G_t"], rows)
        x_gt = from_rows(translated, count)  # [B,12,H,W,1]
        targets = tf.gather(from_rows(rows, NUM_MODALITIES), TARGET, axis=1)
        consistency = [pairwise_consistency(tf.gather(x_gt, ks, axis=1)) for ks in BY_TARGET]
        return {
            "G/registration": self.config.registration * count * mean_squared_error(targets, x_gt),
            "G/consistency": self.config.consistency * tf.add_n(consistency),
        }


@dataclass(frozen=True)
class LesionGuide:
    """The G_l: each finds the given lesion in its modality (eq. 15).

    Args:
        segmenters: trained.
        config: weights `lesion` and `class_weights`; without the first it says nothing.
    """

    segmenters: Segmentation
    config: SynthesisConfig

    def __call__(self, made: Made, labels: Labels) -> Terms:
        """Returns eq. 15, summed over the modalities."""
        if not self.config.lesion:
            return {}
        data = made.images, labels["label"], self.config.class_weights
        terms = lesion_terms(self.segmenters, *data)
        return {"G/lesion": self.config.lesion * tf.add_n(list(terms.values()))}


def brats_guides(
    translator: Registration, segmenters: Segmentation, config: SynthesisConfig
) -> tuple[Guide, ...]:
    """Returns what guides G on BRATS: the trained G_t and G_l."""
    return RegistrationGuide(translator, config), LesionGuide(segmenters, config)


class Judge(Protocol):
    """A trained system that says how well images show their labels."""

    def guidance(self, images: tf.Tensor, labels: Labels) -> Terms:
        """Returns terms of G's loss by name, of weight 1."""


@dataclass(frozen=True)
class JudgeGuide:
    """A classifier or a detector: its own loss on G's images and their labels (4.5).

    Args:
        judge: trained.
        weight: factor of its terms; 0 says nothing.
    """

    judge: Judge
    weight: float

    def __call__(self, made: Made, labels: Labels) -> Terms:
        """Returns the judge's terms, weighted."""
        if not self.weight:
            return {}
        terms = self.judge.guidance(made.images, labels)
        return {name: self.weight * term for name, term in terms.items()}
