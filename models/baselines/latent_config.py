"""Settings of the GANs that make an image of a random vector; the defaults are each method's own.

Sources: Radford et al. 2016 (DCGAN), Odena et al. 2017 (ACGAN), Arjovsky et al. 2017 (WGAN),
Gulrajani et al. 2017 (WGAN-GP), Karras et al. 2018 (PGGAN), each with its authors' released code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Optional

from models.networks.settings import WIDTH
from utils.errors import BELOW_ONE, NOT_NEGATIVE, POSITIVE, Rule, at_least, check_fields


def power_of_two(smallest: int) -> Rule:
    """Returns the rule for sides that networks double or halve down to a few pixels."""
    return Rule(
        f"a power of two, {smallest} or more",
        lambda side: side >= smallest and side & (side - 1) == 0,
    )


@dataclass(frozen=True)
class LatentGANConfig:
    """What all of them have; a subclass documents the fields."""

    size: int = 64
    latent: int = 100
    width: int = 64
    learning_rate: float = 2e-4
    beta_1: float = 0.5
    smallest: ClassVar[int] = 16  # pixels
    rules: ClassVar[dict[str, Rule]] = {}  # of fields that a subclass adds

    def __post_init__(self) -> None:
        check_fields(
            self,
            "--gan.",
            size=power_of_two(self.smallest),
            latent=at_least(1),
            width=WIDTH,
            learning_rate=POSITIVE,
            beta_1=BELOW_ONE,
            **self.rules,
        )

    @property
    def doublings(self) -> int:
        """How often 4x4 pixels are doubled to the images' size."""
        return self.size.bit_length() - 3


@dataclass(frozen=True)
class DCGANConfig(LatentGANConfig):
    """DCGAN: transposed convolutions with batch norm, cross-entropy.

    Args:
        size: height and width of the square images, pixels; a power of two.
        latent: length of the random vector, U(-1,1).
        width: channels of the layers at half of the size.
        learning_rate: Adam's, of both networks.
        beta_1: Adam's.
        decay: weight of half of the sum of a network's squared weights, in the loss of each.
    """

    width: int = 128
    decay: float = 1e-5
    rules: ClassVar[dict[str, Rule]] = {"decay": NOT_NEGATIVE}


@dataclass(frozen=True)
class ACGANConfig(LatentGANConfig):
    """ACGAN: G is told a class, D also finds it; classes are modalities, or of whole images.

    Args:
        size: height and width of the square images, pixels; a power of two.
        latent: length of the random vector, N(0,1).
        width: channels of G's last hidden layer.
        learning_rate: Adam's, of both networks.
        beta_1: Adam's.
        discriminator_width: channels of D's first layer.
        drop: share of the outputs that training zeroes behind each of D's convolutions.
        nll_of_softmax: take minus the probability of the true class, as released code does by
            mistake, in the place of its logarithm.
    """

    size: int = 128
    discriminator_width: int = 16
    drop: float = 0.5
    nll_of_softmax: bool = False
    smallest: ClassVar[int] = 32
    rules: ClassVar[dict[str, Rule]] = {"discriminator_width": WIDTH, "drop": BELOW_ONE}


@dataclass(frozen=True)
class WGANConfig(LatentGANConfig):
    """WGAN: a critic with clipped weights in the place of D, RMSprop.

    Args:
        size: height and width of the square images, pixels; a power of two.
        latent: length of the random vector, N(0,1).
        width: channels of the layers at half of the size.
        learning_rate: RMSprop's, of both networks.
        clip: bound of the critic's weights.
        critic_steps: updates of the critic for each of G's.
        long_steps: updates of the critic before each of G's first `long_starts` updates, and before
            every `long_every`-th.
        long_starts: number of G's updates.
        long_every: number of G's updates; 0 = never again.
    """

    learning_rate: float = 5e-5
    beta_1: ClassVar[float] = 0.0  # RMSprop has none
    clip: float = 0.01
    critic_steps: int = 5
    long_steps: int = 100
    long_starts: int = 25
    long_every: int = 500
    rules: ClassVar[dict[str, Rule]] = {
        "clip": POSITIVE,
        **dict.fromkeys(("critic_steps", "long_steps"), at_least(1)),
        **dict.fromkeys(("long_starts", "long_every"), at_least(0)),
    }


@dataclass(frozen=True)
class WGANGPConfig(LatentGANConfig):
    """WGAN-GP: residual networks, a gradient penalty in the place of clipped weights.

    Args:
        size: height and width of the square images, pixels; a power of two.
        latent: length of the random vector, N(0,1).
        width: channels at the images' size.
        learning_rate: Adam's, of both networks.
        beta_1: Adam's.
        beta_2: Adam's.
        critic_steps: updates of the critic for each of G's.
        penalty: weight of the squared distance of the gradient's norm to 1.
    """

    latent: int = 128
    learning_rate: float = 1e-4
    beta_1: float = 0.0
    beta_2: float = 0.9
    critic_steps: int = 5
    penalty: float = 10.0
    rules: ClassVar[dict[str, Rule]] = {
        "beta_2": BELOW_ONE,
        "critic_steps": at_least(1),
        "penalty": NOT_NEGATIVE,
    }


@dataclass(frozen=True)
class PGGANConfig(LatentGANConfig):
    """PGGAN: networks that grow from 4x4 pixels, layer by layer.

    Args:
        size: height and width of the square images at the end, pixels; a power of two.
        latent: length of the random vector, N(0,1), which is normalised.
        width: channels of the widest layers, at most; the published networks have half at 64x64
            pixels, and half again at each doubling.
        learning_rate: Adam's, of both networks.
        beta_1: Adam's.
        beta_2: Adam's.
        penalty: weight of the squared distance of the gradient's norm to 1.
        drift: weight of the squared scores of real images.
        stable_images: thousands of images shown at each size once it is there.
        fade_images: thousands of images shown while a size fades in.
        batch_sizes: images per update and device at 4x4 pixels, 8x8, and so on; the last stands for
            all larger ones. An update takes no more of its batch; 0 = all of it.
        mean_decay: share of the moving average of G, which makes the samples, that an update keeps.
    """

    size: int = 128
    latent: int = 512
    width: int = 512
    learning_rate: float = 1e-3
    beta_1: float = 0.0
    beta_2: float = 0.99
    penalty: float = 10.0
    drift: float = 1e-3
    stable_images: float = 600.0
    fade_images: float = 600.0
    batch_sizes: tuple[int, ...] = (128, 128, 128, 64, 32, 16, 8, 4)
    mean_decay: float = 0.999
    smallest: ClassVar[int] = 8
    rules: ClassVar[dict[str, Rule]] = {
        "beta_2": BELOW_ONE,
        "mean_decay": BELOW_ONE,
        "stable_images": POSITIVE,
        "fade_images": POSITIVE,
        **dict.fromkeys(("penalty", "drift"), NOT_NEGATIVE),
        "batch_sizes": Rule(
            "numbers of 0 or more", lambda sizes: len(sizes) > 0 and min(sizes) >= 0
        ),
    }

    def channels(self, level: int) -> int:
        """Returns the channels at 4 * 2^level pixels."""
        return max(1, min(self.width, 16 * self.width // 2 ** (level + 1)))

    @property
    def phases(self) -> tuple[int, int]:
        """Images shown at a size that is there, and while one fades in."""
        thousands = (self.stable_images, self.fade_images)
        return tuple(max(1, round(1000 * images)) for images in thousands)

    def batch_size(self, level: int, given: int) -> int:
        """Returns how many of a batch's `given` images an update takes at 4 * 2^level pixels."""
        wanted = self.batch_sizes[min(level, len(self.batch_sizes) - 1)]
        return min(wanted or given, given)

    def updates(self, given: int, level: Optional[int] = None) -> int:
        """Returns the updates until a level has faded in and been trained; default: the last."""
        stable, fade = self.phases
        shown = end = count = 0
        for number in range((self.doublings if level is None else level) + 1):
            for length in (stable,) if number == 0 else (fade, stable):
                end += length
                size = self.batch_size(number, given)
                needed = max(0, -((shown - end) // size))
                shown, count = shown + needed * size, count + needed
        return count


LATENT_GANS: dict[str, Any] = {
    "dcgan": DCGANConfig,
    "acgan": ACGANConfig,
    "wgan": WGANConfig,
    "wgan_gp": WGANGPConfig,
    "pggan": PGGANConfig,
}
