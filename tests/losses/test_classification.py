"""The class term: patches regress the index of their own sample's class."""

from __future__ import annotations

import pytest
import tensorflow as tf

from losses.classification import class_index_regression


def test_class_index_regression_of_two_samples():
    scores = tf.reshape(tf.constant([0.5, -1.0, 3.0, 1.0]), [2, 2, 1, 1])
    # Sample 0 has class 0: 0.25 + 1; sample 1 has class 3: 0 + 4.
    loss = class_index_regression(scores, tf.constant([0, 3]))
    assert float(loss) == pytest.approx(5.25 / 4)
