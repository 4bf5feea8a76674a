"""The U-Net against the table of the original code: layers, sizes, parameters, initial values."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.blocks.initializers import KERNEL_INITIALIZERS
from models.networks.unet import UNet, UNetSpec, build_unet
from tests.models.toys import apply_unit, capped, random_image, record_units
from utils.graphs import peak_bytes

# Name, kernel, stride, output channels in n, has a norm, F of the initialiser in n (0 = one), and
# output size for a slice of 184x144. The filters of lastconv are not multiplied by n.
TABLE = [
    ("conv1", 3, 1, 1, True, 0, (184, 144)),
    ("conv2", 3, 1, 1, True, 1, (184, 144)),
    ("conv3", 3, 2, 1, True, 1, (92, 72)),
    ("conv4", 3, 1, 2, True, 1, (92, 72)),
    ("conv5", 3, 1, 2, True, 2, (92, 72)),
    ("conv6", 3, 2, 2, True, 2, (46, 36)),
    ("conv7", 3, 1, 4, True, 2, (46, 36)),
    ("conv8", 3, 1, 4, True, 4, (46, 36)),
    ("conv9", 3, 2, 4, False, 4, (23, 18)),
    ("conv10", 3, 1, 4, True, 4, (23, 18)),
    ("deconv1", 3, 1, 4, True, 4, (46, 36)),
    ("add1_conv1", 3, 1, 2, True, 8, (46, 36)),
    ("add1_conv2", 3, 1, 2, True, 2, (46, 36)),
    ("deconv2", 3, 1, 2, True, 2, (92, 72)),
    ("add2_conv1", 3, 1, 1, True, 4, (92, 72)),
    ("add2_conv2", 3, 1, 1, True, 1, (92, 72)),
    ("deconv3", 3, 1, 1, True, 1, (184, 144)),
    ("add3_conv1", 3, 1, 1, True, 2, (184, 144)),
    ("add3_conv2", 3, 1, 1, True, 1, (184, 144)),
]
OUTPUT = "lastconv"


def units(network: UNet) -> dict:
    return {u.name: u for u in [*network.encoder, *network.decoder, network.output_unit]}


def small(conditions: int = 0, channels: int = 1, **options) -> UNet:
    spec = UNetSpec(2, conditions=conditions, initializer="he_normal", **options)
    return build_unet(spec, channels, "G")


def reference(network: UNet, image, code=None, hidden=capped):
    """The forward pass as the fact sheet tells it, one layer after another."""
    layer = units(network)

    def run(name, x, **options):
        return apply_unit(layer[name], x, **{"activation": hidden, **options})

    skip_c = run("conv2", run("conv1", image))
    skip_b = run("conv5", run("conv4", run("conv3", skip_c, stride=2)), activation=tf.nn.relu)
    skip_a = run("conv8", run("conv7", run("conv6", skip_b, stride=2)))
    x = run("conv9", skip_a, stride=2)
    if code is not None:
        height, width = x.shape[1:3]
        x = tf.concat([x, np.tile(code[:, None, None], [1, height, width, 1])], -1)
    x = run("conv10", x)
    for number, skip in enumerate((skip_a, skip_b, skip_c), 1):
        x = run(f"deconv{number}", tf.image.resize(x, skip.shape[1:3], "nearest"))
        x = run(f"add{number}_conv1", tf.concat([skip, x], -1))
        x = run(f"add{number}_conv2", x)
    return run(OUTPUT, x, activation=tf.sigmoid)


@pytest.mark.parametrize(
    "width, channels, outputs, conditions, expected",
    [
        (64, 1, 1, 4, 4_330_627),  # G_t, and G of the released code
        (64, 6, 1, 4, 4_333_507),  # G with label
        (64, 1, 1, 0, 4_321_411),  # the baselines' generators
        (64, 1, 5, 0, 4_323_727),  # G_l
        (64, 4, 5, 0, 4_325_455),  # segmenter of four channels
        (32, 2, 2, 0, 1_083_014),  # G_m
        (64, 4, 1, 0, 4_323_139),  # X-ray
        (64, 1, 3, 0, 4_322_569),  # retina
        (64, 8, 3, 0, 4_326_601),  # three CT slices
        (4, 1, 1, 4, 17_947),
    ],
)
def test_parameters(width, channels, outputs, conditions, expected):
    network = build_unet(UNetSpec(width, outputs, conditions), channels, "G")
    assert network.count_params() == expected
    assert sum(np.prod(v.shape) for v in network.trainable_variables) == expected


def test_rows_of_the_table(monkeypatch):
    network = small(conditions=4, outputs=3)
    recorded = record_units(monkeypatch)
    network(random_image(1, 184, 144, 1), tf.one_hot([1], 4))
    expected = [(name, k, s, (*size, 2 * out), n) for name, k, s, out, n, _, size in TABLE]
    assert recorded == [*expected, (OUTPUT, 3, 1, (184, 144, 3), True)]


@pytest.mark.parametrize("conditions, channels", [(0, 2), (4, 1)])
def test_forward_pass_equals_the_plain_one(conditions, channels):
    network = small(conditions, channels, outputs=2)
    for unit in units(network).values():  # strong scales: the cap of the ReLUs matters
        if unit.norm is not None and unit.name != OUTPUT:
            unit.norm.scale.assign(80 * unit.norm.scale)
            unit.norm.offset.assign(tf.random.stateless_normal(unit.norm.offset.shape, [1, 2]))
    image = random_image(2, 32, 24, channels)
    code = np.eye(4, dtype=np.float32)[[2, 0]] if conditions else None
    found, expected = network(image, code), reference(network, image, code)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_leaky_units_and_an_output_without_norm_equal_the_plain_pass():
    options = {"activation": "leaky_relu", "output_norm": False, "output_offset": (-1.0, 2.0)}
    network, image = small(outputs=2, **options), random_image(2, 32, 24, 1)
    assert network.output_unit.norm is None
    np.testing.assert_array_equal(network.output_unit.convolution.bias, [-1, 2])
    logits = reference(network, image, hidden=lambda y: tf.maximum(y, 0.2 * y))
    np.testing.assert_allclose(network(image), 1 / (1 + np.exp(-logits)), atol=1e-4)


def test_logits_are_what_the_sigmoid_is_taken_of(policy):
    image, network = random_image(1, 16, 16, 1), small(outputs=3, output_activation="logits")
    sigmoids = small(outputs=3)
    sigmoids.set_weights(network.get_weights())
    np.testing.assert_allclose(1 / (1 + np.exp(-network(image))), sigmoids(image), atol=1e-5)
    policy("mixed_bfloat16")
    assert small(output_activation="logits")(image).dtype == tf.float32


def test_exact_mean_filter_counts_labels_and_conditions():
    spec = UNetSpec(4, conditions=4, initializer="mean_filter_exact")
    layers = units(build_unet(spec, 6, "G"))
    channels = {"conv1": 6, "conv2": 4, "conv10": 16 + 4, "add1_conv1": 32, OUTPUT: 4}
    for name, count in channels.items():
        kernel = layers[name].convolution.kernel.numpy().astype(np.float64)
        assert kernel.mean() == pytest.approx(1 / (9 * count), rel=1e-4), name


def test_initial_values_use_the_channels_of_the_table():
    network = build_unet(UNetSpec(8, outputs=2, conditions=4), 6, "G")
    means = {name: 1 / (9 * max(1, 8 * f)) for name, *_, f, _ in TABLE}
    for name, unit in units(network).items():
        kernel = unit.convolution.kernel.numpy().astype(np.float64)
        mean = means.get(name, 1 / (9 * 8))
        assert kernel.mean() == pytest.approx(mean, abs=6e-6 / kernel.size**0.5 + 1e-8), name
        assert kernel.std() == pytest.approx(1e-6, rel=5 / (2 * kernel.size) ** 0.5), name
        assert not np.any(unit.convolution.bias), name
    norms = [unit.norm for unit in units(network).values() if unit.norm]
    scales = np.concatenate([norm.scale for norm in norms])
    assert scales.mean() == pytest.approx(1, abs=6 * 0.02 / scales.size**0.5)
    assert scales.std() == pytest.approx(0.02, rel=0.2)
    assert not any(np.any(norm.offset) for norm in norms)


@pytest.mark.parametrize("initializer", KERNEL_INITIALIZERS)
def test_no_two_filters_or_scales_start_equal(initializer):
    network = build_unet(UNetSpec(4, initializer=initializer), 1, "G")
    for name in ("kernel", "scale"):
        values = [v.numpy() for v in network.trainable_variables if f"/{name}:" in v.name]
        filters = [f.tobytes() for v in values for f in v.reshape(-1, v.shape[-1]).T]
        assert len(filters) > 70 and len(set(filters)) == len(filters)


def test_output_logits_have_the_chosen_scale_and_offset():
    network = small(outputs=3, output_scale=0.5, output_offset=-1.0)
    y = network(random_image(2, 32, 24, 1)).numpy().astype(np.float64)
    logits = np.log(y / (1 - y))
    np.testing.assert_allclose(logits.mean((1, 2)), -1.0, atol=1e-4)
    scales = np.tile(network.output_unit.norm.scale, [2, 1])
    np.testing.assert_allclose(logits.std((1, 2)), scales, rtol=0.01)
    assert scales == pytest.approx(0.5, abs=0.12)


def test_mean_filter_network_ignores_a_concatenated_condition():
    network = build_unet(UNetSpec(4, conditions=4), 1, "G")
    images = network.decode(network.encode(random_image(1, 64, 48, 1)), tf.eye(4)).numpy()
    assert images.std() > 0.05
    change = np.ptp(images, axis=0)
    assert change.mean() < 1e-7 and change.max() < 5e-6


def test_random_network_hears_a_concatenated_condition_mostly_at_the_border():
    change = []
    for seed in range(3):
        tf.keras.utils.set_random_seed(seed)
        network = small(conditions=4)
        images = network.decode(network.encode(random_image(1, 96, 96, 1)), tf.eye(4)).numpy()
        difference = np.ptp(images, axis=0)[..., 0]
        change.append((difference.mean(), difference[36:-36, 36:-36].mean()))
    everywhere, inside = np.mean(change, axis=0)
    assert inside < 0.85 * everywhere


def test_conditional_norms_hear_the_condition():
    options = {"conditions": 4, "condition": "conditional_instance_norm"}
    network = build_unet(UNetSpec(4, **options), 1, "G")
    plain = build_unet(UNetSpec(4, conditions=4), 1, "G")
    codes = network.encode(random_image(1, 64, 48, 1))
    assert np.ptp(network.decode(codes, tf.eye(4)), axis=0).mean() > 1e-3
    # Ten decoder layers and the output have three more rows of scales and offsets; conv10 has
    # four channels less.
    channels = 4 * (4 + 4 + 2 + 2 + 2 + 1 + 1 + 1 + 1 + 1) + 1
    added = 3 * 2 * channels - 9 * 4 * 16
    assert network.count_params() - plain.count_params() == added


@pytest.mark.parametrize("policy_name", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("condition", ["concat", "conditional_instance_norm"])
def test_mixed_precision_is_close_to_float32(policy, policy_name, condition):
    exact = small(4, condition=condition)
    policy(policy_name)
    mixed = small(4, condition=condition)
    mixed.set_weights(exact.get_weights())
    assert {v.dtype for v in mixed.variables} == {tf.float32}
    image, code = random_image(2, 16, 16, 1), tf.one_hot([1, 3], 4)
    found = mixed.decode(mixed.encode(image), code)
    assert found.dtype == tf.float32
    error = np.abs(found - exact(image, code))
    assert np.std(found) > 0.1 and error.mean() < 0.04 and error.max() < 0.4


def test_sizes_that_cannot_be_halved_three_times_are_refused():
    network = small()
    with pytest.raises(ValueError, match="input of G has 20x16 pixels"):
        network(tf.zeros([1, 20, 16, 1]))
    with pytest.raises(ValueError, match="G has 16x12 pixels; height and width"):
        network.encode(tf.zeros([1, 16, 12, 1]))


def test_unknown_condition_is_refused():
    with pytest.raises(ValueError, match="condition is 'film'; expected concat or conditional"):
        UNet(UNetSpec(2, conditions=4, condition="film"), "G")


def test_recomputing_changes_memory_and_no_number():
    options = {"conditions": 4, "condition": "conditional_instance_norm"}
    keeping, recomputing = small(**options), small(**options, gradient_checkpointing=True)
    recomputing.set_weights(keeping.get_weights())
    image, code = random_image(2, 64, 64, 1), tf.one_hot([2, 3], 4)

    def compiled(network):
        def loss_and_gradients():
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(network(image, code) ** 2)
            return loss, tape.gradient(loss, network.trainable_variables)

        return tf.function(loss_and_gradients, autograph=False).get_concrete_function()

    kept, computed = compiled(keeping), compiled(recomputing)
    (loss, gradients), (other_loss, other_gradients) = kept(), computed()
    assert float(loss) == float(other_loss) and len(gradients) > 40
    for gradient, other in zip(gradients, other_gradients):
        np.testing.assert_array_equal(gradient, other)
    assert peak_bytes(computed.graph) < 0.7 * peak_bytes(kept.graph)
