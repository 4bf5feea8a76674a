"""E_s, G_s and D_z against the tables of the original code, and smaller variants of them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.networks.maps import CodeDiscriminator
from models.structure_gan.map_networks import (
    CodePrior,
    FineCode,
    MapDecoder,
    MapEncoder,
    base_size,
)
from tests.models.toys import apply_unit, random_image, record_units

# Name, kernel, stride, channels in n, output size for a map of 512x512.
ENCODER = [
    ("conv0", 5, 2, 1, 256),
    ("conv1", 5, 2, 1, 128),
    ("conv2", 3, 1, 2, 128),
    ("conv3", 3, 2, 4, 64),
    ("conv4", 3, 1, 4, 64),
    ("conv5", 3, 2, 4, 32),
    ("conv6", 3, 1, 4, 32),
    ("conv7", 3, 2, 8, 16),
    ("conv8", 3, 1, 8, 16),
    ("conv9", 3, 2, 8, 8),
    ("conv10", 3, 1, 2, 8),
]
DECODER = [
    ("conv0", 3, 1, 8, 8),
    ("up1", 3, 1, 4, 16),
    ("conv1", 3, 1, 4, 16),
    ("up2", 3, 1, 4, 32),
    ("conv2", 3, 1, 4, 32),
    ("up3", 3, 1, 2, 64),
    ("conv3", 3, 1, 2, 64),
    ("up4", 3, 1, 2, 128),
    ("conv4", 3, 1, 2, 128),
    ("up5", 3, 1, 1, 256),
    ("conv5", 3, 1, 1, 256),
    ("up6", 3, 1, 1, 512),
    ("conv6", 3, 1, 1, 512),
]
CODE = [
    ("conv0", 7, 1, 2, 64),
    ("conv1", 7, 1, 2, 64),
    ("conv2", 5, 1, 2, 64),
    ("conv3", 5, 2, 4, 32),
    ("conv4", 3, 1, 4, 32),
]


def rows(table: list, width: int) -> list:
    return [(name, k, s, (size, size, width * out), True) for name, k, s, out, size in table]


@pytest.mark.parametrize(
    "network, shape, expected",
    [
        (lambda: MapEncoder(64, 4096, 6), (512, 512, 1), 75_856_064),
        (lambda: MapDecoder(64, 4096, (512, 512), 6), (4096,), 37_736_326),
        (lambda: MapEncoder(64, 4096, 6), (512, 512, 3), 75_859_264),
        (lambda: MapDecoder(64, 4096, (512, 512), 6, maps=3), (4096,), 37_738_642),
        (lambda: CodeDiscriminator(64, 4096), (4096,), 2_632_705),
        (lambda: CodeDiscriminator(4, 4096), (4096,), 10_945),
    ],
    ids=["E_s", "G_s", "E_s of 3 maps", "G_s of 3 maps", "D_z", "D_z 4"],
)
def test_parameters(network, shape, expected):
    network = network()
    network(tf.keras.Input(shape))  # symbolic: nothing is computed
    assert network.count_params() == expected


def test_rows_of_the_tables(monkeypatch):
    recorded = record_units(monkeypatch)
    mean, log_variance = MapEncoder(2, 16, 6)(random_image(1, 512, 512, 1))
    assert mean.shape == log_variance.shape == (1, 16)
    decoder = MapDecoder(2, 16, (512, 512), 6)
    decoder(random_image(1, 16))
    assert [tuple(dense.kernel.shape) for dense in decoder.dense] == [(16, 16), (16, 8 * 8 * 64)]
    CodeDiscriminator(2, 4096)(random_image(1, 4096))
    last, score = ("lastconv", 3, 1, (512, 512, 2), True), ("score", 3, 1, (32, 32, 1), False)
    assert recorded == [*rows(ENCODER, 2), *rows(DECODER, 2), last, *rows(CODE, 2), score]


def test_fewer_halvings_leave_out_the_high_resolutions(monkeypatch):
    encoder, decoder = MapEncoder(2, 16, 2), MapDecoder(2, 16, (32, 24), 2)
    recorded = record_units(monkeypatch)
    encoder(random_image(1, 32, 24, 1))
    assert [row[0] for row in recorded] == ["conv6", "conv7", "conv8", "conv9", "conv10"]
    assert recorded[0][3] == (32, 24, 8) and recorded[-1][3] == (8, 6, 4)
    del recorded[:]
    assert decoder(random_image(1, 16)).shape == (1, 32, 24, 2)
    assert [row[0] for row in recorded] == ["conv0", "up1", "conv1", "up2", "conv2", "lastconv"]


def test_encoder_equals_the_plain_forward_pass():
    network, structure = MapEncoder(2, 16, 2), random_image(2, 32, 24, 1)
    found = network(structure)
    x = structure
    for unit, stride in zip(network.units, (1, 2, 1, 2, 1)):
        x = apply_unit(unit, x, stride)
    x = tf.reshape(x, [2, -1])
    for dense, values in zip((network.mean, network.log_variance), found):
        np.testing.assert_allclose(values, x @ dense.kernel + dense.bias, atol=1e-4)


def test_decoder_equals_the_plain_forward_pass():
    network, code = MapDecoder(2, 16, (32, 24), 2), random_image(2, 16)
    found = network(code)
    x = code
    for dense in network.dense:  # two linear layers
        x = x @ dense.kernel + dense.bias
    x = tf.reshape(x, [2, 8, 6, 64])
    for unit in network.units:
        if unit.name.startswith("up"):
            x = tf.image.resize(x, [2 * x.shape[1], 2 * x.shape[2]], "nearest")
        x = apply_unit(unit, x)
    expected = apply_unit(network.output_unit, x, activation=tf.sigmoid)
    np.testing.assert_allclose(found, expected, atol=1e-4)


FINE = FineCode(3, 1, (16, 12))


def test_the_encoder_reads_the_fine_code_where_the_map_has_its_places():
    network, structure = MapEncoder(2, 16, 2, FINE), random_image(2, 32, 24, 1)
    found = network(structure)
    x = structure
    for unit, stride in zip(network.units, (1, 2)):  # the first halving
        x = apply_unit(unit, x, stride)
    for values, conv in zip(found, (network.fine_mean, network.fine_log_variance)):
        assert values.shape == (2, 16 + FINE.size)
        fine = tf.nn.conv2d(x, conv.kernel, 1, "SAME") + conv.bias
        np.testing.assert_allclose(values[:, 16:], tf.reshape(fine, [2, -1]), atol=1e-4)
    for unit, stride in zip(network.units[2:], (1, 2, 1)):
        x = apply_unit(unit, x, stride)
    np.testing.assert_allclose(found[0][:, :16], network.mean(network.flatten(x)), atol=1e-4)


def test_the_decoder_feeds_the_fine_code_to_its_last_layer_of_that_size():
    network, code = MapDecoder(2, 16, (32, 24), 2, fine=FINE), random_image(2, 16 + FINE.size)
    found = network(code)
    x = code[:, :16]
    for dense in network.dense:
        x = x @ dense.kernel + dense.bias
    x = tf.reshape(x, [2, 8, 6, 64])
    for unit in network.units:
        if unit.name.startswith("up"):
            x = tf.image.resize(x, [2 * x.shape[1], 2 * x.shape[2]], "nearest")
        if unit.name == "conv1":
            x = tf.concat([x, tf.reshape(code[:, 16:], [2, 16, 12, 3])], -1)
        x = apply_unit(unit, x)
    expected = apply_unit(network.output_unit, x, activation=tf.sigmoid)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("halvings, places, unit", [(2, (8, 6), "conv0"), (1, (16, 12), "conv1")])
def test_fine_codes_of_every_size(halvings, places, unit):
    fine = FineCode(2, halvings, places)
    mean, _ = MapEncoder(2, 16, 2, fine)(random_image(1, 32, 24, 1))
    decoder = MapDecoder(2, 16, (32, 24), 2, fine=fine)
    assert decoder(mean).shape == (1, 32, 24, 2)
    assert decoder.units[decoder.fine_unit].name == unit


def test_code_discriminator_reads_the_code_row_by_row():
    network, code = CodeDiscriminator(2, 16), random_image(2, 16)
    found = network(code)
    x = tf.stack([tf.reshape(row, [4, 4, 1]) for row in code])
    for unit, stride in zip(network.units, (1, 1, 1, 2, 1)):
        x = apply_unit(unit, x, stride)
    np.testing.assert_allclose(found, apply_unit(network.score, x), atol=1e-5)


def test_initial_kernels_are_normal_and_dense_layers_glorot():
    encoder, decoder = MapEncoder(8, 64, 6), MapDecoder(8, 64, (128, 128), 6)
    code = CodeDiscriminator(8, 64)
    encoder(random_image(1, 64, 64, 1)), decoder(random_image(1, 64)), code(random_image(1, 64))
    for unit in [*encoder.units, *decoder.units, decoder.output_unit, *code.units, code.score]:
        kernel = unit.convolution.kernel.numpy()
        assert abs(kernel.mean()) < 6 * 0.02 / kernel.size**0.5, unit.name
        assert kernel.std() == pytest.approx(0.02, rel=6 / (2 * kernel.size) ** 0.5), unit.name
        assert not np.any(unit.convolution.bias)
    for dense in [encoder.mean, encoder.log_variance, *decoder.dense]:
        limit = (6 / sum(dense.kernel.shape)) ** 0.5
        assert np.abs(dense.kernel).max() == pytest.approx(limit, rel=0.01)
        assert not np.any(dense.bias)
    assert np.any(encoder.mean.kernel != encoder.log_variance.kernel)


def test_only_random_biases_tell_a_code_from_its_multiple():
    """Two linear layers without bias and a norm: at the start the size of a code is lost."""
    code = random_image(1, 64) - 0.5
    published, constant = MapDecoder(4, 64, (64, 64), 3), MapDecoder(4, 64, (64, 64), 3, 0.5)
    published(code), constant(code)
    assert not np.any(published.dense[1].bias)
    assert np.std(constant.dense[1].bias) == pytest.approx(0.5, rel=0.1)
    assert np.abs(published(code) - published(3 * code)).max() < 0.02
    assert np.abs(constant(code) - constant(3 * code)).max() > 0.1


def test_initial_outputs_are_of_order_one():
    mean, log_variance = MapEncoder(4, 64, 6)(random_image(2, 128, 128, 1))
    assert 0.01 < np.std(mean) < 3 and np.abs(log_variance).max() < 5
    maps = MapDecoder(4, 64, (64, 64), 3)(random_image(2, 64)).numpy()
    # Logits of mean 0 and spread 1: the sigmoid of a standard normal has mean 0.5, spread 0.21.
    assert maps.mean() == pytest.approx(0.5, abs=0.05) and 0.15 < maps.std() < 0.25


def test_outputs_are_float32_under_mixed_precision(policy):
    policy("mixed_float16")
    mean, log_variance = MapEncoder(2, 16, 2)(random_image(1, 16, 16, 1))
    outputs = [mean, log_variance, MapDecoder(2, 16, (16, 16), 2)(mean)]
    outputs.append(CodeDiscriminator(2, 16)(mean))
    fine = FineCode(1, 1, (8, 8))
    outputs += MapEncoder(2, 16, 2, fine)(random_image(1, 16, 16, 1))
    outputs.append(MapDecoder(2, 16, (16, 16), 2, fine=fine)(outputs[-1]))
    assert [output.dtype for output in outputs] == [tf.float32] * 7
    assert all(np.all(np.isfinite(output)) for output in outputs)


@pytest.mark.parametrize("size, halvings", [((184, 144), 5), ((512, 512), 7), ((512, 512), 0)])
def test_impossible_halvings_are_refused(size, halvings):
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} cannot be halved {halvings} times"):
        base_size(size, halvings)


def test_code_that_is_no_square_is_refused():
    with pytest.raises(ValueError, match="latent_size is 20; D_z needs a square number"):
        CodeDiscriminator(2, 20)


def test_the_fitted_prior_starts_as_a_standard_normal_and_follows_the_codes():
    rng = np.random.default_rng(0)
    prior, z = CodePrior(3, decay=0.5), rng.standard_normal((4000, 3)).astype(np.float32)
    np.testing.assert_allclose(prior(z), z, atol=1e-3)
    batches = rng.standard_normal((2, 5, 3)).astype(np.float32) * (1, 2, 3) + (0, 1, -1)
    for codes in batches.astype(np.float32):
        prior.update(tf.constant(codes))
    first, second = batches
    mean = 0.25 * first.mean(0) + 0.5 * second.mean(0)
    moment = 0.25 * np.eye(3) + 0.25 * first.T @ first / 5 + 0.5 * second.T @ second / 5
    drawn = prior(z).numpy()
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), moment - np.outer(mean, mean), rtol=0.1, atol=0.2)
    assert not prior.trainable_variables
