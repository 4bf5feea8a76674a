"""The early paper's systems: sizes, which terms reach whom, sums over pairs, what options do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from losses.structure import soft_edges
from models.early_gan.config import EarlyGANConfig, EarlyMapsConfig, LesionNetsConfig
from models.early_gan.images import EarlyGAN, Pretraining
from models.early_gan.lesions import LesionNets
from models.early_gan.maps import EarlyMaps
from models.early_gan.networks import CodeEncoder, MRICodeDiscriminator
from models.networks.discriminator import Discriminator
from models.networks.modalities import BY_TARGET, TARGET, TRANSLATIONS, to_rows
from models.networks.unet import UNetSpec, build_unet
from tests.models.harness import values, variables_of
from tests.models.toys import random_batch
from utils.errors import UserError

SMALL = EarlyGANConfig(width=4, discriminator_width=4, initializer="he_normal")
LESIONS = LesionNetsConfig(width=4, initializer="he_normal")


def mse(a, b) -> float:
    return float(np.mean((np.asarray(a) - np.asarray(b)) ** 2))


@pytest.mark.parametrize(
    "width, EC_R, EC_M, DC_M, EC_L, DC_L, D_M, FD_R",
    [
        (64, 4_542_528, 4_540_224, 5_406_339, 4_540_224, 5_390_223, 475_330, 1_783_105),
        (16, 285_456, 284_880, 342_435, 284_880, 338_415, 30_514, 111_697),
        (8, 71_880, 71_592, 87_123, 71_592, 85_119, 7_898, 28_009),
    ],
)
def test_networks_have_the_published_sizes(width, EC_R, EC_M, DC_M, EC_L, DC_L, D_M, FD_R):
    spec = UNetSpec(width, skips=False)
    images = build_unet(replace(spec, conditions=4), 1, "M")
    lesions = build_unet(replace(spec, outputs=5), 1, "L")
    parts = []
    for network in (images, lesions):
        encoder = sum(unit.count_params() for unit in network.encoder)
        parts += [encoder, network.count_params() - encoder]
    assert CodeEncoder(spec, 5, "EC_R").count_params() == EC_R
    assert parts == [EC_M, DC_M, EC_L, DC_L]
    assert Discriminator(width, 2, 1, "D_M").count_params() == D_M
    assert MRICodeDiscriminator(spec, width, 0.02, "FD_R").count_params() == FD_R


@pytest.mark.parametrize(
    "scheme, expected",
    [
        ("1seg", 156_711),
        ("1ecl_4dcl", 412_068),
        ("4seg", 626_844),
        ("1seg_4channel", 156_927),
    ],
)
def test_schemes_of_lesion_nets(scheme, expected):
    config = LesionNetsConfig(width=8, initializer="he_normal", scheme=scheme)
    system, batch = LesionNets(config), random_batch(2)
    assert sum(net.count_params() for net in system.networks.values()) == expected
    nets = 1 if scheme == "1seg_4channel" else 4
    assert system.class_scores(batch["images"]).shape == (2, nets, 32, 24, 5)
    before = values(variables_of(system.networks.values()))
    report = system.train_step(batch)
    assert len([key for key in report if key.startswith("G/lesion_")]) == nets
    after = values(variables_of(system.networks.values()))
    assert any(not np.array_equal(a, b) for a, b in zip(before, after))


def test_one_net_of_the_scheme_1seg_sees_each_modality_alone():
    system = LesionNets(replace(LESIONS, scheme="1seg"))
    images = random_batch(2)["images"]
    scores = system.class_scores(images)
    for i in range(4):
        expected = system.networks["L"](images[..., i : i + 1])
        np.testing.assert_allclose(scores[:, i], expected, atol=1e-5)


def test_joint_lesion_nets_learn_from_real_slices_alone():
    batch = random_batch(2)
    lesions = LesionNets(replace(LESIONS, scheme="1seg"))
    system = EarlyGAN(SMALL, lesions, joint=True)
    with tf.GradientTape(persistent=True) as tape:
        terms = system._lesion_nets_terms(batch)
        loss = tf.add_n(list(terms.values()))
    of_nets = tape.gradient(loss, lesions.networks["L"].trainable_variables)
    assert any(np.abs(g).max() > 0 for g in of_nets)
    others = [v for name in ("EC_R", "M") for v in system.networks[name].trainable_variables]
    assert all(g is None for g in tape.gradient(loss, others))
    changed = {**batch, "random_label": tf.zeros_like(batch["random_label"])}
    for name, term in system._lesion_nets_terms(changed).items():
        assert float(term) == float(terms[name])


def test_noise_takes_the_maps_place():
    batch = random_batch(2)
    other = {**batch, "random_structure": 1.0 - batch["random_structure"]}
    for noise in (False, True):
        system = EarlyGAN(replace(SMALL, noise_map=noise))
        codes = [system.code_of_map(part).numpy() for part in (batch, other)]
        assert np.array_equal(*codes) == noise


def test_pretraining_compares_with_the_slices_own_modalities():
    system, batch = Pretraining(SMALL), random_batch(2)
    w, images = SMALL.pretraining, batch["images"].numpy()
    made = system.images_of_maps(batch, prefix="").numpy()
    translated = system.translations(batch["images"]).numpy()
    wanted = np.stack([images[..., j] for j in TARGET], axis=1)[..., None]
    outside = batch["outside"].numpy()
    terms = {name: float(term) for name, term in system.train_step(batch).items()}
    expected = {
        "G/made": w.made * 4 * np.abs(made - images).mean(),
        "G/translation": w.translation * 12 * np.abs(translated - wanted).mean(),
        "G/outside": w.outside
        * (4 * np.mean((made * outside) ** 2) + 12 * np.mean((translated * outside[:, None]) ** 2)),
    }
    for name, value in expected.items():
        assert terms[name] == pytest.approx(value, rel=1e-4), name


@pytest.mark.parametrize(
    "width, size, latent, EC_F, DC_F, D_F, FD_F, MASK",
    [
        (64, (184, 144), 4096, 200_338_688, 71_826_246, 5_024_001, 2_632_705, 9_928_710),
        (8, (184, 144), 4096, 23_783_456, 1_986_798, 79_649, 42_369, 156_486),
        (8, (96, 72), 256, 625_184, 391_014, 79_649, 42_369, 156_486),
    ],
)
def test_the_map_stage_has_the_published_sizes(width, size, latent, EC_F, DC_F, D_F, FD_F, MASK):
    config = EarlyMapsConfig(width=width, latent_size=latent)
    networks = EarlyMaps(config, size).networks
    found = {name: network.count_params() for name, network in networks.items()}
    assert found == {"EC_F": EC_F, "DC_F": DC_F, "MASK": MASK, "D_F": D_F, "FD_F": FD_F}
    assert networks["DC_F"](tf.zeros([1, latent])).shape == (1, *size, 2)
    if size == (184, 144):
        assert networks["D_F"](tf.zeros([1, *size, 1])).shape == (1, 12, 9, 1)


MAPS = EarlyMapsConfig(width=4, latent_size=16, initializer="he_normal")


def test_a_map_that_would_shrink_to_a_pixel_is_refused():
    with pytest.raises(UserError, match="32x24 pixels are too small for the early map stage"):
        EarlyMaps(MAPS, (32, 24))


@pytest.mark.parametrize("live", [True, False])
def test_only_live_terms_of_the_map_stage_pass_a_gradient(live):
    """The released code's arg-max cuts DC_F off from D_F, and from lines outside of the organ."""
    system = EarlyMaps(replace(MAPS, live_terms=live), (40, 36))
    batch = random_batch(2, size=(40, 36))
    with tf.GradientTape(persistent=True) as tape:
        terms = system.terms(batch, system.outputs(batch))
    decoder = system.networks["DC_F"].trainable_variables
    for name in ("G/map_adversarial", "G/lines_outside"):
        gradients = tape.gradient(terms["G"][name], decoder)
        reaches = any(g is not None and np.abs(g).max() > 0 for g in gradients)
        assert reaches == live, name
    masks = tape.gradient(terms["M"]["M/lines_outside_random"], decoder)
    assert all(g is None for g in masks)  # of the mask net alone
    rebuilt = tape.gradient(terms["G"]["G/map"], decoder)
    assert any(np.abs(g).max() > 0 for g in rebuilt if g is not None)


def parts(system: EarlyGAN, batch: dict) -> tuple:
    x = to_rows(batch["unpaired_images"])
    return x, system.translate(x, batch["seed"])


def test_sums_run_over_twelve_translations_and_their_pairs():
    system, batch = EarlyGAN(SMALL), random_batch(2)
    x, real = parts(system, batch)
    terms = {k: float(v) for k, v in system._real_terms(x, real).items()}
    one_hot = tf.one_hot
    M = system.networks["M"]
    cycle = code = 0.0
    cycles, codes = {}, {}
    for i, j in TRANSLATIONS:
        source = x[i::4]
        code_i = M.encode(source)[0]
        image = M.decode((code_i, {}), one_hot([j, j], 4))
        codes[i, j] = M.encode(image)[0]
        cycles[i, j] = M.decode((codes[i, j], {}), one_hot([i, i], 4))
        cycle += mse(cycles[i, j], source)
        code += mse(codes[i, j], code_i)
    pairs = [
        ((i, j), (i, k)) for i in range(4) for j in range(4) for k in range(j) if i not in (j, k)
    ]
    assert len(pairs) == 12
    assert terms["G/cycle"] == pytest.approx(10 * cycle, rel=1e-3)
    assert terms["G/code"] == pytest.approx(5 * code, rel=1e-3)
    consistency = sum(mse(cycles[a], cycles[b]) for a, b in pairs)
    assert terms["G/consistency"] == pytest.approx(2 * consistency, rel=1e-3)
    code_pairs = sum(mse(codes[a], codes[b]) for a, b in pairs)
    assert terms["G/code_pairs"] == pytest.approx(code_pairs, rel=1e-3)


def test_terms_of_a_map_by_hand():
    system, batch = EarlyGAN(SMALL), random_batch(2)
    code_g = system.code_of_map(batch)
    images = system.synthesize(batch)["images"]
    rows = to_rows(images)
    made = system.translate(rows, batch["seed"])
    terms = {k: float(v) for k, v in system._made_terms(batch, rows, made, code_g).items()}
    x_gt = system.translations(images).numpy()
    found = [mse(x_gt[:, k, ..., 0], images[..., j]) for k, j in enumerate(TARGET)]
    assert terms["G/registration"] == pytest.approx(20 * sum(found), rel=1e-3)
    agreement = sum(
        mse(x_gt[:, a], x_gt[:, b]) for ks in BY_TARGET for a in ks for b in ks if a < b
    )
    assert terms["G/registration_pairs"] == pytest.approx(5 * agreement, rel=1e-3)
    outside = batch["random_outside"].numpy()
    energy = sum(mse(images[..., i : i + 1] * outside, 0) for i in range(4))
    energy += sum(mse(x_gt[:, k] * outside, 0) for k in range(12))
    assert terms["G/range_made"] == pytest.approx(1.5 * energy, rel=1e-3)
    codes = [system.encode(images[..., i : i + 1]) for i in range(4)]
    expected = sum(mse(code, code_g) for code in codes)
    assert terms["G/made_code"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    "condition, low, high",
    [("concat", 0.0, 0.05), ("conditional_instance_norm", 0.08, 0.25)],
)
def test_the_modality_is_cancelled_inside_unless_the_norm_has_it(condition, low, high):
    """A constant map reaches the norm through the padding alone: a twentieth of the image."""
    config = replace(SMALL, width=8, condition=condition)
    system = EarlyGAN(config)
    image = np.random.default_rng(0).random((1, 184, 144, 1)).astype(np.float32)
    codes = system.encode(tf.constant(image))
    made = system.decode(codes, tf.range(4)).numpy()[:, 16:-16, 16:-16, 0]
    changes = [np.abs(made[i] - made[0]).mean() / made[0].std() for i in (1, 2, 3)]
    assert low < np.mean(changes) < high


def test_the_map_and_its_label_are_told_apart():
    system, batch = EarlyGAN(SMALL), random_batch(2)
    seen = []
    system.networks["EC_R"] = lambda x: seen.append(x.numpy()) or x
    system.code_of_map(batch)
    values_seen = np.unique(np.round(seen[0], 6))
    assert set(values_seen) == {np.float32(v) for v in (0.0, 0.2, 0.8, 1.0)}


def test_one_target_of_each_source_stands_for_three():
    system, batch = EarlyGAN(replace(SMALL, all_targets=False)), random_batch(2)
    x, real = parts(system, batch)
    shift = (real.targets.numpy() - np.tile(range(4), 2)) % 4
    assert len(set(shift)) == 1 and shift[0] in (1, 2, 3) and real.images.shape[0] == 8
    terms = system._real_terms(x, real)
    assert "G/consistency" not in terms and "G/code_pairs" not in terms
    back = system.decode(system.encode(real.images), tf.tile(tf.range(4), [2]))
    assert float(terms["G/cycle"]) == pytest.approx(10 * 12 * mse(back, x), rel=1e-3)


@pytest.mark.parametrize("live", [True, False])
def test_edges_train_only_where_they_are_smooth(live):
    system, batch = EarlyGAN(replace(SMALL, live_terms=live)), random_batch(2)
    with tf.GradientTape() as tape:
        rows = to_rows(system.synthesize(batch)["images"])
        terms = system._edge_terms(batch, rows)
        loss = tf.add_n(list(terms.values()))
    gradients = tape.gradient(loss, system.networks["EC_R"].trainable_variables)
    assert all((gradient is not None) == live for gradient in gradients)
    assert float(terms["G/edges"]) > 0


def test_soft_edges_are_near_hard_ones():
    ramp = np.zeros((1, 16, 16, 1), np.float32)
    ramp[:, :, 8:] = 1.0
    for softness in (0.02, 1e-7):
        edges = soft_edges(tf.constant(ramp), 0.12, softness).numpy()[0, ..., 0]
        assert (edges[:, 7:9] > 0.99).all() and (edges[:, :5] < 0.01).all()


def test_codes_of_images_are_moved_unless_it_is_one_sided():
    batch = random_batch(2)
    for one_sided in (False, True):
        system = EarlyGAN(replace(SMALL, one_sided=one_sided))
        x, real = parts(system, batch)
        found = system._adversarial(x, x, real, system.code_of_map(batch))[0]
        assert ("G/code_of_images" in found) != one_sided


def test_impossible_settings_are_refused():
    with pytest.raises(UserError, match="scheme is '2seg'"):
        LesionNetsConfig(scheme="2seg")
    for config in (LesionNetsConfig, EarlyGANConfig):
        with pytest.raises(UserError, match="class_weights is .*give null or 5 numbers"):
            config(class_weights=(1.0, 2.0))
    with pytest.raises(UserError, match="divisible by 4"):
        CodeEncoder(UNetSpec(2), 1, "EC")(tf.zeros([1, 10, 8, 1]))
