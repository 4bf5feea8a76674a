"""Configurations of figures: maps and samples (thesis 5.7), changed lesions (SAMR)."""

from dataclasses import dataclass

from utils.errors import Rule, at_least, check_fields


@dataclass(frozen=True)
class DiversityConfig:
    """Fig. 14.

    Args:
        seed: random seed of the codes.
        side: number of maps per row and per column.
    """

    seed: int = 0
    side: int = 8

    def __post_init__(self) -> None:
        check_fields(self, "--", side=at_least(2))


@dataclass(frozen=True)
class WalkConfig:
    """Fig. 15; the strides are those of the released script.

    Args:
        seed: random seed of the four corner codes and the code in the centre.
        side: number of maps per row and per column, odd.
        edge_stride: each step along the border replaces every `edge_stride`-th latent coordinate by
            the next corner's.
        centre_stride: likewise, each step towards the centre takes over the centre's coordinates.
    """

    seed: int = 0
    side: int = 9
    edge_stride: int = 7
    centre_stride: int = 3

    def __post_init__(self) -> None:
        odd = Rule("an odd number of 3 or more", lambda side: side >= 3 and side % 2 == 1)
        strides = dict.fromkeys(("edge_stride", "centre_stride"), at_least(1))
        check_fields(self, "--", side=odd, **strides)


@dataclass(frozen=True)
class SamplesConfig:
    """Fig. 16.

    Args:
        seed: random seed of the choice.
        samples: number of columns, fewer if the trained run's synthetic set has fewer samples.
        selected: only samples that the lesion filter kept.
    """

    seed: int = 0
    samples: int = 8
    selected: bool = False

    def __post_init__(self) -> None:
        check_fields(self, "--", samples=at_least(1))


@dataclass(frozen=True)
class ManipulationsConfig:
    """SAMR's Fig. 3.

    Args:
        seed: random seed of the donors.
        patients: number of held-out patients, each with the slice of its largest tumour.
    """

    seed: int = 0
    patients: int = 2

    def __post_init__(self) -> None:
        check_fields(self, "--", patients=at_least(1))


def presets(config: type, **tiny: int) -> dict:
    """Returns a figure's presets: demo and thesis draw the same, tiny is smaller."""
    return {"tiny": config(**tiny), "demo": config(), "thesis": config()}


DIVERSITY = presets(DiversityConfig, side=3)
WALK = presets(WalkConfig)
SAMPLES = presets(SamplesConfig, samples=4)
MANIPULATIONS = presets(ManipulationsConfig, patients=1)
