"""One seed for a run, split by name; random numbers that belong to an example, not to a device.

Every batch carries `seed` [B,2]: a draw is a function of the example's seed and the draw's name, so
a batch gives the same numbers whole, split over replicas, or repeated after a resume.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Callable, Union

import tensorflow as tf


def derive_seed(seed: int, *names: Union[str, int]) -> int:
    """Returns a seed in 0..2^31-1 that depends on `seed` and on all `names`."""
    digest = hashlib.sha256("/".join(map(str, (seed, *names))).encode()).digest()
    return int.from_bytes(digest[:4], "little") & 0x7FFFFFFF


def fold_in(seed: tf.Tensor, name: Union[str, int, tf.Tensor]) -> tf.Tensor:
    """Returns a new seed [2] from seed [2] (int32) and a name or number."""
    number = zlib.crc32(name.encode()) & 0x7FFFFFFF if isinstance(name, str) else name
    folded = tf.random.experimental.stateless_fold_in(seed, tf.cast(number, seed.dtype), "philox")
    return tf.ensure_shape(folded, [2])


def _per_example(draw: Callable[[tf.Tensor], tf.Tensor], seeds: tf.Tensor, name: str) -> tf.Tensor:
    if seeds.shape[0] is None:
        raise ValueError(
            "seeds must have a static batch size, got shape [None,2]; give infer of a "
            "compiled function padded=True"
        )
    return tf.stack([draw(fold_in(seed, name)) for seed in tf.unstack(seeds)])


def normal(seeds: tf.Tensor, name: str, shape: tuple) -> tf.Tensor:
    """Returns N(0,1) numbers [B,*shape], one independent draw per row of seeds [B,2]."""
    return _per_example(
        lambda seed: tf.random.stateless_normal(shape, seed, alg="philox"), seeds, name
    )


def uniform(
    seeds: tf.Tensor, name: str, shape: tuple, low: float = 0.0, high: float = 1.0
) -> tf.Tensor:
    """Returns U(low, high) numbers [B,*shape], one independent draw per row of seeds [B,2]."""
    return _per_example(
        lambda seed: tf.random.stateless_uniform(shape, seed, low, high, alg="philox"), seeds, name
    )


def dropout(x: tf.Tensor, keep_probability: float, seeds: tf.Tensor, name: str) -> tf.Tensor:
    """Returns x [B,...] with elements zeroed and the rest divided by `keep_probability`."""
    return _dropped(x, keep_probability, seeds, name, tuple(x.shape[1:]))


def channel_dropout(
    x: tf.Tensor, keep_probability: float, seeds: tf.Tensor, name: str
) -> tf.Tensor:
    """Returns x [B,...,C] like `dropout`, with whole channels of a sample zeroed."""
    return _dropped(x, keep_probability, seeds, name, (1,) * (x.shape.rank - 2) + (x.shape[-1],))


def _dropped(
    x: tf.Tensor, keep_probability: float, seeds: tf.Tensor, name: str, shape: tuple[int, ...]
) -> tf.Tensor:
    if keep_probability == 1.0:
        return x
    kept = uniform(seeds, name, shape) < keep_probability
    return tf.where(kept, x / keep_probability, tf.zeros_like(x))
