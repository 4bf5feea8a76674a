"""Pairwise agreement of three versions of two one-pixel images."""

from __future__ import annotations

import pytest
import tensorflow as tf

from losses.consistency import pairwise_consistency

VERSIONS = tf.reshape(tf.constant([0.0, 1.0, 3.0, 2.0, 2.0, 0.0]), [2, 3, 1, 1, 1])


def test_pairwise_consistency_sums_pairs_and_averages_samples():
    # Pairs (0,1), (0,2), (1,2): (1 + 0) / 2, (9 + 4) / 2, (4 + 4) / 2.
    assert float(pairwise_consistency(VERSIONS)) == pytest.approx(0.5 + 6.5 + 4.0)


def test_pairwise_consistency_averages_pixels_and_channels():
    versions = tf.reshape(tf.range(8.0), [1, 2, 2, 1, 2])  # all four differences are 4
    assert float(pairwise_consistency(versions)) == pytest.approx(16.0)
