"""Feature matching: generated images should look to a discriminator's layers as real ones do.

Sources: SAMR eq. 2 (squared); Wang et al. 2018, "High-resolution image synthesis and semantic
manipulation with conditional GANs", pix2pixHD (absolute).
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from losses.reconstruction import ERRORS


def feature_matching(
    real: Sequence[tf.Tensor], fake: Sequence[tf.Tensor], error: str = "squared"
) -> tf.Tensor:
    """Returns the sum over a discriminator's layers of the mean error between their outputs.

    In float32, whatever the layers compute in. No gradient reaches the network through its features
    of real images.

    Args:
        real, fake: outputs [B,h,w,C] of each layer for real and for generated images.
        error: a key of `ERRORS`.
    """
    pairs = [[tf.cast(layer, tf.float32) for layer in pair] for pair in zip(real, fake)]
    return tf.add_n([ERRORS[error](tf.stop_gradient(a), b) for a, b in pairs])
