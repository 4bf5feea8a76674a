"""Statistics of the kernel initialisers, and the names a configuration may use."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.blocks.initializers import (
    KERNEL_INITIALIZERS,
    discriminator_normal,
    kernel_initializer,
    mean_filter,
)

SHAPE = (3, 3, 16, 16)
COUNT = np.prod(SHAPE)


@pytest.fixture(autouse=True)
def seeded():
    tf.keras.utils.set_random_seed(0)


def drawn(initializer) -> np.ndarray:
    return initializer(SHAPE).numpy().astype(np.float64)


@pytest.mark.parametrize("channels, kernel, mean", [(1, 3, 1 / 9), (64, 3, 1 / 576), (2, 5, 0.02)])
def test_mean_filter_is_a_box_with_a_little_noise(channels, kernel, mean):
    values = drawn(mean_filter(channels, kernel))
    assert values.mean() == pytest.approx(mean, abs=6e-6 / COUNT**0.5)
    # Around 1/9 float32 numbers are 7e-9 apart: the noise survives.
    assert values.std() == pytest.approx(1e-6, rel=0.1)


@pytest.mark.parametrize("stddev", [0.02, 0.2])
def test_discriminator_normal(stddev):
    values = drawn(discriminator_normal(stddev))
    assert values.mean() == pytest.approx(0, abs=6 * stddev / COUNT**0.5)
    assert values.std() == pytest.approx(stddev, rel=0.1)


def test_discriminators_start_with_spread_of_the_code():
    assert drawn(discriminator_normal()).std() == pytest.approx(0.02, rel=0.1)


# He: variance 2 / (9*16). Glorot: 2 / (9*16 + 9*16).
@pytest.mark.parametrize(
    "name, mean, stddev",
    [
        ("mean_filter", 1 / (9 * 16), 1e-6),
        ("he_normal", 0.0, (2 / 144) ** 0.5),
        ("glorot_uniform", 0.0, (2 / 288) ** 0.5),
    ],
)
def test_initialisers_by_name(name, mean, stddev):
    values = drawn(kernel_initializer(name, 16))
    assert values.mean() == pytest.approx(mean, abs=6 * stddev / COUNT**0.5 + 1e-9)
    assert values.std() == pytest.approx(stddev, rel=0.1)


@pytest.mark.parametrize("name", KERNEL_INITIALIZERS)
def test_two_initialisers_of_one_name_draw_differently(name):
    first, second = (drawn(kernel_initializer(name, 16)) for _ in range(2))
    assert np.mean(first == second) < 0.1


def test_unknown_initialiser_is_refused():
    with pytest.raises(ValueError, match="initializer is 'xavier'; expected one of mean_filter"):
        kernel_initializer("xavier", 1)
