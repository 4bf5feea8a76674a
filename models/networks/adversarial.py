"""Terms of discriminators with one or two heads: validity, and modality (eq. 13-14, 20-21)."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from losses import adversarial
from losses.classification import class_index_regression
from models.networks.modalities import NUM_MODALITIES, modality_index
from utils.errors import check_fields

Terms = dict[str, tf.Tensor]


@dataclass(frozen=True)
class ValidityWeights:
    """Weights of a discriminator's validity head and of the term it gives the generator.

    Args:
        real: D's validity on a real image.
        fake: D's validity on a generated image, and G's on the same (towards real).
    """

    real: float = 5.0
    fake: float = 3.0

    def __post_init__(self) -> None:
        check_fields(self, "--adversarial.")


@dataclass(frozen=True)
class AdversarialWeights(ValidityWeights):
    """Weights of the two-headed discriminators D and D_t and of the terms they give the generator.

    Args:
        modality: modality head on a real image in D, on a generated image in G.
        modality_fake: modality head on a generated image in D; the thesis' equations have it (1),
            the code does not (0): with an index regression it is unstable.
    """

    modality: float = 5.0
    modality_fake: float = 0.0


def validity_terms(
    real: tf.Tensor, fake: tf.Tensor, n_real: int, n_fake: int, weights: ValidityWeights
) -> tuple[Terms, Terms]:
    """Returns (D's terms, G's terms) of validity scores (eq. 13-14 without the modality).

    Args:
        real: scores of real rows.
        fake: scores of generated rows.
        n_real: rows of a sample, over which D's first term is summed.
        n_fake: the same of generated rows.
        weights: weight of one summand.
    """
    loss = adversarial.least_squares
    terms_d = {
        "D/real": weights.real * n_real * loss(real, adversarial.REAL),
        "D/fake": weights.fake * n_fake * loss(fake, adversarial.FAKE),
    }
    return terms_d, {"G/adversarial": weights.fake * n_fake * loss(fake, adversarial.REAL)}


def adversarial_terms(
    real: tuple[tf.Tensor, tf.Tensor],
    fake: tuple[tf.Tensor, tf.Tensor],
    samples: tf.Tensor,
    fake_order: tuple,
    weights: AdversarialWeights,
) -> tuple:
    """Returns (D's terms, G's terms) of a two-headed discriminator (eq. 13-14, 20-21).

    Args:
        real: validity and modality scores of real rows, the four modalities of every sample.
        fake: the same of generated rows.
        samples: number of samples B behind the rows.
        fake_order: modality of each of a sample's generated rows; a term is summed over them.
        weights: weight of one summand.
    """
    (valid_real, class_real), (valid_fake, class_fake) = real, fake
    n_real, n_fake, w = NUM_MODALITIES, len(fake_order), weights
    terms_d, terms_g = validity_terms(valid_real, valid_fake, n_real, n_fake, weights)
    modality_real = class_index_regression(class_real, modality_index(samples))
    modality_fake = class_index_regression(class_fake, modality_index(samples, fake_order))
    terms_d["D/modality"] = w.modality * n_real * modality_real
    if w.modality_fake:
        terms_d["D/modality_fake"] = w.modality_fake * n_fake * modality_fake
    terms_g["G/modality"] = w.modality * n_fake * modality_fake
    return terms_d, terms_g
