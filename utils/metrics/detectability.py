"""How well a small network tells synthetic slices from real ones by their texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from scipy import ndimage

from utils.errors import POSITIVE, at_least, check_fields
from utils.metrics.images import check_images

# With Keras' 0.99 the test's averages are not those of the training after so few updates.
MOMENTUM = 0.9
DARK = 0.02  # a pixel that is darker in all modalities lies outside the organ


@dataclass(frozen=True)
class DetectorConfig:
    """The network that tells synthetic from real, and its training.

    Args:
        patch: side of the patches that it sees, pixels; larger ones show anatomy, not texture.
        width: channels of its first layer.
        steps: updates.
        batch_size: patches per update, half of them real.
        learning_rate: Adam's, per update.
        tests: patches of each kind that it is tested on.
    """

    patch: int = 24
    width: int = 8
    steps: int = 200
    batch_size: int = 32
    learning_rate: float = 1e-3
    tests: int = 2000

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("width", "steps", "batch_size", "tests"), at_least(1))
        check_fields(
            self, "--evaluation.detector.", **counts, patch=at_least(8), learning_rate=POSITIVE
        )


def detection_accuracy(
    training: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    config: DetectorConfig,
    seed: int,
) -> float:
    """Returns the share of test patches that a small network assigns to the right kind.

    0.5 if synthetic slices cannot be told from real ones by patches, 1 if always. Real and
    synthetic patches count half each. The mark to meet is the value of real slices of other
    patients in place of synthetic ones. NaN if the slices of a set hold no patch that lies inside
    the organ.

    Args:
        training: real and synthetic images, each [N,H,W,M] in [0,1], that the network learns from.
        test: others; real ones should be of other patients.
        config: the network and its training.
        seed: of weights and patches.

    Raises:
        UserError: images that `check_images` refuses, such as those smaller than a patch.
    """
    rng = np.random.default_rng(seed)
    sets = [
        check_images("detection_accuracy", images, "N,H,W,M", config.patch)
        for images in (*training, *test)
    ]
    places = [_places(images, config.patch) for images in sets]
    if not all(map(len, places)):
        return float("nan")
    pairs = list(zip(sets, places))
    learnt, tested = pairs[:2], pairs[2:]
    tf.keras.utils.set_random_seed(seed)
    network = _network(config, sets[0].shape[-1])
    for _ in range(config.steps):
        half = max(1, config.batch_size // 2)
        network.train_on_batch(*_labelled(learnt, half, config.patch, rng))
    patches, kinds = _labelled(tested, config.tests, config.patch, rng)
    found = network.predict(patches, batch_size=256, verbose=0)[:, 0] > 0
    return float(np.mean(found == (kinds[:, 0] > 0)))


def _network(config: DetectorConfig, channels: int) -> tf.keras.Model:
    """Three convolutions with batch norm, whose mean over the patch is a logit: above 0 is real."""
    layers = [tf.keras.Input([config.patch, config.patch, channels])]
    for factor, stride in ((1, 1), (2, 2), (4, 2)):
        layers += [
            tf.keras.layers.Conv2D(factor * config.width, 3, stride, "same", use_bias=False),
            tf.keras.layers.BatchNormalization(momentum=MOMENTUM),
            tf.keras.layers.ReLU(),
        ]
    layers += [tf.keras.layers.GlobalAveragePooling2D(), tf.keras.layers.Dense(1, dtype="float32")]
    network = tf.keras.Sequential(layers)
    optimizer = tf.keras.optimizers.Adam(config.learning_rate)
    network.compile(optimizer, tf.keras.losses.BinaryCrossentropy(from_logits=True))
    return network


def _labelled(
    pairs: list[tuple[np.ndarray, np.ndarray]], count: int, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """`count` patches of each set [2*count,side,side,M] and what they are, 1 = of the first."""
    patches = np.concatenate([_patches(*pair, count, side, rng) for pair in pairs])
    return patches, np.repeat([[1.0], [0.0]], count, axis=0)


def _places(images: np.ndarray, side: int) -> np.ndarray:
    """First corners [K,3] (image, row, column) of the patches that show the organ everywhere."""
    brightest, half = images.max(axis=-1), side // 2
    # The darkest pixel around (row, column) is that of the patch that begins half a side before.
    darkest = ndimage.minimum_filter(brightest, size=(1, side, side), mode="constant")
    last = [length - side + 1 for length in brightest.shape[1:]]
    return np.argwhere(darkest[:, half : half + last[0], half : half + last[1]] > DARK)


def _patches(
    images: np.ndarray, places: np.ndarray, count: int, side: int, rng: np.random.Generator
) -> np.ndarray:
    """Patches [count,side,side,M] of random places, scaled to mean 0 and spread 1 each.

    So the network sees neither outlines nor brightness, by which data sets differ anyway.
    """
    chosen = places[rng.integers(len(places), size=count)]
    stack = np.stack([images[n, row : row + side, left : left + side] for n, row, left in chosen])
    stack = stack.astype(np.float32)
    centred = stack - stack.mean(axis=(1, 2), keepdims=True)
    return centred / (stack.std(axis=(1, 2), keepdims=True) + 1e-3)
