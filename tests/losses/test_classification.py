"""The class terms: patches that regress an index, and a yes or no for each class."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from losses.classification import class_index_regression, sigmoid_cross_entropy_sum


def test_class_index_regression_of_two_samples():
    scores = tf.reshape(tf.constant([0.5, -1.0, 3.0, 1.0]), [2, 2, 1, 1])
    # Sample 0 has class 0: 0.25 + 1; sample 1 has class 3: 0 + 4.
    loss = class_index_regression(scores, tf.constant([0, 3]))
    assert float(loss) == pytest.approx(5.25 / 4)


def test_sigmoid_cross_entropy_sums_classes_and_averages_samples():
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 10.0, -3.0]])
    target = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    p = 1 / (1 + np.exp(-logits))
    expected = -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum() / 2
    loss = sigmoid_cross_entropy_sum(tf.constant(logits), tf.constant(target))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
