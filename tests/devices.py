"""The two logical CPU devices of `conftest.py` under one strategy."""

from __future__ import annotations

import functools

import tensorflow as tf


@functools.cache
def mirrored_strategy() -> tf.distribute.MirroredStrategy:
    """One for the whole session: collectives of two would share their keys and collide."""
    return tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
