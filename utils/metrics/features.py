"""Feature vectors of slices for `utils.metrics.distributions`: texture, Inception.

Texture needs no weights; ImageNet features need a local file. Slices are whole: the background
counts.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy import stats
from skimage.feature import graycomatrix, graycoprops

from utils.errors import UserError
from utils.metrics.distributions import check_features
from utils.metrics.images import check_images

TEXTURE_EXTRACTOR = "first-order+GLCM"
GREY_LEVELS = 32
GLCM_DISTANCES = (1, 3)
GLCM_ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
GLCM_PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "ASM", "correlation")
TEXTURE_FEATURE_NAMES = (
    *("mean", "std", "skewness", "kurtosis", "entropy", "p10", "p50", "p90", "energy"),
    *(f"glcm_{name}_{d}px" for name in GLCM_PROPERTIES for d in GLCM_DISTANCES),
)
# An image of a smaller spread counts as constant; its skewness would be rounding noise.
SMALLEST_STD = 1e-6

INCEPTION_EXTRACTOR = "keras-iv3-imagenet, antialias"
INCEPTION_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"
INCEPTION_SIZE = 299
INCEPTION_WIDTH = 2048  # features
IMAGES_PER_CHUNK = 32


def texture_features(images: np.ndarray) -> np.ndarray:
    """Returns hand-made features of each slice; finite also for constant slices.

    First order: mean, standard deviation, skewness and excess kurtosis (0 for a constant slice),
    entropy in bits of the 32-level histogram, percentiles 10, 50 and 90, energy (mean square).
    Grey-level co-occurrence (GLCM; Haralick et al., 1973) by scikit-image: 32 levels of the fixed
    range [0,1], distances 1 and 3 pixels, symmetric, each property the mean over 4 angles. A small
    subset of radiomic features, comparable to no published number.

    Args:
        images: [N,H,W] in [0,1], one modality, H and W of 4 or more.

    Returns:
        float64 [N,F], columns by `TEXTURE_FEATURE_NAMES`.

    Raises:
        UserError: `check_images` refuses.
    """
    images = check_images("texture_features", images, "N,H,W", max(GLCM_DISTANCES) + 1)
    return np.stack([_texture(image.astype(np.float64)) for image in images])


def standardise(reference: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns both sets in units of the reference set: minus its mean, divided by its deviation.

    Before a distance of texture features, else those with large units outweigh the rest. A feature
    that is constant in the reference is only shifted.

    Args:
        reference: [N,F], real samples, N of 2 or more.
        other: [K,F], K of 2 or more.

    Returns:
        float64 [N,F] and [K,F].

    Raises:
        UserError: `check_features` refuses the sets.
    """
    reference, other = check_features(reference, other)
    mean, deviation = reference.mean(axis=0), reference.std(axis=0)
    constant = deviation <= 1e-12 * np.abs(mean)  # summing equal numbers leaves rounding
    scale = np.where(constant, 1, deviation)
    return (reference - mean) / scale, (other - mean) / scale


def inception_features(images: np.ndarray, weights: Path) -> np.ndarray:
    """Returns the pooled features of Keras' InceptionV3, trained on ImageNet.

    Not the network of the published FID (the 2015 graph): numbers are not comparable with those of
    other extractors. The file is never downloaded.

    Args:
        images: [N,H,W] in [0,1], one modality.
        weights: `inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5` from Keras.

    Returns:
        float64 [N,2048].

    Raises:
        UserError: `check_images` refuses the images, or there is no file with `INCEPTION_MD5`.
    """
    images = check_images("inception_features", images, "N,H,W")
    check_inception_weights(weights)
    network = tf.keras.applications.InceptionV3(
        include_top=False,
        weights=None,
        pooling="avg",
        input_shape=(INCEPTION_SIZE, INCEPTION_SIZE, 3),
    )
    network.load_weights(str(weights))
    chunks = [
        network(inception_input(images[start : start + IMAGES_PER_CHUNK]), training=False)
        for start in range(0, len(images), IMAGES_PER_CHUNK)
    ]
    return np.concatenate(chunks).astype(np.float64)


def check_inception_weights(weights: Path) -> None:
    """Raises UserError unless `weights` is a file of MD5 `INCEPTION_MD5`."""
    weights = Path(weights)
    if not weights.is_file():
        raise UserError(
            f"The Inception weights must be a file of MD5 {INCEPTION_MD5}, found no file "
            f"{weights}; copy the Keras file of InceptionV3 without top there."
        )
    found = hashlib.md5(weights.read_bytes(), usedforsecurity=False).hexdigest()
    if found != INCEPTION_MD5:
        raise UserError(
            f"The Inception weights {weights} must have MD5 {INCEPTION_MD5}, found {found}; "
            "copy the Keras file of InceptionV3 without top again."
        )


def inception_input(images: np.ndarray) -> tf.Tensor:
    """Returns slices [N,H,W] in [0,1] as float32 [N,299,299,3] in [-1,1], three equal channels.

    The resize is bilinear and antialiased: without the filter a smaller result skips pixels, which
    moves the distance (Parmar et al., CVPR 2022).
    """
    grey = tf.convert_to_tensor(images, tf.float32)[..., tf.newaxis]
    grey = tf.image.resize(grey, (INCEPTION_SIZE, INCEPTION_SIZE), antialias=True)
    return tf.repeat(2 * grey - 1, 3, axis=-1)


def _texture(image: np.ndarray) -> np.ndarray:
    """Features [F] of one slice [H,W] float64."""
    levels = np.minimum(image * GREY_LEVELS, GREY_LEVELS - 1).astype(np.uint8)
    varies = image.std() > SMALLEST_STD
    first_order = [
        image.mean(),
        image.std(),
        stats.skew(image, axis=None) if varies else 0.0,
        stats.kurtosis(image, axis=None) if varies else 0.0,
        stats.entropy(np.bincount(levels.ravel()), base=2),
        *np.percentile(image, (10, 50, 90)),
        np.mean(image**2),
    ]
    matrix = graycomatrix(
        levels, GLCM_DISTANCES, GLCM_ANGLES, GREY_LEVELS, symmetric=True, normed=True
    )
    # graycoprops gives [distances, angles].
    glcm = [graycoprops(matrix, name).mean(axis=1) for name in GLCM_PROPERTIES]
    return np.concatenate([first_order, *glcm])
