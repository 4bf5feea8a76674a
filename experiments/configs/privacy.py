"""Configuration of the privacy audit."""

from dataclasses import dataclass

from utils.errors import at_least, check_fields


@dataclass(frozen=True)
class AuditConfig:
    """How the synthetic set is compared with the slices it was learnt from.

    Args:
        seed: of the bootstrap.
        worst_pairs: pairs in the picture.
        resamples: of the bootstrap.
    """

    seed: int = 0
    worst_pairs: int = 10
    resamples: int = 1000

    def __post_init__(self) -> None:
        check_fields(self, "--", worst_pairs=at_least(1), resamples=at_least(1))


AUDIT = dict.fromkeys(("tiny", "demo", "thesis"), AuditConfig())
