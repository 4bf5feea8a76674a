"""The detector that guides: one step against the loss, its guidance at rest, its detections."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from experiments.engine import plan
from losses.detection import encode, multibox_loss
from models.networks.ssd import default_boxes
from models.structure_gan.detection import Detection, DetectionConfig
from tests.models.harness import LONG, SystemTests
from tests.models.toys import random_batch, values
from utils.errors import UserError

SIZE = (64, 48)
VARIANCES = (0.1, 0.1, 0.2, 0.2)
DEFAULTS = default_boxes(SIZE, fine_levels=1)
# Channels in n into and out of the layers, 3x3 and 1x1; boxes of the heads and maps they see.
WIDE = [(1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 4), (4, 8), *[(8, 8)] * 5, (8, 16)]
WIDE += [(4, 8), (2, 4), (2, 4)]
NARROW = [(16, 16), (16, 4), (8, 2), (4, 2)]
HEADS = [(8, 4), (8, 6), (16, 6), (8, 6), (4, 4)]


def build(channels: int = 4, classes: int = 3, **options) -> Detection:
    config = {"width": 2, "fine_levels": 1, "learning_rate": 1e-3, **options}
    return Detection(DetectionConfig(**config), channels, classes, total_steps=10)


def batch_of(samples: int = 2, seed: int = 0) -> dict:
    """Random images with up to two lesions in three rows."""
    batch, rng = random_batch(samples, seed, SIZE), np.random.default_rng(seed)
    classes = rng.integers(1, 3, (samples, 3, 1))
    parts = [
        classes,
        rng.uniform(0.2, 0.8, (samples, 3, 2)),
        rng.uniform(0.1, 0.3, (samples, 3, 2)),
    ]
    boxes = np.concatenate(parts, -1)
    boxes[0, 0, 1:] = (0.5, 0.5, 0.5, 0.4)  # for level 5, which has few boxes
    boxes[:, 2] = 0
    return {**batch, "boxes": tf.constant(boxes, tf.float32)}


def count_parameters(n: int, channels: int, outputs: int) -> int:
    kernels = 9 * channels * n + sum(9 * n * n * a * b for a, b in WIDE)
    kernels += sum(n * n * a * b for a, b in NARROW)
    vectors = 5 * n * (1 + sum(b for _, b in WIDE + NARROW))  # bias and four of the norm
    heads = sum((9 * a * n + 1) * boxes * outputs for a, boxes in HEADS)
    return kernels + vectors + heads + (4 * n + 1) * 4 * outputs


class TestDetection(SystemTests):
    groups, parameters = {"G": ["G_l"]}, {"G_l": count_parameters(2, 4, 7)}
    rate, size, slow = 1.0, SIZE, LONG
    build = staticmethod(build)

    def batch(self, samples=2, seed=0):
        return batch_of(samples, seed)

    def reference(self, system, batch):
        found = system.networks["G_l"](batch["images"], training=True)
        classes, boxes = multibox_loss(*found, batch["boxes"], DEFAULTS, VARIANCES)
        return {"G": {"G/classes": classes, "G/boxes": boxes}}

    def test_dry_run(self, capsys, monkeypatch):
        """With a data set that has boxes."""

        def shapes(dataset, batch_size, size):
            plain = plan_shapes(dataset, batch_size, size)
            return {**plain, "boxes": ((batch_size, 3, 5), "float32")}

        plan_shapes = plan.batch_shapes
        monkeypatch.setattr(plan, "batch_shapes", shapes)
        super().test_dry_run(capsys, monkeypatch)


def test_the_box_part_has_a_weight():
    parts = []
    for weight in (1.0, 3.0):
        tf.keras.utils.set_random_seed(0)
        parts.append(build(box_weight=weight).train_step(batch_of()))
    assert float(parts[1]["G/boxes"]) == pytest.approx(3 * float(parts[0]["G/boxes"]))
    assert float(parts[1]["G/classes"]) == float(parts[0]["G/classes"])
    total = float(parts[1]["G/boxes"] + parts[1]["G/classes"])
    assert float(parts[1]["loss/G"]) == pytest.approx(total)


def test_long_gradients_are_shortened():
    system = build(most_gradient=1e-3)
    terms = system.train_step(batch_of())
    adam, norm = system.optimizers["G"], float(terms["gradient_norm/G"])
    moments = [adam.get_slot(v, "m") / (1 - 0.5) for v in system.variables("G")]
    assert norm > 1 and float(tf.linalg.global_norm(moments)) == pytest.approx(1e-3, rel=1e-3)


def test_gradients_are_shortened_under_loss_scaling_too(policy):
    policy("mixed_float16")
    assert build(most_gradient=7.0).optimizers["G"].inner_optimizer.global_clipnorm == 7.0


def test_guidance_reaches_the_image_and_changes_nothing():
    system, batch = build(box_weight=2.0), batch_of()
    system.train_step(batch)  # moves the statistics away from their start
    network, images = system.networks["G_l"], batch["images"]
    before = values(network.variables)
    with tf.GradientTape() as tape:
        tape.watch(images)
        terms = system.guidance(images, {"boxes": batch["boxes"]})
    assert set(terms) == {"G/lesion"}
    found = network(images, training=False)
    classes, boxes = multibox_loss(*found, batch["boxes"], DEFAULTS, VARIANCES)
    assert float(terms["G/lesion"]) == pytest.approx(float(classes + 2 * boxes), rel=1e-5)
    assert np.abs(tape.gradient(terms["G/lesion"], images)).max() > 1e-6
    assert all(map(np.array_equal, before, values(network.variables)))
    other = system.guidance(images, {"boxes": batch["boxes"][::-1]})["G/lesion"]
    assert abs(float(other - terms["G/lesion"])) > 1e-3


def saying(system: Detection, said: list) -> Detection:
    """Has G_l give some boxes [(default box, class, logit, box), ...] in every image."""
    logits = np.full((len(DEFAULTS), 3), -20.0, np.float32)
    logits[:, 0] = 0.0
    offsets = np.zeros((len(DEFAULTS), 4), np.float32)
    for number, kind, logit, box in said:
        logits[number, kind] = logit
        variances = system.config.variances
        offsets[number] = encode(tf.constant(box), DEFAULTS[number], variances)

    def answer(images, training):
        assert not training
        copies = [len(images), 1, 1]
        return tf.tile(logits[None], copies), tf.tile(offsets[None], copies)

    system.networks["G_l"] = answer
    return system


@pytest.mark.parametrize("variances", [VARIANCES, (1.0, 1.0, 1.0, 1.0)])
def test_detections(variances):
    wide, near = [0.3, 0.6, 0.2, 0.1], [0.31, 0.6, 0.2, 0.1]
    beyond = [0.95, 0.5, 0.2, 0.2]
    said = [
        (40, 2, 3.0, wide),
        (50, 2, 2.0, near),  # of the same class: suppressed
        (60, 1, 1.0, near),
        (70, 2, 0.0, [0.7, 0.2, 0.1, 0.1]),
        (80, 1, -1.0, beyond),
        (90, 1, -4.7, [0.5, 0.1, 0.1, 0.1]),  # a score of 0.009
    ]
    system = saying(build(variances=variances), said)
    found = system.synthesize({"images": tf.zeros([2, *SIZE, 4])})
    assert {key: value.shape for key, value in found.items()} == {
        "boxes": (2, 200, 4),
        "scores": (2, 200),
        "classes": (2, 200),
    }
    assert found["classes"].dtype == tf.int32
    np.testing.assert_array_equal(found["classes"][1], [2, 1, 2, 1] + 196 * [0])
    expected = [wide, near, [0.7, 0.2, 0.1, 0.1], [0.925, 0.5, 0.15, 0.2]]  # cut at the border
    np.testing.assert_allclose(found["boxes"][0, :4], expected, atol=1e-5)
    scores = [1 / (1 + math.exp(-logit)) for logit in (3.0, 1.0, 0.0, -1.0)]
    np.testing.assert_allclose(found["scores"][0, :4], scores, rtol=1e-5)
    assert not np.any(found["scores"][:, 4:]) and not np.any(found["boxes"][:, 4:])


def test_detections_are_of_the_network_at_rest():
    system, images = build(), batch_of()["images"]
    logits, _ = system.networks["G_l"](images, training=False)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    best = system.synthesize({"images": images})["scores"][:, 0]
    np.testing.assert_allclose(best, shares[..., 1:].max((1, 2)), rtol=1e-4)


def test_training_finds_a_bright_square():
    system = build(channels=1, classes=2, width=4, learning_rate=1e-2)
    step = tf.function(system.train_step, autograph=False)
    images, boxes = np.zeros((2, *SIZE, 1), np.float32), np.zeros((2, 1, 5), np.float32)
    images[0, 8:24, 24:40], images[1, 32:48, 4:20] = 1, 1
    boxes[:, 0] = [[1, 32 / 48, 16 / 64, 16 / 48, 16 / 64], [1, 12 / 48, 40 / 64, 16 / 48, 16 / 64]]
    batch = {"images": tf.constant(images), "boxes": tf.constant(boxes)}
    losses = [float(step(batch)["loss/G"]) for _ in range(15)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    "options, named",
    [
        ({"width": 0}, "width is 0"),
        ({"variances": (0.1, 0.1, 0.2)}, r"variances is \(0.1, 0.1, 0.2\); give four numbers"),
        ({"variances": (0.1, 0.1, 0.2, 0.0)}, "variances"),
        ({"box_weight": -1.0}, "box_weight is -1.0"),
        ({"most_gradient": 0.0}, "most_gradient is 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
    ],
)
def test_settings_out_of_range_are_refused(options, named):
    with pytest.raises(UserError, match=f"--detection.{named}"):
        DetectionConfig(**options)
