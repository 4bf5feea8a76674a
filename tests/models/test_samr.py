"""SAMR: one step against the loss table, its ablations, regions and the atlas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from models.samr.config import METHODS, SAMRConfig, SAMRWeights
from models.samr.gan import SAMR
from models.samr.regions import halved, region_masks, regional_views, with_lesion_union
from tests.models.harness import LONG, SystemTests
from tests.models.toys import random_batch, random_image
from utils.config import differences, field_types, with_values
from utils.errors import UserError

SMALL = SAMRConfig(
    width=2,
    down_samplings=2,
    blocks=1,
    discriminator_width=2,
    segmenter_levels=2,
    segmenter_width=2,
)
ATLAS = random_image(10, 32, 24, 4).numpy()


def tiny_samr(**options) -> SAMR:
    system = SAMR(replace(SMALL, **options), 4, 5, ATLAS, total_steps=10, first=3)
    for network in system.networks.values():  # kernels of 0.02 leave hardly anything of the input
        for variable in network.trainable_variables:
            if variable.name.endswith("kernel:0"):
                variable.assign(10 * variable)
    return system


def batch_of(samples: int = 2, seed: int = 0) -> dict:
    batch = random_batch(samples, seed)
    heights = np.random.default_rng(seed).integers(0, 16, samples)
    source = np.stack([np.arange(samples), heights], axis=1).astype(np.int32)
    return {**batch, "source": tf.constant(source)}


def atlas_of(batch: dict) -> np.ndarray:
    """Slices z - 1, z, z + 1 behind each other, counted from 3; the edges repeat."""
    rows = []
    for _, z in batch["source"].numpy():
        places = [min(max(z - 3 + step, 0), 9) for step in (-1, 0, 1)]
        rows.append(np.concatenate([2 * ATLAS[place] - 1 for place in places], axis=-1))
    return tf.constant(np.stack(rows))


def reference_views(x, seen, kind: str) -> list:
    """Regions 0, 1 and the union of the others, each whole and halved."""
    union = tf.reduce_sum(x[..., 2:], -1, keepdims=True)
    if kind != "label_wise":
        stack = tf.concat([x, *seen], -1)
        return [stack, halved(stack)] if kind == "two_scales" else [stack]
    stack = tf.concat([x[..., :2], union, x[..., 3:], *seen], -1)
    views = [stack * mask for mask in (x[..., 0:1], x[..., 1:2], union)]
    return [view for whole in views for view in (whole, halved(whole))]


def reference_dice(found, x) -> tf.Tensor:
    shares = []
    for k in range(5):
        p, r = found[..., k], x[..., k]
        shares.append(2 * tf.reduce_sum(p * r) / (tf.reduce_sum(p) + tf.reduce_sum(r) + 1e-7))
    return 1 - tf.add_n(shares) / 5


def reference_terms(system: SAMR, batch: dict) -> dict:
    """Eq. 1-5 with a call of each network for each image."""
    net, config = system.networks, system.config
    x, y = tf.one_hot(batch["label"][..., 0], 5), 2 * batch["images"] - 1
    atlas = atlas_of(batch)
    seeds = {"seeds": batch["seed"]} if config.generator == "unet" else {}
    fake = net["G"](x, *([atlas] if config.atlas else []), training=True, **seeds)
    shown = [atlas] if config.atlas_in_discriminator else []
    views = [reference_views(x, [*shown, image], config.discriminators) for image in (y, fake)]
    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    g = {"G/adversarial": 0.0, **({"G/matching": 0.0} if config.weights.matching else {})}
    d = {"D/real": 0.0, "D/fake": 0.0}
    for name, real_view, fake_view in zip(system.groups["D"], *views):
        (real, a), (made, b) = (net[name](v, training=True) for v in (real_view, fake_view))

        def loss(score, target):
            if config.adversarial == "cross_entropy":
                return tf.reduce_mean(entropy(target * tf.ones_like(score), score))
            return tf.reduce_mean((score - target) ** 2)

        g["G/adversarial"] += loss(made, 1.0)
        for p, q in zip(a, b) if config.weights.matching else ():
            error = tf.abs(p - q) if config.matching_error == "absolute" else (p - q) ** 2
            g["G/matching"] += config.weights.matching * tf.reduce_mean(error)
        d["D/real"] += config.weights.discriminator * loss(real, 1.0)
        d["D/fake"] += config.weights.discriminator * loss(made, 0.0)
    if config.weights.absolute:
        g["G/absolute"] = config.weights.absolute * tf.reduce_mean(tf.abs(fake - y))
    if not config.weights.consistency:
        return {"G": g, "D": d}
    of_real, of_fake = (net["U"](image, training=True) for image in (y, fake))
    u = {"U/real": reference_dice(of_real, x), "U/fake": reference_dice(of_fake, x)}
    g["G/consistency"] = config.weights.consistency * u["U/fake"]
    return {"G": g, "D": d, "U": u}


class TestSAMR(SystemTests):
    groups = {"G": ["G"], "D": ["D1", "D2", "D3", "D4", "D5", "D6"], "U": ["U"]}
    parameters = {"G": 33_154, **{f"D{i}": 3_647 for i in range(1, 7)}, "U": 717}
    slow = LONG

    def build(self):
        return tiny_samr()

    def batch(self, samples=2, seed=0):
        return batch_of(samples, seed)

    def reference(self, system, batch):
        return reference_terms(system, batch)


class TestAblations(TestSAMR):
    """None of the paper's four ideas, and all options that differ from the paper."""

    groups = {"G": ["G"], "D": ["D1", "D2"]}
    parameters = {"G": 3_962, "D1": 3_263, "D2": 3_263}

    def build(self):
        return tiny_samr(
            stretch_out=False,
            discriminators="two_scales",
            atlas=False,
            atlas_in_discriminator=False,
            norm="instance",
            adversarial="cross_entropy",
            matching_error="absolute",
            weights=SAMRWeights(consistency=0.0, absolute=3.0),
        )


class TestPix2pix(TestSAMR):
    """A U-Net with dropout against one PatchGAN, both with batch norm."""

    groups = {"G": ["G"], "D": ["D1"]}
    parameters = {"G": 684, "D1": 3_375}
    method = "pix2pix"

    def build(self):
        changes = {**METHODS[self.method], "unet_levels": 2, "width": 2}
        config = with_values(SMALL, changes)
        return tiny_samr(**{name: getattr(config, name) for name in field_types(config)})


class TestShin(TestPix2pix):
    """As pix2pix; D's loss is not halved."""

    method = "shin"


def test_dropout_changes_what_is_learned_and_not_what_is_made():
    system, batch = TestPix2pix().build(), batch_of()
    x = tf.one_hot(batch["label"][..., 0], 5)
    learned, other = (
        system.networks["G"](x, training=True, seeds=batch["seed"] + k) for k in (0, 1)
    )
    assert np.abs(learned - other).max() > 1e-3
    images = system.synthesize(batch)["images"]
    again = system.synthesize({**batch, "seed": batch["seed"] + 1})["images"]
    np.testing.assert_array_equal(images, again)
    assert np.abs(images - (learned + 1) / 2).max() > 1e-3


def test_the_discriminators_loss_is_halved_but_for_shin():
    halves = {name: with_values(SAMRConfig(), METHODS[name]).weights for name in METHODS}
    assert halves.pop("shin").discriminator == 1
    assert {weights.discriminator for weights in halves.values()} == {0.5}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_differs_from_samr_in_what_is_named(method):
    config = with_values(SAMRConfig(), METHODS[method])
    changed = {line.partition(":")[0] for line in differences(SAMRConfig(), config)}
    assert changed == set(METHODS[method])


def test_pix2pixhd_is_its_global_generator():
    """182 million parameters at the paper's width; here an eighth of it."""
    config = with_values(SAMRConfig(), {**METHODS["pix2pixhd"], "width": 8})
    generator = SAMR(config, 5, 5, None, total_steps=1).networks["G"]
    assert len(generator.encoders) == len(generator.decoders) == 1
    assert len(generator.trunk) == 9 and generator.decoders[0][0] == []


def test_regions_are_disjoint_and_cover_the_image():
    x = tf.one_hot(batch_of()["label"][..., 0], 5)
    masks = region_masks(x)
    np.testing.assert_array_equal(tf.reduce_sum(masks, -1), 1)
    np.testing.assert_array_equal(masks[..., 2], x[..., 2] + x[..., 3] + x[..., 4])
    union = with_lesion_union(x)
    np.testing.assert_array_equal(union[..., 2], masks[..., 2])
    np.testing.assert_array_equal(
        tf.gather(union, [0, 1, 3, 4], axis=-1).numpy(), tf.gather(x, [0, 1, 3, 4], axis=-1).numpy()
    )


def test_tissues_are_one_region():
    x = tf.one_hot(batch_of()["label"][..., 0], 5)
    masks = region_masks(x, first_lesion=3)
    np.testing.assert_array_equal(masks[..., 0], x[..., 0])
    np.testing.assert_array_equal(masks[..., 1], x[..., 1] + x[..., 2])
    np.testing.assert_array_equal(masks[..., 2], x[..., 3] + x[..., 4])
    union = with_lesion_union(x, first_lesion=3).numpy()
    np.testing.assert_array_equal(union[..., 3], masks[..., 2])
    np.testing.assert_array_equal(union[..., [0, 1, 2, 4]], x.numpy()[..., [0, 1, 2, 4]])


def test_halving_starts_at_the_first_pixel_and_counts_those_inside():
    image = tf.reshape(tf.range(16.0), [1, 4, 4, 1])
    expected = [
        [(0 + 1 + 4 + 5) / 4, (1 + 2 + 3 + 5 + 6 + 7) / 6],
        [(4 + 5 + 8 + 9 + 12 + 13) / 6, (5 + 6 + 7 + 9 + 10 + 11 + 13 + 14 + 15) / 9],
    ]
    np.testing.assert_allclose(halved(image)[0, ..., 0], expected, rtol=1e-6)


def test_a_discriminator_sees_nothing_outside_of_its_region():
    x, stack = tf.one_hot(batch_of()["label"][..., 0], 5), random_image(2, 32, 24, 3)
    views = regional_views(stack, region_masks(x))
    assert [view.shape[1] for view in views] == [32, 16] * 3
    total = tf.add_n(views[::2])
    np.testing.assert_allclose(total, stack, rtol=1e-6)
    assert all(
        np.all(np.where(mask, 0, view) == 0)
        for mask, view in zip(tf.split(region_masks(x), 3, -1), views[::2])
    )


def test_images_follow_label_and_height_alone():
    system, batch = tiny_samr(), batch_of()
    images = system.synthesize(batch)["images"]
    assert images.shape == (2, 32, 24, 4) and 0 <= np.min(images) and np.max(images) <= 1
    other = {**batch, "images": batch["images"][::-1], "seed": batch["seed"] + 1}
    np.testing.assert_array_equal(system.synthesize(other)["images"], images)
    for key in ("label", "source"):
        changed = system.synthesize({**batch, key: (batch[key] + 1) % 5})["images"]
        assert np.abs(changed - images).max() > 1e-3


def test_the_rate_is_constant_and_then_falls_to_zero():
    system = tiny_samr(learning_rate=0.1, constant_share=0.4)
    rate = system.optimizers["G"].learning_rate
    assert [float(rate(k)) for k in (0, 4, 7, 10, 11)] == pytest.approx([0.1, 0.1, 0.05, 0, 0])


def test_settings_out_of_range_are_refused():
    with pytest.raises(UserError, match="--samr.down_samplings is 0; give"):
        SAMRConfig(down_samplings=0)
    with pytest.raises(UserError, match="--samr.constant_share is 2.0; give a share"):
        SAMRConfig(constant_share=2.0)
    with pytest.raises(UserError, match="--samr.dropout is 1.0; give 0 or more and below 1"):
        SAMRConfig(dropout=1.0)
