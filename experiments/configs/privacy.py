"""Configuration of the privacy audit."""

from dataclasses import dataclass

from utils.errors import at_least, check_fields


@dataclass(frozen=True)
class AuditConfig:
    """Settings of the privacy audit.

    The audit compares the synthetic slices with the training slices and with held-out slices.

    Args:
        seed: random seed of the bootstrap.
        worst_pairs: number of most similar pairs (synthetic slice, training slice) shown in
            worst_pairs.png, 1 or more.
        resamples: number of bootstrap resamples, 1 or more.
    """

    seed: int = 0
    worst_pairs: int = 10
    resamples: int = 1000

    def __post_init__(self) -> None:
        check_fields(self, "--", worst_pairs=at_least(1), resamples=at_least(1))


AUDIT = dict.fromkeys(("tiny", "demo", "thesis"), AuditConfig())
