"""Texture by hand and by direct calls; Inception without its weights."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from skimage.feature import graycomatrix, graycoprops

from utils.errors import UserError
from utils.metrics import features
from utils.metrics.features import (
    TEXTURE_FEATURE_NAMES,
    inception_features,
    inception_input,
    standardise,
    texture_features,
)


def named(image: np.ndarray) -> dict[str, float]:
    (row,) = texture_features(image[np.newaxis])
    return dict(zip(TEXTURE_FEATURE_NAMES, row))


def test_stripes_of_two_levels_by_hand():
    found = named(np.tile([0.0, 1.0], (6, 3)))  # columns 0 1 0 1 0 1; levels 0 and 31
    assert found["mean"] == found["std"] == found["energy"] == found["p50"] == 0.5
    assert (found["skewness"], found["kurtosis"], found["entropy"]) == pytest.approx((0, -2, 1))
    assert (found["p10"], found["p90"]) == (0, 1)
    # 1 pixel: neighbours in the row and on both diagonals differ by 31, in the column they are
    # equal. 3 pixels: those in the row differ; the diagonals step 2 columns and are equal.
    for name, share in (("1px", 3 / 4), ("3px", 1 / 4)):
        assert found[f"glcm_contrast_{name}"] == pytest.approx(share * 31**2)
        assert found[f"glcm_dissimilarity_{name}"] == pytest.approx(share * 31)
        homogeneity = share / (1 + 31**2) + (1 - share)
        assert found[f"glcm_homogeneity_{name}"] == pytest.approx(homogeneity)
        assert found[f"glcm_ASM_{name}"] == pytest.approx(0.5)
        assert found[f"glcm_correlation_{name}"] == pytest.approx(1 - 2 * share)


def test_noise_equals_direct_calls():
    image = np.random.default_rng(0).random((20, 17)) ** 2
    found = named(image)
    assert found["skewness"] == pytest.approx(stats.skew(image.ravel()))
    assert found["kurtosis"] == pytest.approx(stats.kurtosis(image.ravel()))
    levels = np.digitize(image, np.linspace(0, 1, 33)) - 1
    angles = np.arange(4) * np.pi / 4
    for d in (1, 3):
        matrix = graycomatrix(levels.astype(np.uint8), [d], angles, 32, True, True)
        for name in ("contrast", "dissimilarity", "homogeneity", "ASM", "correlation"):
            expected = graycoprops(matrix, name).mean()
            assert found[f"glcm_{name}_{d}px"] == pytest.approx(expected)
    shares = np.bincount(levels.ravel()) / levels.size
    assert found["entropy"] == pytest.approx(-np.sum(shares * np.log2(shares)))
    assert found["energy"] == pytest.approx(np.mean(image**2))


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1.0])
def test_constant_slices_have_finite_features(value):
    rows = texture_features(np.full((2, 8, 7), value, np.float32))
    assert rows.shape == (2, len(TEXTURE_FEATURE_NAMES)) and rows.dtype == np.float64
    assert np.isfinite(rows).all() and len(set(TEXTURE_FEATURE_NAMES)) == rows.shape[1]
    found = dict(zip(TEXTURE_FEATURE_NAMES, rows[0]))
    assert found["mean"] == pytest.approx(value) and found["skewness"] == found["kurtosis"] == 0


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8, 1)), r"\[N,H,W\]"),
        (np.zeros((2, 8, 3)), "at least 4 pixels"),
        (np.full((2, 8, 8), 255), r"\[0,1\], found 255"),
    ],
)
def test_texture_refuses_other_images(images, message):
    with pytest.raises(UserError, match=f"texture_features needs .*{message}"):
        texture_features(images)


def test_features_are_measured_in_units_of_the_reference():
    column = np.array([1.0, 3, 1, 3, 2, 2])
    reference = np.stack([column, np.full(6, 0.1), 10 * column], axis=1)
    assert reference[:, 1].std() > 0  # rounding alone
    other = np.array([[2.0, 0.3, 20], [4, 0.1, 0]])
    first, second = standardise(reference, other)
    np.testing.assert_allclose(first.std(axis=0), [1, 0, 1], atol=1e-12)
    unit = np.sqrt(4 / 6)  # of deviations 1, 1, 1, 1, 0, 0
    expected = [[0, 0.2, 0], [2 / unit, 0, -2 / unit]]
    np.testing.assert_allclose(second, expected, atol=1e-12)
    with pytest.raises(UserError, match="must be finite"):
        standardise(reference, other * np.nan)


def test_inception_weights_are_checked_before_use(tmp_path):
    images, path = np.zeros((1, 4, 4)), tmp_path / "weights.h5"
    with pytest.raises(UserError, match=f"MD5 {features.INCEPTION_MD5}, found no file {path}"):
        inception_features(images, path)
    path.write_bytes(b"other")
    found = hashlib.md5(b"other").hexdigest()
    with pytest.raises(UserError, match=f"{path} must have MD5 .*found {found}"):
        inception_features(images, path)


def test_inception_input_is_grey_signed_and_antialiased():
    found = inception_input(np.stack([np.zeros((20, 30)), np.ones((20, 30))])).numpy()
    assert found.shape == (2, 299, 299, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found[0], -1, atol=1e-6)
    np.testing.assert_allclose(found[1], 1, atol=1e-6)
    stripes = np.tile([0.0, 1.0], (1, 600, 300))  # finer than the result can show
    inner = inception_input(stripes).numpy()[0, :, 10:-10]
    assert np.abs(inner).max() < 0.1  # mid grey; without the filter it keeps stripes
    assert np.abs(np.array(tf.image.resize(stripes[..., None], (299, 299))) - 0.5).max() > 0.4
    np.testing.assert_array_equal(inner[..., 0], inner[..., 2])


def test_inception_features_are_those_of_the_loaded_network(monkeypatch, tmp_path):
    loaded, options = [], {}

    class Network:
        load_weights = loaded.append

        def __call__(self, x, training):
            assert training is False and len(x) <= features.IMAGES_PER_CHUNK
            return tf.reduce_mean(x, axis=(1, 2))

    def build(**given):
        options.update(given)
        return Network()

    path = tmp_path / "weights.h5"
    path.write_bytes(b"weights")
    monkeypatch.setattr(features, "INCEPTION_MD5", hashlib.md5(b"weights").hexdigest())
    monkeypatch.setattr(tf.keras.applications, "InceptionV3", build)
    monkeypatch.setattr(features, "IMAGES_PER_CHUNK", 2)
    values = np.array([0.0, 0.25, 1.0])
    rows = inception_features(np.tile(values[:, None, None], (1, 5, 6)), path)
    np.testing.assert_allclose(rows, np.tile(2 * values[:, None] - 1, 3), atol=1e-6)
    assert rows.dtype == np.float64 and loaded == [str(path)]
    assert (options["include_top"], options["weights"], options["pooling"]) == (False, None, "avg")
