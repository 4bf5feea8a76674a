"""Stacking of modalities and the twelve translations, against whole network calls."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.networks.modalities import (
    BACK,
    BY_TARGET,
    SOURCE,
    TARGET,
    TRANSLATIONS,
    from_rows,
    modality_index,
    to_channels,
    to_rows,
    translate_to_others,
)
from models.networks.unet import UNetSpec, build_unet


def images() -> np.ndarray:
    return np.random.default_rng(0).random((2, 16, 24, 4)).astype(np.float32)


def translator(condition: str):
    spec = UNetSpec(2, conditions=4, condition=condition, initializer="he_normal")
    return build_unet(spec, 1, "G_t")


def test_tables_of_the_translations():
    assert TRANSLATIONS == (
        *((0, 1), (0, 2), (0, 3)),
        *((1, 0), (1, 2), (1, 3)),
        *((2, 0), (2, 1), (2, 3)),
        *((3, 0), (3, 1), (3, 2)),
    )
    assert SOURCE == (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3)
    assert TARGET == (1, 2, 3, 0, 2, 3, 0, 1, 3, 0, 1, 2)
    assert BACK == (3, 6, 9, 0, 7, 10, 1, 4, 11, 2, 5, 8)
    assert BY_TARGET == ((3, 6, 9), (0, 7, 10), (1, 4, 11), (2, 5, 8))


def test_rows_are_sample_major():
    x = images()
    rows = to_rows(x)
    expected = [x[b, ..., i : i + 1] for b in range(2) for i in range(4)]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(to_channels(rows), x)
    np.testing.assert_array_equal(from_rows(rows, 4)[1, 2], x[1, ..., 2:3])
    assert to_rows(x, 1) is x and to_channels(x, 1) is x


def test_modality_index_repeats_the_order_for_every_sample():
    assert list(modality_index(tf.constant(2))) == [0, 1, 2, 3, 0, 1, 2, 3]
    assert list(modality_index(tf.constant(3), (2, 0))) == [2, 0, 2, 0, 2, 0]


@pytest.mark.parametrize("condition", ["concat", "conditional_instance_norm"])
def test_decoded_modalities_equal_whole_calls(condition):
    network, x = translator(condition), images()[..., :1]
    codes = network.encode(x)
    found = to_channels(network.decode(codes, tf.one_hot(modality_index(2), 4)))
    calls = [network(x, tf.one_hot([i, i], 4)) for i in range(4)]
    np.testing.assert_allclose(found, tf.concat(calls, -1), atol=2e-5)
    reverse = network.decode(codes, tf.one_hot(modality_index(2, (3, 1)), 4))
    expected = tf.stack([calls[3], calls[1]], axis=1)
    np.testing.assert_allclose(from_rows(reverse, 2), expected, atol=2e-5)


def test_unknown_batch_size():
    network, x = translator("concat"), images()

    @tf.function(input_signature=[tf.TensorSpec([None, 16, 24, 4])])
    def translations(batch):
        return from_rows(translate_to_others(network, to_rows(batch)), 12)

    expected = from_rows(translate_to_others(network, to_rows(x)), 12)
    np.testing.assert_allclose(translations(x), expected, atol=2e-5)
