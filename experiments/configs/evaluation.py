"""What the main system measures on any data set."""

from dataclasses import dataclass, field

from utils.errors import at_least, check_fields
from utils.metrics.detectability import DetectorConfig


@dataclass(frozen=True)
class MeasuringConfig:
    """What is measured.

    Args:
        batch_size: images per forward pass.
        ssim_pairs: random pairs per set for the diversity figure, of different patients
            if there are several.
        detector: the small network that tells synthetic texture from real.
    """

    batch_size: int = 8
    ssim_pairs: int = 500
    detector: DetectorConfig = field(default_factory=DetectorConfig)

    def __post_init__(self) -> None:
        check_fields(self, "--evaluation.", batch_size=at_least(1), ssim_pairs=at_least(1))
