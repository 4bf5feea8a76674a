"""Settings of TC-MGAN.

The defaults follow the paper; where the paper gives no value, they follow the released code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from models.networks.settings import WIDTH
from models.tc_mgan.networks import check_image_size
from utils.errors import BELOW_ONE, NOT_NEGATIVE, POSITIVE, Rule, UserError, check_fields, one_of

_TRAINING = {
    "learning_rate": POSITIVE,
    "beta_1": BELOW_ONE,
}


@dataclass(frozen=True)
class Variant:
    """How the systems of the paper differ.

    Attributes:
        conditional: a single generator and critic (with auxiliary classifier) for all targets,
            conditioned on a one-hot modality code; otherwise one pair per target.
        tumour: whether the segmenter S guides the generator.
        trains_segmenter: whether S is trained together with G and D; otherwise it is fixed.
    """

    conditional: bool = True
    tumour: bool = True
    trains_segmenter: bool = False


VARIANTS = {
    "pix2pix": Variant(conditional=False, tumour=False),
    "mgan": Variant(tumour=False),
    "tc_mgan": Variant(),
    "tc_mgan_bw": Variant(trains_segmenter=True),
}


@dataclass(frozen=True)
class SegmenterConfig:
    """The segmenter S, or one of the U-Nets that evaluate synthetic images.

    Args:
        width: base width, channels.
        learning_rate: Adam's learning rate.
        beta_1: Adam's beta_1.
    """

    width: int = 64
    learning_rate: float = 1e-4
    beta_1: float = 0.9

    def __post_init__(self) -> None:
        check_fields(self, "--segmenter.", width=WIDTH, **_TRAINING)


EVALUATION = SegmenterConfig(learning_rate=1e-3)


NUM_LABELS = 5
NO_LABEL_WEIGHTS = (1.0,) * NUM_LABELS


def _label_weights(weights: Sequence[float]) -> bool:
    return len(weights) == NUM_LABELS and all(map(NOT_NEGATIVE.holds, weights))


@dataclass(frozen=True)
class TCMGANWeights:
    """Weights of the losses; `l1` and `modality` multiply *sums* over pixels or classes.

    Args:
        l1: absolute error, summed over an image's pixels.
        l1_labels: factors of the absolute error where the label is 0, 1, 2, 3 and 4. The published
            ones are 1. The enhancing tumour (4) is a few dozen of 16384 pixels, and S cannot ask
            for its brightness in T1c, because S knows the whole tumour only. Where T2 leaves open
            which part of the tumour a pixel is, the absolute error draws the likeliest (the
            median); a factor f of label 4 draws that from a probability of about 1 / (1 + f).
        modality: class head, summed over the classes.
        tumour: soft Dice of S on generated images (tc_mgan and tc_mgan_bw).
        penalty: gradient penalty of the critic.
        segmenter_real: soft Dice of real images in S' own loss (tc_mgan_bw).
        segmenter_fake: soft Dice of generated images in S' own loss (tc_mgan_bw).
    """

    l1: float = 0.1
    l1_labels: tuple[float, ...] = NO_LABEL_WEIGHTS
    modality: float = 10.0
    tumour: float = 50.0
    penalty: float = 100.0
    segmenter_real: float = 0.3
    segmenter_fake: float = 0.7

    def __post_init__(self) -> None:
        rules = {field.name: NOT_NEGATIVE for field in fields(self)}
        rules["l1_labels"] = Rule(f"{NUM_LABELS} numbers of 0 or more", _label_weights)
        check_fields(self, "--gan.weights.", **rules)


def _ascending_shares(shares: Sequence[float]) -> bool:
    ascending = all(a < b for a, b in zip(shares, shares[1:]))
    return ascending and all(math.isfinite(share) and 0 < share < 1 for share in shares)


@dataclass(frozen=True)
class TCMGANConfig:
    """Generator against critic, in one of four variants.

    Args:
        variant: pix2pix, mgan, tc_mgan or tc_mgan_bw.
        image_size: height and width of the slices, pixels, divisible by 32.
        width: base width of the generator, channels.
        critic_width: base width of the critic, channels.
        learning_rate: Adam's initial learning rate for all networks.
        decay_shares: fractions of the training, ascending, at which the learning rate changes.
        decay_factors: for each of them, the factor of the initial learning rate from there on.
        beta_1: Adam's beta_1.
        weights: loss weights.
    """

    variant: str = "tc_mgan"
    image_size: tuple[int, int] = (128, 128)
    width: int = 64
    critic_width: int = 64
    learning_rate: float = 2e-4
    decay_shares: tuple[float, ...] = (0.3, 0.6, 0.9)
    decay_factors: tuple[float, ...] = (0.5, 0.25, 0.05)
    beta_1: float = 0.9
    weights: TCMGANWeights = field(default_factory=TCMGANWeights)

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--gan.",
            variant=one_of(VARIANTS),
            width=WIDTH,
            critic_width=WIDTH,
            decay_shares=Rule("fractions between 0 and 1 in ascending order", _ascending_shares),
            decay_factors=Rule("numbers above 0", lambda values: all(map(POSITIVE.holds, values))),
            **_TRAINING,
        )
        if len(self.decay_shares) != len(self.decay_factors):
            raise UserError(
                f"--gan.decay_factors has {len(self.decay_factors)} numbers; give one for each of "
                f"the {len(self.decay_shares)} --gan.decay_shares"
            )
        check_image_size("--gan.image_size", self.image_size)
