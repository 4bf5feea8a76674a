"""SAMR's networks: parameters, sizes, and plain readings with weights in PyTorch's layout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from models.networks.pix2pix import TableUNet, pix2pix_rows
from models.networks.torch_layout import conv_units, load_torch_layout
from models.samr.networks import Generator, GeneratorSpec, PatchDiscriminator, build_segmenter
from tests.models.toys import random_image
from utils.errors import UserError

PAPER = GeneratorSpec(labels=5, atlas=15, sequences=5, width=16, down_samplings=5, decoders=5)
CODE = replace(PAPER, width=64, down_samplings=3, norm="instance")
SMALL = replace(PAPER, width=2, down_samplings=2, blocks=2)


def trained(network) -> int:
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


@pytest.mark.parametrize(
    "build, expected, others",
    [
        (lambda: Generator(replace(PAPER, width=8)), 74_767_829, 35_648),
        (lambda: Generator(replace(PAPER, down_samplings=2)), 4_672_037, 8_576),
        (lambda: PatchDiscriminator(64, 25, "D"), 2_787_265, 0),
        (lambda: PatchDiscriminator(64, 10, "D"), 16_631_430 // 6, 0),
        (lambda: build_segmenter(5, 64, 5, 5, "U"), 16_665_221, None),
        (lambda: build_segmenter(8, 64, 5, 5, "U"), 54_420_101, None),
        (lambda: pix2pix(8), 54_420_101, None),
        # Shin et al.: three tissues in the place of brain are two more channels of its first row.
        (lambda: pix2pix(8, labels=7), 54_420_101 + 2 * 4 * 4 * 64, None),
    ],
)
def test_parameters(build, expected, others):
    network = build()
    assert trained(network) == expected
    assert others is None or network.count_params() == expected + others


@pytest.mark.slow  # networks of a gigabyte
@pytest.mark.parametrize(
    "spec, expected",
    [
        (PAPER, 298_940_837),
        (replace(PAPER, norm="instance"), 298_869_541),
        (CODE, 298_432_645),
        (replace(CODE, norm="batch_spread"), 298_502_789),
        (replace(PAPER, atlas=12, sequences=4, decoders=4), 273_768_116),  # BRATS
        # The global generator of pix2pixHD.
        (
            replace(CODE, atlas=0, down_samplings=4, decoders=1, own_blocks=0),
            182_455_813,
        ),
    ],
)
def test_parameters_of_the_largest_generators(spec, expected):
    assert trained(Generator(spec)) == expected
    tf.keras.backend.clear_session()


def pix2pix(levels: int, width: int = 64, labels: int = 5) -> TableUNet:
    rows = pix2pix_rows(levels, 5, "batch_spread")
    return TableUNet(rows, width, labels, 0, lambda row: "zeros", "G")


@pytest.mark.parametrize("levels, names", [(8, ["up8", "up7", "up6"]), (3, ["up3", "up2"])])
def test_the_first_three_up_rows_drop(levels, names):
    rows = pix2pix_rows(levels, 5, "batch_spread", drop=0.5)
    assert [row.name for row in rows if row.drop] == names
    assert {row.drop for row in rows} == {0.0, 0.5}


def test_sizes_of_the_discriminators_maps():
    network = PatchDiscriminator(2, 25, "D")
    for side, sides in ((256, (129, 65, 33, 34, 35)), (128, (65, 33, 17, 18, 19))):
        score, features = network(tf.zeros([1, side, side, 25]))
        assert tuple(part.shape[1] for part in (*features, score)) == sides


@pytest.mark.parametrize("doubling, stripes", [("transposed", True), ("nearest", False)])
def test_only_transposed_convolutions_draw_stripes_on_a_plain_label(doubling, stripes):
    tf.random.set_seed(0)
    network = Generator(replace(SMALL, atlas=0, norm="", doubling=doubling))
    assert trained(network) == trained(Generator(replace(network.spec, doubling="transposed")))
    for variable in network.trainable_variables:  # of the initial weights nothing would be left
        variable.assign(variable * 20)
    middle = network(tf.ones([1, 64, 64, 5]))[0, 24:40, 24:40].numpy()
    assert (np.ptp(middle, axis=(0, 1)).max() > 1e-3) == stripes


@pytest.mark.parametrize("halvings, pixels", [(1, 16), (2, 34), (3, 70)])
def test_a_score_of_a_discriminator_sees_so_many_pixels(halvings, pixels):
    network = PatchDiscriminator(2, 1, "D", norm="", halvings=halvings)
    for variable in network.trainable_variables:
        variable.assign(tf.ones_like(variable))
    x = tf.ones([1, 128, 128, 1])  # positive: no activation stops the gradient
    with tf.GradientTape() as tape:
        tape.watch(x)
        scores, _ = network(x)
        middle = scores[0, scores.shape[1] // 2, scores.shape[2] // 2, 0]
    seen = tape.gradient(middle, x)[0, ..., 0].numpy() != 0
    assert seen.any(axis=0).sum() == seen.any(axis=1).sum() == pixels


# PyTorch's layers in NumPy, on arrays [C,H,W].
def convolve(x, kernel, bias, stride=1, padding=0, mode="constant"):
    x = np.pad(x, [(0, 0), (padding,) * 2, (padding,) * 2], mode)
    k = kernel.shape[-1]
    rows, columns = (1 + (side - k) // stride for side in x.shape[1:])
    y = np.zeros((len(kernel), rows, columns))
    for a in range(k):
        for b in range(k):
            seen = x[:, a : a + stride * rows : stride, b : b + stride * columns : stride]
            y += np.einsum("oi,ihw->ohw", kernel[:, :, a, b], seen[:, :rows, :columns])
    return y if bias is None else y + bias[:, None, None]


def transpose(x, kernel, bias, padding, output_padding):
    k, (_, height, width) = kernel.shape[-1], x.shape
    y = np.zeros((kernel.shape[1], 2 * height + k, 2 * width + k))
    for i in range(height):
        for j in range(width):
            y[:, 2 * i : 2 * i + k, 2 * j : 2 * j + k] += np.einsum(
                "i,ioab->oab", x[:, i, j], kernel
            )
    rows, columns = (2 * (side - 1) + k - 2 * padding + output_padding for side in x.shape[1:])
    y = y[:, padding : padding + rows, padding : padding + columns]
    return y if bias is None else y + bias[:, None, None]


def batch_norm(x, scale, offset, mean, variance):
    scale, offset, mean, variance = (v[:, None, None] for v in (scale, offset, mean, variance))
    return scale * (x - mean) / np.sqrt(variance + 1e-5) + offset


def instance_norm(x):
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5)


def relu(x, slope=0.0):
    return np.where(x > 0, x, slope * x)


class State:
    """Random weights in PyTorch's layout; `take` gives them out in order."""

    def __init__(self, network):
        rng, self.arrays = np.random.default_rng(0), []
        for unit in conv_units(network):
            kernel = np.transpose(unit.convolution.kernel.numpy(), (3, 2, 0, 1)).shape
            filters = kernel[1] if unit.row.resample == "transposed" else kernel[0]
            self.arrays.append(rng.normal(0, 1 / np.sqrt(np.prod(kernel[1:])), kernel))
            self.arrays += [rng.normal(0, 0.3, filters)] * unit.row.bias
            if unit.row.norm == "batch_spread":
                self.arrays += [rng.uniform(0.5, 1.5, filters) for _ in range(4)]
                self.arrays.append(np.array(7))  # batches that PyTorch has counted
        self.batch_norm = any(unit.row.norm == "batch_spread" for unit in conv_units(network))
        load_torch_layout(network, self.arrays)
        self.left = [array for array in self.arrays if array.ndim]

    def take(self, count: int) -> list:
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def normed(self, x):
        return batch_norm(x, *self.take(4)) if self.batch_norm else instance_norm(x)

    def residual(self, x):
        y = convolve(x, *self.take(2), padding=1, mode="reflect")
        y = convolve(relu(self.normed(y)), *self.take(2), padding=1, mode="reflect")
        return x + self.normed(y)


def channels_first(images) -> list:
    return list(np.moveaxis(np.asarray(images, np.float64), -1, 1))


def plain_generator(state: State, spec: GeneratorSpec, inputs: list):
    codes = []
    for x in inputs:
        x = relu(state.normed(convolve(x, *state.take(2), padding=3, mode="reflect")))
        for _ in range(spec.down_samplings):
            x = relu(state.normed(convolve(x, *state.take(2), 2, 1)))
        codes.append(x)
    trunk = np.concatenate(codes)
    for _ in range(spec.blocks):
        trunk = state.residual(trunk)
    images = []
    for _ in range(spec.decoders):
        x = trunk
        for _ in range(spec.own_blocks):
            x = state.residual(x)
        for _ in range(spec.down_samplings):
            x = relu(state.normed(transpose(x, *state.take(2), 1, 1)))
        images.append(np.tanh(convolve(x, *state.take(2), padding=3, mode="reflect")))
    return np.moveaxis(np.concatenate(images), 0, -1)


PIX2PIXHD = replace(SMALL, atlas=0, decoders=1, own_blocks=0, norm="instance")


@pytest.mark.parametrize("spec", [SMALL, replace(SMALL, norm="instance"), PIX2PIXHD])
def test_generators_equal_the_plain_form(spec):
    network = Generator(spec)
    state = State(network)
    inputs = [random_image(1, 16, 24, channels) for channels in (5, spec.atlas) if channels]
    expected = plain_generator(state, spec, [channels_first(image)[0] for image in inputs])
    assert not state.left and expected.std() > 0.1
    np.testing.assert_allclose(network(*inputs)[0], expected, atol=1e-4)


def plain_unet(state: State, x, levels: int, head):
    """PyTorch's order of weights is that of the layers, from the outer way in and out again."""

    def normed(y, level):
        return batch_norm(y, *state.take(4)) if 1 < level < levels else y

    skips = []
    for level in range(1, levels + 1):
        x = relu(x, 0.2) if level > 1 else x
        x = normed(convolve(x, *state.take(1), None, 2, 1), level)
        skips.append(x)
    x = skips.pop()
    for _ in range(levels - 1):
        x = batch_norm(transpose(relu(x), *state.take(1), None, 1, 0), *state.take(4))
        x = np.concatenate([skips.pop(), x])
    return np.moveaxis(head(transpose(relu(x), *state.take(2), 1, 0)), 0, -1)


def softmax(x):
    return np.exp(x) / np.exp(x).sum(0)


@pytest.mark.parametrize(
    "build, head",
    [(lambda: build_segmenter(4, 2, 5, 5, "U"), softmax), (lambda: pix2pix(4, 2), np.tanh)],
)
def test_unets_equal_the_plain_form(build, head):
    network = build()
    state, image = State(network), random_image(1, 32, 48, 5)
    expected = plain_unet(state, channels_first(image)[0], 4, head)
    assert not state.left and expected.std() > 0.05
    np.testing.assert_allclose(network(image)[0], expected, atol=1e-4)


@pytest.mark.parametrize("norm, margin", [("instance", 2), ("batch_spread", 1)])  # 1: pix2pix
def test_discriminators_equal_the_plain_form(norm, margin):
    network = PatchDiscriminator(2, 10, "D", norm, margin)
    state, image = State(network), random_image(1, 32, 24, 10)
    score, features = network(image)
    x = channels_first(image)[0]
    for number, stride in enumerate((2, 2, 2, 1)):
        x = convolve(x, *state.take(2), stride, margin)
        x = relu(state.normed(x) if number else x, 0.2)
        np.testing.assert_allclose(features[number][0], np.moveaxis(x, 0, -1), atol=1e-4)
    x = convolve(x, *state.take(2), 1, margin)
    np.testing.assert_allclose(score[0], np.moveaxis(x, 0, -1), atol=1e-4)
    assert not state.left


def test_weights_of_another_network_are_refused_and_nothing_is_changed():
    network = PatchDiscriminator(2, 10, "D")
    before = [v.numpy() for v in network.variables]
    arrays = State(PatchDiscriminator(2, 25, "D")).arrays
    with pytest.raises(
        UserError, match="D takes 10 arrays, found 9; give the weights of a network"
    ):
        load_torch_layout(network, arrays[:-1])
    with pytest.raises(UserError, match=r"Layer conv0 of D has \(4, 4, 10, 2\) weights, found"):
        load_torch_layout(network, arrays)
    assert all(np.array_equal(a, b) for a, b in zip(before, network.variables))


def test_initial_values():
    network = Generator(replace(SMALL, width=8))
    for unit in conv_units(network):
        kernel = unit.convolution.kernel.numpy()
        assert kernel.std() == pytest.approx(0.02, rel=6 / np.sqrt(kernel.size)), unit.name
        assert not np.any(unit.convolution.bias)
        if unit.norm:
            scale = unit.norm.gamma.numpy()
            assert 0 < np.abs(scale - 1).max() < 0.1 and not np.any(unit.norm.beta)


@pytest.mark.parametrize("decoders", [1, 5])
def test_a_gradient_reaches_every_variable(decoders):
    network = Generator(replace(SMALL, decoders=decoders))
    State(network)
    label, atlas = random_image(2, 16, 24, 5), random_image(2, 16, 24, 15)
    with tf.GradientTape() as tape:
        made = network(label, atlas, training=True)
        loss = tf.reduce_sum(made * random_image(*made.shape))
    assert made.shape == (2, 16, 24, 5)
    gradients = tape.gradient(loss, network.trainable_variables)
    still = [v.name for v, g in zip(network.trainable_variables, gradients) if np.all(g == 0)]
    assert None not in gradients and not still


def test_sides_that_cannot_be_halved_are_refused():
    with pytest.raises(UserError, match="input of G has 18x24 pixels; .* divisible by 4"):
        Generator(SMALL)(random_image(1, 18, 24, 5), random_image(1, 18, 24, 15))
