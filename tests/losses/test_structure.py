"""The line term of two-channel structure maps."""

from __future__ import annotations

import pytest
import tensorflow as tf

from losses.structure import line_sparsity

MAPS = tf.reshape(tf.constant([[1.0, 0.0], [0.5, 0.25], [0.0, 1.0], [0.5, 0.5]]), [2, 1, 2, 2])


def test_line_sparsity():
    assert float(line_sparsity(MAPS)) == pytest.approx(2.0 / 4 - 1.75 / 4)
