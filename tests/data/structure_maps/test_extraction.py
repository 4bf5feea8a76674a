"""Algorithms 1 and 2 against a second reading in NumPy and SciPy, one image at a time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import tensorflow as tf

from data.structure_maps.extraction import (
    DATASETS,
    VARIANTS,
    StructureMapConstants,
    extract_outside,
    extract_structure,
    gaussian_taps,
    remove_tumour,
    structure_and_outside,
    structure_constants,
)
from utils.errors import UserError
from utils.images import filter_separable


def brain(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A skull, grey matter, two ventricles and some texture on a zero background, [H,W]."""
    rows, columns = np.mgrid[:height, :width]
    y, x = (rows + 0.5) / height * 2 - 1, (columns + 0.5) / width * 2 - 1
    radius = np.hypot(x / 0.8, y / 0.85)
    image = np.where(radius < 1, 0.9, 0.0)
    image = np.where(radius < 0.85, 0.55, image)
    for side in (-0.25, 0.25):
        image = np.where(np.hypot((x - side) / 0.15, y / 0.35) < 1, 0.2, image)
    noise = np.random.default_rng(seed).normal(0, 0.05, (height, width))
    image = scipy.ndimage.gaussian_filter(image + noise * (radius < 1), 0.7)
    return np.where(radius < 1.05, np.clip(image, 0, 1), 0).astype(np.float32)


def clouds(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth random values in [0,1], [H,W]."""
    noise = np.random.default_rng(seed).random((height, width))
    smooth = scipy.ndimage.gaussian_filter(noise, 2)
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


def min_max(image: np.ndarray) -> np.ndarray:
    image = image.astype(np.float64)
    return (image - image.min()) / (image.max() - image.min())


def blur(image: np.ndarray, sigma: float, gaussian: str) -> np.ndarray:
    """The true 3x3 kernel, or its nine entries as one row, applied across and down."""
    if sigma == 0:
        return image
    offsets = np.array([-1, 0, 1])
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    if gaussian == "3x3":
        return scipy.ndimage.convolve(image, kernel, mode="mirror")
    row = kernel.reshape(1, 9)
    across = scipy.ndimage.convolve(image, row, mode="mirror")
    return scipy.ndimage.convolve(across, row.T, mode="mirror")


def read_outside(image: np.ndarray, c: StructureMapConstants) -> np.ndarray:
    """Algorithm 2 on one image [H,W]."""
    height, width = image.shape
    grey = min_max(image) if c.mask_min_max else image
    mask = 1.0 - (grey > c.mask_threshold)
    zoomed = np.empty((height + c.mask_zoom, width + c.mask_zoom))
    for i in range(zoomed.shape[0]):
        for j in range(zoomed.shape[1]):
            zoomed[i, j] = mask[i * height // zoomed.shape[0], j * width // zoomed.shape[1]]
    cut = c.mask_zoom // 2
    return scipy.signal.medfilt2d(zoomed[cut : cut + height, cut : cut + width], c.mask_median)


def read_structure(image: np.ndarray, variant: str, c: StructureMapConstants) -> np.ndarray:
    """Algorithm 1 on one image [H,W], the last line by the name of the variant."""
    dy, dx = (scipy.ndimage.sobel(image.astype(float), axis, mode="mirror") for axis in (0, 1))
    s1 = blur(min_max(np.minimum(dy, dx)), c.sigma_1, c.gaussian)
    s2 = blur(min_max(np.maximum(dy, dx)), c.sigma_1, c.gaussian)
    s = ((s1.mean() - s1 > c.edge_threshold) | (s2 - s2.mean() > c.edge_threshold)) * 1.0
    s = (blur(s, c.sigma_2, c.gaussian) > c.blur_threshold) * 1.0
    s = scipy.signal.medfilt2d(s, c.structure_median)
    if variant == "code":
        return s * (1 - read_outside(image, c))
    return s * (image > c.mask_threshold) if variant == "thesis" else s


def stacked(*images: np.ndarray) -> np.ndarray:
    return np.stack(images)[..., np.newaxis]


@pytest.mark.parametrize("size", [(48, 48), (46, 36)])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_maps_equal_the_second_reading(dataset, variant, size):
    constants = structure_constants(dataset, variant)
    images = [brain(*size), clouds(*size)]
    structure = extract_structure(stacked(*images), constants)[..., 0].numpy()
    outside = extract_outside(stacked(*images), constants)[..., 0].numpy()
    for index, image in enumerate(images):
        np.testing.assert_array_equal(outside[index], read_outside(image, constants))
        np.testing.assert_array_equal(structure[index], read_structure(image, variant, constants))
    assert 0 < structure[0].mean() < 0.9


@pytest.mark.parametrize(
    "dataset, row",
    [
        ("brats2015", (0.035, 0.01, 0.01, 0.0, 5, 0.3, 10, 5)),
        ("drive_fire", (0.014, 0.4, 0.3, 0.05, 5, 0.3, 10, 17)),
        ("lung_ct", (0.0125, 0.4, 0.3, 0.05, 7, 0.48, 2, 3)),
        ("chest_xray", (0.009, 0.4, 0.5, 0.05, 3, 0.15, 2, 17)),
        ("tianchi_ct", (0.0125, 0.4, 0.3, 0.05, 5, 0.48, 2, 3)),
    ],
)
def test_code_rows_hold_the_released_numbers(dataset, row):
    found = dataclasses.astuple(structure_constants(dataset))
    assert found == (*row, "nine_tap", "mask", True)


def test_paper_stages_differ_in_the_edge_threshold_only():
    vae, image = (structure_constants(variant=name) for name in ("paper", "paper_image_stage"))
    assert (vae.edge_threshold, image.edge_threshold) == (0.07, 0.12)
    assert dataclasses.replace(image, edge_threshold=0.07) == vae


@pytest.mark.parametrize(
    "sigma, taps",
    [
        (0.4, [0.00163, 0.03713, 0.00163, 0.03713, 0.84497]),
        (0.3, [0.00001, 0.00381, 0.00001, 0.00381, 0.98471]),
        (0.5, [0.01134, 0.08382, 0.01134, 0.08382, 0.61935]),
    ],
)
def test_nine_taps_are_the_published_values(sigma, taps):
    found = gaussian_taps(sigma, "nine_tap")
    np.testing.assert_allclose(found, taps + taps[-2::-1], atol=6e-6)


def lines_only(**changes) -> StructureMapConstants:
    """Constants without median filter and background removal."""
    return dataclasses.replace(
        structure_constants("brats2015"), structure_median=1, background="keep", **changes
    )


@pytest.mark.parametrize("sigma, threshold", [(0.3, 0.05), (0.01, 0.0)])
def test_second_blur_of_most_data_sets_changes_nothing(sigma, threshold):
    images = stacked(clouds(46, 36), brain(46, 36))
    blurred = extract_structure(images, lines_only(sigma_2=sigma, blur_threshold=threshold))
    plain = extract_structure(images, lines_only(sigma_2=0.0, blur_threshold=0.5))
    np.testing.assert_array_equal(blurred, plain)


def test_isolated_pixel_grows_to_the_cross_only():
    pixel = np.zeros((1, 15, 15, 1), np.float32)
    pixel[0, 7, 7] = 1
    blurred = filter_separable(pixel, gaussian_taps(0.5, "nine_tap")).numpy()
    found = {tuple(offset) for offset in (np.argwhere(blurred[0, :, :, 0] > 0.05) - 7).tolist()}
    assert found == {(0, 0)} | {(d, 0) for d in (-3, -1, 1, 3)} | {(0, d) for d in (-3, -1, 1, 3)}


@pytest.mark.parametrize("variant", VARIANTS)
def test_constant_image_has_no_lines(variant):
    image = np.full((1, 20, 16, 1), 0.4, np.float32)
    structure, outside = structure_and_outside(image, None, structure_constants(variant=variant))
    np.testing.assert_array_equal(structure, np.zeros_like(image))
    assert set(np.unique(outside)) <= {0.0, 1.0}


def test_colour_image_uses_the_first_channel_in_the_range_of_all():
    red = brain(48, 48)
    image = np.stack([red, 2 * red, 0 * red], axis=-1)[np.newaxis]
    constants = structure_constants("drive_fire")
    # The second channel doubles the range, which halves the normalised first one.
    twice = dataclasses.replace(constants, mask_threshold=2 * constants.mask_threshold)
    np.testing.assert_array_equal(
        extract_outside(image, constants), extract_outside(stacked(red), twice)
    )
    lines = lines_only(sigma_1=0.4)
    doubled = lines_only(sigma_1=0.4, edge_threshold=2 * lines.edge_threshold)
    np.testing.assert_array_equal(
        extract_structure(image, lines), extract_structure(stacked(red), doubled)
    )


def test_tumour_lines_are_erased():
    image, label = stacked(brain(46, 36)), np.zeros((1, 46, 36, 1), np.int32)
    label[0, 10:30, 5:20] = 4
    constants = structure_constants()
    structure, outside = structure_and_outside(image, label, constants)
    complete = extract_structure(image, constants).numpy()
    assert complete[label > 0].any() and not structure.numpy()[label > 0].any()
    np.testing.assert_array_equal(structure.numpy()[label == 0], complete[label == 0])
    np.testing.assert_array_equal(structure, remove_tumour(complete, label))
    np.testing.assert_array_equal(outside, extract_outside(image, constants))


def test_dataset_map_keeps_static_shapes_and_values():
    images, constants = stacked(brain(46, 36), clouds(46, 36)), structure_constants("drive_fire")
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(2)
    dataset = dataset.map(lambda image: structure_and_outside(image, None, constants))
    for spec in dataset.element_spec:
        assert spec.shape[1:] == (46, 36, 1) and spec.dtype == tf.float32
    for mapped, eager in zip(next(iter(dataset)), structure_and_outside(images, None, constants)):
        np.testing.assert_array_equal(mapped, eager)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: structure_constants("brats2021"), "brats2021.*choose one of brats2015"),
        (lambda: structure_constants(variant="seed"), "variant 'seed'"),
        (lambda: lines_only(mask_median=4), "mask_median must be a positive odd"),
        (lambda: lines_only(sigma_1=-1.0), "sigma_1 must not be negative"),
        (lambda: lines_only(gaussian="9x9"), "gaussian must be one of"),
        (lambda: extract_structure(brain(46, 36), lines_only()), "found shape"),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(UserError, match=words):
        call()
