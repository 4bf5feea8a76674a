"""The line term of two-channel structure maps, and edges with a gradient."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from losses.structure import line_sparsity, soft_edges

MAPS = tf.reshape(tf.constant([[1.0, 0.0], [0.5, 0.25], [0.0, 1.0], [0.5, 0.5]]), [2, 1, 2, 2])


def test_line_sparsity():
    assert float(line_sparsity(MAPS)) == pytest.approx(2.0 / 4 - 1.75 / 4)


def test_soft_edges_of_a_step_by_hand():
    """The response is 4 in the two columns at the step and 0 elsewhere: 1 and 0 when normalised."""
    step = np.zeros((1, 16, 16, 1), np.float32)
    step[:, :, 8:] = 1.0
    found = soft_edges(tf.constant(step), 0.12, softness=0.1).numpy()[0, ..., 0]

    def logistic(distance: float) -> float:
        return 1 / (1 + np.exp(-(distance - 0.12) / 0.1))

    below, mean = logistic(0.0), 2 / 16
    at, beside = (1 - (1 - below) * (1 - logistic(x - mean)) for x in (1, 0))
    expected = np.full((16, 16), beside)
    expected[:, 7:9] = at
    np.testing.assert_allclose(found, expected, rtol=1e-5)
