"""G, D and S of TC-MGAN against their tables: sizes, parameters, initial values, plain readings."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.tc_mgan.networks import (
    Critic,
    build_generator,
    build_segmenter,
    check_image_size,
    generator_rows,
)
from tests.models.toys import (
    apply_unit,
    random_image,
    record_units,
    torch_convolution,
    torch_transposed,
)
from utils.errors import UserError

# Name, channels in n, output side for 128x128 pixels, has a norm.
GENERATOR = [
    ("down1", 1, 64, False),
    ("down2", 2, 32, True),
    ("down3", 4, 16, True),
    ("down4", 8, 8, True),
    ("down5", 8, 4, True),
    ("down6", 8, 2, True),
    ("down7", 8, 1, False),
    ("up7", 8, 2, True),
    ("up6", 8, 4, True),
    ("up5", 8, 8, True),
    ("up4", 4, 16, True),
    ("up3", 2, 32, True),
    ("up2", 1, 64, True),
]
SEGMENTER = [
    ("down1", 1, 64, True),
    ("down2", 2, 32, True),
    ("down3", 4, 16, True),
    ("down4", 8, 8, True),
    ("up4", 8, 16, True),
    ("up3", 4, 32, True),
    ("up2", 2, 64, True),
]
# Without gradient but for rounding errors: the norm takes away what they add.
BEFORE_NORM = {
    net: {f"{name}/conv/bias:0" for name, _, _, has_norm in table if has_norm}
    for net, table in {"G": GENERATOR, "D": [], "S": SEGMENTER}.items()
}
LABEL = tf.one_hot([2, 0], 3)


@pytest.mark.parametrize(
    "build, arguments, trained, others",
    [
        (build_generator, (64, (128, 128), 3), 41_822_593, 0),
        (build_generator, (64, (128, 128), 0), 41_819_521, 0),  # pix2pix
        (Critic, (64, (128, 128), 3), 11_203_520, 0),
        (Critic, (64, (128, 128), 0), 11_154_368, 0),  # pix2pix
        (build_segmenter, (64, 1, 3), 6_129_025, 3_712),
        (build_segmenter, (64, 4, 0), 6_129_025, 3_712),
        (build_segmenter, (64, 1, 0), 6_127_297, 3_712),  # only T2
    ],
)
def test_parameters(build, arguments, trained, others):
    network = build(*arguments, "network")
    assert sum(np.prod(v.shape) for v in network.trainable_variables) == trained
    assert network.count_params() == trained + others


@pytest.mark.parametrize(
    "build, table, kernel",
    [
        (lambda: build_generator(2, (128, 128), 0, "G"), GENERATOR, 4),
        (lambda: build_segmenter(2, 1, 0, "S"), SEGMENTER, 3),
    ],
)
def test_rows_of_the_table(monkeypatch, build, table, kernel):
    network = build()
    recorded = record_units(monkeypatch)
    network(random_image(1, 128, 128, 1))
    expected = [(name, kernel, 2, (side, side, 2 * n), norm) for name, n, side, norm in table]
    assert recorded == [*expected, ("up1", kernel, 2, (128, 128, 1), False)]


@pytest.mark.parametrize(
    "size, kept", [((128, 256), "1234567"), ((64, 64), "123456"), ((96, 160), "12345")]
)
def test_small_images_have_fewer_levels(size, kept):
    names = [row.name for row in generator_rows(size)]
    assert names == [f"down{i}" for i in kept] + [f"up{i}" for i in reversed(kept)]
    halved = tuple(side >> len(kept) for side in size)
    assert all(side << len(kept) for side in halved)
    assert build_generator(1, size, 0, "G")(random_image(1, *size, 1)).shape == (1, *size, 1)


def units(network) -> dict:
    return {unit.name: unit for unit in network.units}


def normed(y):
    mean, variance = tf.reduce_mean(y, [1, 2], True), tf.math.reduce_variance(y, [1, 2], True)
    return (y - mean) / tf.sqrt(variance + 1e-5)


def plain_generator(network, image, label):
    """The pix2pix U-Net of 32 pixels, from the outer level inwards as its authors write it."""
    layer = {name: unit.convolution for name, unit in units(network).items()}

    def level(number: str, rest: str, x):
        """Skip in front of what the inner levels make of it, activation first."""
        y = tf.nn.conv2d(tf.nn.leaky_relu(x, 0.2), layer[f"down{number}"].kernel, 2, "SAME")
        y += layer[f"down{number}"].bias
        y = level(rest[0], rest[1:], normed(y)) if rest else y
        return tf.concat([x, normed(up(number, y, x.shape))], -1)

    def up(number: str, y, like):
        convolution = layer[f"up{number}"]
        kernel = convolution.kernel
        shape = (*like[:3], kernel.shape[2])
        return tf.nn.conv2d_transpose(tf.nn.relu(y), kernel, shape, 2) + convolution.bias

    maps = tf.ones([*image.shape[:3], 1]) * label[:, None, None]
    x = tf.concat([image, maps], -1)
    outer = tf.nn.conv2d(x, layer["down1"].kernel, 2, "SAME") + layer["down1"].bias
    return tf.tanh(up("1", level("2", "345", outer), image.shape))


def spread(network, stddev: float = 0.3):
    """Larger random weights and biases, so that every layer shows in the output."""
    rng = np.random.default_rng(0)
    for variable in network.trainable_variables:
        if "norm" not in variable.name:
            variable.assign(rng.normal(0, stddev, variable.shape))
    return network


def test_generator_equals_the_plain_form():
    network, image = spread(build_generator(2, (32, 32), 3, "G")), random_image(2, 32, 32, 1)
    found, expected = network(image, LABEL), plain_generator(network, image, LABEL)
    assert found.shape == (2, 32, 32, 1) and np.std(found) > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert np.abs(found - network(image, LABEL[::-1])).max() > 0.01


def plain_segmenter(network, x):
    """Skips in front; PyTorch's pixel positions; batch norm at rest, its statistics 0 and 1."""
    layer = units(network)

    def relu(y):
        return np.maximum(y / np.sqrt(1 + 1e-5), 0)

    skips = []
    for i in range(1, 5):
        x = relu(torch_convolution(x, layer[f"down{i}"].convolution))
        skips.append(x)
    for i, skip in zip((4, 3, 2), skips[2::-1]):
        x = relu(torch_transposed(x, layer[f"up{i}"].convolution))
        x = np.concatenate([skip, x], -1)
    return 1 / (1 + np.exp(-torch_transposed(x, layer["up1"].convolution)))


def test_segmenter_equals_the_plain_form():
    network, image = spread(build_segmenter(1, 1, 3, "S")), random_image(2, 16, 32, 1)
    maps = np.ones((2, 16, 32, 1)) * LABEL.numpy()[:, None, None]
    expected = plain_segmenter(network, np.concatenate([image, maps], -1))
    np.testing.assert_allclose(network(image, LABEL), expected, rtol=1e-3, atol=1e-5)
    assert np.std(expected) > 0.01
    in_training = network(image, LABEL, training=True)
    assert np.abs(in_training - expected).max() > 0.01


@pytest.mark.parametrize("size, rest", [((128, 128), (4, 4)), ((32, 64), (1, 2))])
def test_critic_equals_the_plain_form(size, rest):
    critic = spread(Critic(1, size, 3, "D"))
    image, source = random_image(2, *size, 1), 1 - random_image(2, *size, 1)
    x = tf.concat([image, source], -1)
    for unit in critic.trunk:
        x = tf.nn.leaky_relu(apply_unit(unit, x, stride=2), 0.01)
    assert x.shape == (2, *rest, 16)
    judged = critic(image, source)
    score, modality = (head.convolution for head in critic.heads)
    assert score.kernel.shape == (3, 3, 16, 1) and modality.kernel.shape == (*rest, 16, 3)
    assert score.bias is None and modality.bias is None
    plain = tf.nn.conv2d(x, score.kernel, 1, "SAME")
    np.testing.assert_allclose(judged["score"], plain, rtol=1e-3, atol=1e-4)
    logits = np.tensordot(x, modality.kernel, 3)
    np.testing.assert_allclose(judged["modality"], logits, rtol=1e-3, atol=1e-4)


def test_a_critic_without_labels_has_one_head():
    critic = Critic(1, (32, 32), 0, "D")
    assert set(critic(*[random_image(1, 32, 32, 1)] * 2)) == {"score"}


def test_initial_values():
    g, d = build_generator(8, (32, 32), 3, "G"), Critic(8, (32, 32), 3, "D")
    s = build_segmenter(8, 1, 3, "S")
    for unit in [*g.units, *d.trunk, *d.heads, *s.units]:
        kernel = unit.convolution.kernel.numpy()
        area, transposed = kernel.shape[0] * kernel.shape[1], unit.row.resample == "transposed"
        if unit in g.units:
            expected = 0.02
        elif transposed:
            expected = 1 / np.sqrt(3 * area * kernel.shape[2])  # uniform up to 1 / sqrt(area * out)
        else:
            expected = np.sqrt(2 / (area * kernel.shape[2]))
        assert kernel.std() == pytest.approx(expected, rel=6 / np.sqrt(kernel.size)), unit.name
        assert unit.convolution.bias is None or not np.any(unit.convolution.bias)
    norms = [unit.norm for unit in s.units[:-1]]
    assert all(np.all(n.gamma == 1) and not np.any(n.beta) for n in norms)


@pytest.mark.parametrize("net", ["G", "D", "S"])
def test_a_gradient_reaches_every_variable(net):
    image = random_image(2, 32, 32, 1)
    build = {
        "G": lambda: build_generator(2, (32, 32), 3, net),
        "D": lambda: Critic(2, (32, 32), 3, net),
        "S": lambda: build_segmenter(2, 1, 3, net),
    }
    network = build[net]()
    with tf.GradientTape() as tape:
        made = network(image, image) if net == "D" else network(image, LABEL, training=True)
        loss = tf.add_n([tf.reduce_sum(part * random_image(*part.shape)) for part in flat(made)])
    gradients = tape.gradient(loss, network.trainable_variables)
    assert None not in gradients
    largest = {
        v.name.partition("/")[2]: np.abs(g).max()
        for v, g in zip(network.trainable_variables, gradients)
    }
    still = {name for name, value in largest.items() if value < 1e-2}
    innermost = {"down5/conv/bias:0"} if net == "G" else set()  # of 32 pixels: without norm
    assert still == BEFORE_NORM[net] & set(largest) - innermost


def flat(made) -> list:
    return list(made.values()) if isinstance(made, dict) else [made]


def test_sizes_that_cannot_be_halved_are_refused():
    with pytest.raises(UserError, match="--gan.image_size has 128x80 pixels; .* divisible by 32"):
        check_image_size("--gan.image_size", (128, 80))
    with pytest.raises(UserError, match="S has 24x32 pixels; .* by 16, .* halves them 4 times"):
        build_segmenter(1, 1, 0, "S")(random_image(1, 24, 32, 1))
    with pytest.raises(UserError, match="input of G has 64x96 .* by 64"):
        build_generator(1, (64, 64), 0, "G")(random_image(1, 64, 96, 1))


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16"])
def test_outputs_are_float32_under_mixed_precision(policy, name):
    policy(name)
    image = random_image(2, 32, 32, 1)
    made = [
        build_generator(2, (32, 32), 3, "G")(image, LABEL),
        build_segmenter(2, 1, 3, "S")(image, LABEL, training=True),
        *Critic(2, (32, 32), 3, "D")(image, image).values(),
    ]
    assert {part.dtype for part in made} == {tf.float32}
