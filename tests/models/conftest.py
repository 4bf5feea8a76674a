"""Reproducible weights, and the precision policy back at float32 afterwards."""

from __future__ import annotations

import pytest
import tensorflow as tf


@pytest.fixture(autouse=True)
def seeded():
    tf.keras.utils.set_random_seed(0)


@pytest.fixture
def policy():
    yield tf.keras.mixed_precision.set_global_policy
    tf.keras.mixed_precision.set_global_policy("float32")
