"""One step of the structure-map system against the loss table, and its random maps."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.networks.maps import to_binary, two_channels
from models.structure_gan.structure import PRIOR_DECAY, StructureGAN
from models.structure_gan.structure_config import StructureConfig, StructureWeights
from tests.models.harness import SystemTests
from tests.models.toys import assert_step_equals, calm, mse, random_batch
from utils.errors import UserError
from utils.seeding import dropout, normal

SIZE = (32, 24)


def tiny_structure(**options) -> StructureGAN:
    defaults = {"width": 8, "latent_size": 16, "map_size": SIZE, "halvings": 2}
    config = StructureConfig(**{**defaults, "initializer": "he_normal", **options})
    return calm(StructureGAN(config))


def small_batch(samples: int = 2, seed: int = 0) -> dict:
    """A batch whose maps are smaller than those inside the networks."""
    batch = random_batch(samples, seed)
    return {k: v[:, :20, :18] if k in ("structure", "outside") else v for k, v in batch.items()}


def resized(image, size: tuple) -> np.ndarray:
    """Output pixel i shows input pixel floor(i * in / out)."""
    image = np.asarray(image)
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, image.shape[1:3]))
    return image[:, rows][:, :, columns]


# The weights of table 2.1.
WEIGHTS = {
    "code_discriminator": 10.0,
    "code_adversarial": 0.001,
    "moments": 0.001,
    "kl": 0.0,
    "map_discriminator": 25.0,
    "map_adversarial": 0.1,
    "reconstruction_squared": 25.0,
    "reconstruction_absolute": 10.0,
    "line_sparsity": 0.0001,
    "lines_outside": 1.0,
    "mask": 15.0,
}


def reference_terms(system: StructureGAN, batch: dict, w: dict = WEIGHTS) -> dict:
    """Table 2.1 (of the mask products the line channel only) with one network call per map."""
    E_s, G_s, G_m, D_z, D_s = (system.networks[k] for k in ("E_s", "G_s", "G_m", "D_z", "D_s"))
    seeds = batch["seed"]
    line, outside = resized(batch["structure"], SIZE), resized(batch["outside"], SIZE)
    s, m = (np.concatenate([1 - x, x], -1) for x in (line, outside))
    mean, log_variance = E_s(dropout(tf.constant(line * 0.1 + 0.9), 0.85, seeds, "E_s"))
    std = tf.exp(log_variance / 2)
    z, code = (normal(seeds, name, (16,)) for name in ("z", "code"))
    code = mean + std * code
    s_r, s_g = G_s(code), G_s(z)
    m_r = G_m(dropout(tf.constant(s), 0.9, seeds, "G_m/first"))
    m_g = G_m(dropout(s_g, 0.9, seeds, "G_m/second"))
    real_map = D_s(dropout(tf.constant(s), 0.85, seeds, "D_s/first"))
    fake_map = D_s(dropout(s_g, 0.85, seeds, "D_s/second"))
    lines = mse(m[..., 1] * s_r[..., 1], 0.0) + mse(m_g[..., 1] * s_g[..., 1], 0.0)
    # The moments are those of one sample: the original had one image on each device.
    moments = tf.reduce_mean(mean, 1) ** 2 + (tf.reduce_mean(std, 1) - 1) ** 2
    divergence = 0.5 * (mean**2 + std**2 - 2 * tf.math.log(std) - 1)
    sparsity = sum(tf.reduce_mean(drawn[..., 0] - drawn[..., 1]) for drawn in (s_r, s_g))
    return {
        "G": {
            "G/code_adversarial": w["code_adversarial"] * mse(D_z(code), 1.0),
            "G/code_moments": w["moments"] * tf.reduce_mean(moments),
            **({"G/code_kl": w["kl"] * tf.reduce_mean(divergence)} if w["kl"] else {}),
            "G/map_adversarial": w["map_adversarial"] * mse(fake_map, 1.0),
            "G/map_squared_error": w["reconstruction_squared"] * mse(s, s_r),
            "G/map_absolute_error": w["reconstruction_absolute"] * tf.reduce_mean(tf.abs(s - s_r)),
            "G/line_sparsity": w["line_sparsity"] * sparsity,
            "G/lines_outside": w["lines_outside"] * lines,
            "G/mask": w["mask"] * mse(m, m_r),
        },
        "D": {
            "D/code_real": w["code_discriminator"] * mse(D_z(z), 1.0),
            "D/code_fake": w["code_discriminator"] * mse(D_z(code), 0.0),
            "D/map_real": w["map_discriminator"] * mse(real_map, 1.0),
            "D/map_fake": w["map_discriminator"] * mse(fake_map, 0.0),
        },
    }


class TestFineStructureGAN(SystemTests):
    groups = {"G": ["E_s", "G_s", "G_m"], "D": ["D_z", "D_s"]}
    parameters = {"E_s": 128_146, "G_s": 136_886, "G_m": 17_446, "D_z": 42_369, "D_s": 6_849}
    rate, split_rate, batch = 0.1, 1e-4, staticmethod(small_batch)
    slow = ("resuming", "dry_run", "mixed_precision", "two_devices")

    def build(self):
        return tiny_structure(fine_channels=1, fine_halvings=1, weights=StructureWeights(kl_fine=1))


class TestStructureGAN(SystemTests):
    groups = {"G": ["E_s", "G_s", "G_m"], "D": ["D_z", "D_s"]}
    parameters = {"E_s": 126_992, "G_s": 136_598, "G_m": 17_446, "D_z": 42_369, "D_s": 6_849}
    rate, split_rate = 0.1, 1e-4
    slow = ("resuming", "dry_run")
    build, batch, reference = map(staticmethod, (tiny_structure, small_batch, reference_terms))

    @pytest.mark.slow
    def test_float16(self):
        """Each group has an optimiser of its own; D skips six steps and scales its loss less."""
        optimizers = self.trains_in("mixed_float16", steps=8).optimizers.values()
        scaling = tf.keras.mixed_precision.LossScaleOptimizer
        assert all(isinstance(optimizer, scaling) for optimizer in optimizers)


def test_every_weight_is_an_option():
    """With these weights the gradient of every term is a visible part of the whole."""
    weights = {name: 1.0 + 0.1 * k for k, name in enumerate(WEIGHTS)}
    weights.update(moments=0.003, kl=0.0005)
    system, batch = tiny_structure(weights=StructureWeights(**weights)), small_batch()
    assert_step_equals(system, batch, lambda: reference_terms(system, batch, weights), rate=0.1)


def test_the_fine_code_has_a_divergence_of_its_own():
    weights = StructureWeights(kl=0.5, kl_fine=2.0)
    system = tiny_structure(fine_channels=3, fine_halvings=1, weights=weights)
    batch, code_size = small_batch(), 16 + 3 * 16 * 12
    outputs = system.outputs(batch)
    mean, variance = outputs["mean"].numpy(), np.exp(outputs["log_variance"].numpy())
    assert mean.shape == (2, code_size) == (2, system.config.code_size)
    divergence = 0.5 * (mean**2 + variance - np.log(variance) - 1)
    terms = system.terms(batch, outputs)["G"]
    assert float(terms["G/code_kl"]) == pytest.approx(0.5 * divergence[:, :16].mean(), rel=1e-4)
    assert float(terms["G/fine_kl"]) == pytest.approx(2 * divergence[:, 16:].mean(), rel=1e-4)
    moments = mean[:, :16].mean(1) ** 2 + (np.sqrt(variance[:, :16]).mean(1) - 1) ** 2
    assert float(terms["G/code_moments"]) == pytest.approx(0.001 * moments.mean(), rel=1e-3)
    z = normal(batch["seed"], "z", (code_size,))
    np.testing.assert_allclose(outputs["s_g"], system.networks["G_s"](z), atol=1e-5)
    for scores, code in (("real_code", z), ("fake_code", outputs["code"])):
        expected = system.networks["D_z"](code[:, :16])
        np.testing.assert_allclose(outputs[scores], expected, atol=1e-5)


def test_the_fitted_prior_holds_the_whole_code():
    system = tiny_structure(prior="fitted", fine_channels=1, fine_halvings=1)
    batch = small_batch()
    code = system.encode(batch, training=True)["code"].numpy()
    system.train_step(batch)
    prior = system.networks["code_prior"]
    np.testing.assert_allclose(prior.mean, (1 - PRIOR_DECAY) * code.mean(0), rtol=1e-3, atol=1e-6)
    expected = to_binary(system.networks["G_s"](prior(normal(batch["seed"], "z", (208,)))))
    found = system.random_maps(batch["seed"], SIZE)["structure"]
    assert np.mean(found.numpy() != expected.numpy()) < 0.01


@pytest.mark.parametrize("halvings", [0, 3])
def test_places_of_the_fine_code_that_the_networks_do_not_have_are_refused(halvings):
    with pytest.raises(UserError, match="structure.fine_halvings is .*1.*2"):
        tiny_structure(fine_channels=1, fine_halvings=halvings)


def test_both_channels_are_penalised_on_request():
    """Table 2.1 as coded: the means run over both channels of mask times map."""
    system, batch = tiny_structure(outside_channels="both"), small_batch()
    m = two_channels(tf.constant(resized(batch["outside"], SIZE)))
    s_r = system.networks["G_s"](system.encode(batch, training=True)["code"])
    s_g = system.networks["G_s"](normal(batch["seed"], "z", (16,)))
    m_g = system.networks["G_m"](dropout(s_g, 0.9, batch["seed"], "G_m/second"))
    expected = float(mse(m * s_r, 0.0) + mse(m_g * s_g, 0.0))
    assert float(system.train_step(batch)["G/lines_outside"]) == pytest.approx(expected, rel=1e-5)


def test_mask_generator_with_an_optimiser_of_its_own():
    system, batch = tiny_structure(separate_mask_optimizer=True, learning_rate=0.5), small_batch()
    assert system.groups == {"G": ["E_s", "G_s"], "D": ["D_z", "D_s"], "M": ["G_m"]}
    assert float(system.optimizers["M"].learning_rate) == 0.5

    def reference():
        terms = reference_terms(system, batch)
        return {**terms, "M": {"M/mask": terms["G"].pop("G/mask")}}

    assert_step_equals(system, batch, reference, rate=0.1)


def test_rates_and_options_reach_their_networks():
    system = tiny_structure(learning_rate=0.5, discriminator_learning_rate=0.25)
    rates = {group: float(adam.learning_rate) for group, adam in system.optimizers.items()}
    assert rates == {"G": 0.5, "D": 0.25}
    assert not np.any(system.networks["G_s"].dense[1].bias)
    assert np.any(tiny_structure(constant_stddev=0.1).networks["G_s"].dense[1].bias)


def test_trunk_of_the_map_discriminator():
    large = tiny_structure(discriminator="vgg11", map_size=(64, 48))
    assert large.networks["D_s"].trunk[-1].name == "conv5_2"
    with pytest.raises(UserError, match="structure.discriminator is vgg11.* 33 or more pixels"):
        tiny_structure(discriminator="vgg11")


def test_maps_that_the_mask_generator_cannot_halve_three_times_are_refused():
    with pytest.raises(UserError, match="structure.map_size has 36x24 pixels"):
        tiny_structure(map_size=(36, 24))


def test_one_hot_and_back():
    binary = tf.reshape(tf.constant([0.0, 1.0]), [1, 1, 2, 1])
    np.testing.assert_array_equal(two_channels(binary)[0, 0], [[1, 0], [0, 1]])
    probabilities = tf.reshape(tf.constant([[0.9, 0.8], [0.1, 0.2], [0.5, 0.5]]), [1, 1, 3, 2])
    np.testing.assert_array_equal(to_binary(probabilities)[0, 0, :, 0], [0, 1, 0])  # arg-max


def test_random_maps_need_no_input_but_seeds():
    system, seeds = tiny_structure(), random_batch(3)["seed"]
    maps = system.random_maps(seeds, (20, 18))
    s_g = system.networks["G_s"](normal(seeds, "z", (16,)))
    m_g = system.networks["G_m"](s_g)  # of the probabilities, without dropout
    for found, source in ((maps["structure"], s_g), (maps["outside"], m_g)):
        expected = resized(source, (20, 18)).argmax(-1)
        np.testing.assert_array_equal(found[..., 0], expected)
    assert np.any(maps["structure"][0] != maps["structure"][1])
    scores = system.networks["D_s"](s_g).numpy()  # as they are, without dropout
    np.testing.assert_allclose(maps["score"], scores.mean((1, 2, 3)), rtol=1e-5)


def test_random_codes_come_from_the_fitted_prior():
    system, batch = tiny_structure(prior="fitted"), small_batch()
    code = system.encode(batch, training=True)["code"].numpy()
    system.train_step(batch)
    prior = system.networks["code_prior"]
    np.testing.assert_allclose(prior.mean, (1 - PRIOR_DECAY) * code.mean(0), rtol=1e-4)
    prior.mean.assign(2 + 0 * prior.mean)
    prior.second_moment.assign(4 + 0.25 * np.eye(16, dtype=np.float32))
    found = system.random_maps(batch["seed"], SIZE)["structure"]
    z = 2 + 0.5 * normal(batch["seed"], "z", (16,))
    expected = to_binary(system.networks["G_s"](z))
    assert np.mean(found.numpy() != expected.numpy()) < 0.01


def test_dropout_at_generation():
    system = tiny_structure(dropout_at_generation=True, keep_discriminator=0.5)
    kept, s_g = {}, system.networks["G_s"](normal(small_batch()["seed"], "z", (16,))).numpy()

    def watch(name, network):
        def call(x):
            kept[name] = x.numpy()
            return network(x)

        return call

    for name in ("E_s", "G_m", "D_s"):
        system.networks[name] = watch(name, system.networks[name])
    system.synthesize(small_batch())
    for name, share in (("G_m", 0.9), ("D_s", 0.5)):
        seen = kept[name] != 0
        assert seen.mean() == pytest.approx(share, abs=0.03)
        np.testing.assert_allclose(kept[name][seen], s_g[seen] / share, rtol=1e-4)
    assert np.mean(kept["E_s"] != 0) == pytest.approx(0.85, abs=0.03)


def test_synthesis_has_no_dropout():
    system, batch = tiny_structure(), small_batch()
    found = system.synthesize(batch)
    assert set(found) == {"structure", "outside", "score", "reconstructed"}
    line = resized(batch["structure"], SIZE)
    mean, log_variance = system.networks["E_s"](line * 0.1 + 0.9)
    code = mean + tf.exp(log_variance / 2) * normal(batch["seed"], "code", (16,))
    expected = resized(system.networks["G_s"](code), (20, 18)).argmax(-1)
    np.testing.assert_array_equal(found["reconstructed"][..., 0], expected)


def test_default_sizes_are_the_thesis():
    config = StructureConfig()
    assert (config.width, config.latent_size, config.map_size) == (64, 4096, (512, 512))
    assert (config.halvings, config.learning_rate) == (6, 1e-5)
    assert config.discriminator_learning_rate == 1e-5 and config.constant_stddev == 0
    assert config.initializer == "mean_filter" and config.fine_code is None


def test_a_known_root_of_the_prior_changes_no_map():
    system = tiny_structure(prior="fitted")
    system.networks["code_prior"].update(tf.random.normal([8, system.config.code_size], 1.0, 2.0))
    seeds, root = tf.constant([[1, 2], [3, 4]]), system.networks["code_prior"].root()
    found, expected = (system.random_maps(seeds, SIZE, given) for given in (root, None))
    np.testing.assert_equal(
        *({k: v.numpy() for k, v in maps.items()} for maps in (found, expected))
    )
