"""Statistics of the kernel initialisers, and the names a configuration may use."""

from __future__ import annotations

import numpy as np
import pytest

from models.blocks.initializers import (
    discriminator_normal,
    he_normal_untruncated,
    kernel_initializer,
    mean_filter,
    transposed_uniform,
)

SHAPE = (3, 3, 16, 16)
COUNT = np.prod(SHAPE)


def drawn(initializer) -> np.ndarray:
    return initializer(SHAPE).numpy().astype(np.float64)


# Around 1/9 float32 numbers are 7e-9 apart: the noise of the mean filter survives.
# He: variance 2 / (9*16). Glorot: 2 / (9*16 + 9*16).
@pytest.mark.parametrize(
    "initializer, mean, stddev",
    [
        (mean_filter(1, 3), 1 / 9, 1e-6),
        (mean_filter(64, 3), 1 / 576, 1e-6),
        (mean_filter(2, 5), 0.02, 1e-6),
        (discriminator_normal(), 0.0, 0.02),
        (discriminator_normal(0.2), 0.0, 0.2),
        (kernel_initializer("mean_filter", 16), 1 / (9 * 16), 1e-6),
        (kernel_initializer("mean_filter_exact", 1), 1 / (9 * 16), 1e-6),  # the kernel's own 16
        (kernel_initializer("he_normal", 16), 0.0, (2 / 144) ** 0.5),
        (kernel_initializer("glorot_uniform", 16), 0.0, (2 / 288) ** 0.5),
        (he_normal_untruncated(), 0.0, (2 / 144) ** 0.5),
        (transposed_uniform(), 0.0, 1 / (3 * 144) ** 0.5),
    ],
)
def test_mean_and_spread(initializer, mean, stddev):
    values = drawn(initializer)
    assert values.mean() == pytest.approx(mean, abs=6 * stddev / COUNT**0.5 + 1e-9)
    assert values.std() == pytest.approx(stddev, rel=0.1)


def test_unknown_initialiser_is_refused():
    with pytest.raises(ValueError, match="initializer is 'xavier'; expected one of mean_filter"):
        kernel_initializer("xavier", 1)


def test_pytorch_cuts_no_tails_and_counts_the_outputs_of_transposed_kernels():
    values = drawn(he_normal_untruncated()) / (2 / 144) ** 0.5
    assert np.mean(np.abs(values) > 2.4) > 0.01  # 1.6 % of a normal; Keras' ends at 2.27
    kernel = transposed_uniform()((3, 3, 4, 100)).numpy()  # [height, width, outputs, inputs]
    assert 0.95 / 6 < np.abs(kernel).max() <= 1 / 6
