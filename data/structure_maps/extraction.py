"""Structure maps and organ masks cut from real images: Algorithms 1 and 2 as TensorFlow functions.

Algorithm 1 (structural feature map): Sobel responses in both directions -> their minimum and
maximum per pixel -> each min-max normalised -> blurred -> distance from the mean thresholded ->
either one -> blurred and thresholded again -> median filter -> background removed. Algorithm 2
(mask): 1 - [x > gamma] -> zoomed by p pixels -> median filter; **1 = outside the organ**.

The published algorithms print no constants, so the numbers are those of the released code, one row
per data set in `DATASETS`. The publications differ in steps, not only in numbers; `VARIANTS` lists
how, as changes to a row:

* "code" (default): nine-tap blur, mask from the min-max normalised image, median filter and then
  times (1 - mask).
* "thesis": Algorithms 1 and 2 as printed: 3x3 Gaussian, 3x3 median, mask from the image itself,
  median filter and then times [x > gamma] (the text around it says the reverse order). Line 12
  thresholds the blurred map; the print repeats the sum of line 10, and the blur would be unused.
* "paper", "paper_image_stage": the first paper, Sobel and two thresholds only, with the edge
  threshold of its structure map stage and of its image stage; mask 1 - [x > 0] zoomed by 5.

No variant omits the min-max of the Sobel responses: it is not printed, but the thresholds need it.
All extremes and means are taken per sample, so a batch gives what its images give one by one.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tensorflow as tf

from utils.errors import UserError
from utils.images import binary_median, filter_separable, resize_nearest_tf1


@dataclass(frozen=True)
class StructureMapConstants:
    """Constants of Algorithms 1 and 2.

    Args:
        edge_threshold: alpha, on the distance of a normalised Sobel response from its mean.
        sigma_1: pixels, blur of the Sobel responses; 0 for none.
        sigma_2: pixels, blur of the binary line map; 0 for none.
        blur_threshold: beta_2, on the blurred line map, in [0,1).
        structure_median: k_s, odd window of the line map's median filter; 1 for none.
        mask_threshold: gamma, grey value above which a pixel belongs to the organ.
        mask_zoom: p, pixels by which the mask is enlarged before the central crop.
        mask_median: k_m, odd window of the mask's median filter; 1 for none.
        gaussian: "nine_tap" (see `gaussian_taps`) or "3x3".
        background: lines are kept where Algorithm 2's mask is 0 ("mask"), where x > gamma
            ("image"), or everywhere ("keep").
        mask_min_max: whether gamma applies to the image after min-max (else to the image as given).
    """

    edge_threshold: float
    sigma_1: float
    sigma_2: float
    blur_threshold: float
    structure_median: int
    mask_threshold: float
    mask_zoom: int
    mask_median: int
    gaussian: Literal["nine_tap", "3x3"] = "nine_tap"
    background: Literal["mask", "image", "keep"] = "mask"
    mask_min_max: bool = True

    def __post_init__(self) -> None:
        for name in ("structure_median", "mask_median"):
            window = getattr(self, name)
            if window < 1 or window % 2 == 0:
                raise UserError(f"{name} must be a positive odd number of pixels, found {window}.")
        for name in ("sigma_1", "sigma_2", "mask_zoom"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} must not be negative, found {getattr(self, name)}.")
        for name, known in (
            ("gaussian", ("nine_tap", "3x3")),
            ("background", ("mask", "image", "keep")),
        ):
            if getattr(self, name) not in known:
                raise UserError(f"{name} must be one of {known}, found {getattr(self, name)!r}.")


# Columns: alpha, sigma_1, sigma_2, beta_2, k_s, gamma, p, k_m. Working sizes of the released code:
# 184x144; 512x512 RGB; 512x512; 1500x1500 (reduced to 512 afterwards); 512x512.
DATASETS = {
    "brats2015": StructureMapConstants(0.035, 0.01, 0.01, 0.0, 5, 0.3, 10, 5),
    "drive_fire": StructureMapConstants(0.014, 0.4, 0.3, 0.05, 5, 0.3, 10, 17),
    "lung_ct": StructureMapConstants(0.0125, 0.4, 0.3, 0.05, 7, 0.48, 2, 3),
    "chest_xray": StructureMapConstants(0.009, 0.4, 0.5, 0.05, 3, 0.15, 2, 17),
    "tianchi_ct": StructureMapConstants(0.0125, 0.4, 0.3, 0.05, 5, 0.48, 2, 3),
}

_PAPER = {
    "edge_threshold": 0.07,
    "sigma_1": 0.0,
    "sigma_2": 0.0,
    "blur_threshold": 0.0,
    "structure_median": 1,
    "mask_threshold": 0.0,
    "mask_zoom": 5,
    "mask_median": 1,
    "background": "keep",
    "mask_min_max": False,
}
VARIANTS = {
    "code": {},
    "thesis": {
        "gaussian": "3x3",
        "structure_median": 3,
        "background": "image",
        "mask_min_max": False,
    },
    "paper": _PAPER,
    "paper_image_stage": {**_PAPER, "edge_threshold": 0.12},
}


def structure_constants(dataset: str = "brats2015", variant: str = "code") -> StructureMapConstants:
    """Return the row of a data set with the changes of a variant.

    The paper variants set every number themselves (the paper has brain images only), so that the
    data set makes no difference to them.

    Args:
        dataset: key of `DATASETS`.
        variant: key of `VARIANTS`.

    Raises:
        UserError: if either key is unknown.
    """
    for argument, key, table in (("data set", dataset, DATASETS), ("variant", variant, VARIANTS)):
        if key not in table:
            raise UserError(
                f"There are no structure map constants for {argument} {key!r}; "
                f"choose one of {', '.join(table)}."
            )
    return dataclasses.replace(DATASETS[dataset], **VARIANTS[variant])


def gaussian_taps(sigma: float, gaussian: str) -> np.ndarray:
    """Return the taps of a separable blur, applied along rows and along columns.

    "3x3" gives the three taps whose outer product is the normalised 3x3 Gaussian. "nine_tap" gives
    what the released code applies under that name: the 3x3 kernel read row by row as *nine* taps
    of a one-dimensional filter, so that the mass next to the centre appears at distances 1 and 3.
    Taps at the ends that vanish in float32 are cut off.

    Args:
        sigma: standard deviation in pixels, 0 for the identity.
        gaussian: "nine_tap" or "3x3".

    Returns:
        float32 [1..9], odd length, symmetric, sum 1.
    """
    if sigma == 0:
        return np.ones(1, np.float32)
    row = np.exp(-np.array([1.0, 0.0, 1.0]) / (2.0 * sigma**2))
    taps = row if gaussian == "3x3" else np.outer(row, row).ravel()
    return np.trim_zeros((taps / taps.sum()).astype(np.float32))


def _min_max(image: tf.Tensor) -> tf.Tensor:
    """Scale each sample of [B,H,W,C] to [0,1] over all its values; a constant sample becomes 0."""
    low = tf.reduce_min(image, axis=(1, 2, 3), keepdims=True)
    high = tf.reduce_max(image, axis=(1, 2, 3), keepdims=True)
    return tf.math.divide_no_nan(image - low, high - low)


def _checked(image: tf.Tensor) -> tf.Tensor:
    """Return the image as float32 after checking that it is [B,H,W,C] with static H and W."""
    image = tf.cast(image, tf.float32)
    if image.shape.rank != 4 or None in image.shape[1:]:
        raise UserError(
            "Structure maps are cut from images [B,H,W,C] with static H, W and C, "
            f"found shape {image.shape}; add the batch axis or set the shape."
        )
    return image


def _organ(image: tf.Tensor, constants: StructureMapConstants) -> tf.Tensor:
    """Return [x > gamma] of the first channel as [B,H,W,1] float32."""
    grey = _min_max(image) if constants.mask_min_max else image
    return tf.cast(grey[..., :1] > constants.mask_threshold, tf.float32)


def extract_outside(image: tf.Tensor, constants: StructureMapConstants) -> tf.Tensor:
    """Extract the mask of everything outside the organ (Algorithm 2).

    The zoom is a nearest resize to (H+p, W+p) with TensorFlow 1's index rule and a central crop at
    offset floor(p/2).

    Args:
        image: [B,H,W,C], any finite range; with C > 1 the min-max spans all channels and the first
            channel is thresholded, as for RGB retina images.
        constants: thresholds and windows.

    Returns:
        [B,H,W,1] float32, 1 = outside the organ, 0 = inside.

    Raises:
        UserError: if the image is not [B,H,W,C] with static H, W and C.
    """
    image = _checked(image)
    height, width, zoom = image.shape[1], image.shape[2], constants.mask_zoom
    outside = resize_nearest_tf1(1.0 - _organ(image, constants), (height + zoom, width + zoom))
    start = zoom // 2
    outside = outside[:, start : start + height, start : start + width]
    return binary_median(outside, constants.mask_median)


def _extract_lines(image: tf.Tensor, constants: StructureMapConstants) -> tf.Tensor:
    """Algorithm 1 up to and including the median filter, [B,H,W,C] -> [B,H,W,1]."""
    responses = tf.image.sobel_edges(image)
    taps = gaussian_taps(constants.sigma_1, constants.gaussian)
    lowest = filter_separable(_min_max(tf.reduce_min(responses, axis=-1))[..., :1], taps)
    highest = filter_separable(_min_max(tf.reduce_max(responses, axis=-1))[..., :1], taps)
    below = tf.reduce_mean(lowest, axis=(1, 2, 3), keepdims=True) - lowest
    above = highest - tf.reduce_mean(highest, axis=(1, 2, 3), keepdims=True)
    lines = tf.cast(tf.maximum(below, above) > constants.edge_threshold, tf.float32)
    blurred = filter_separable(lines, gaussian_taps(constants.sigma_2, constants.gaussian))
    lines = tf.cast(blurred > constants.blur_threshold, tf.float32)
    return binary_median(lines, constants.structure_median)


def _remove_background(
    lines: tf.Tensor, image: tf.Tensor, outside: tf.Tensor, constants: StructureMapConstants
) -> tf.Tensor:
    """Keep the lines [B,H,W,1] where `constants.background` says."""
    if constants.background == "mask":
        return lines * (1.0 - outside)
    if constants.background == "image":
        return lines * _organ(image, constants)
    return lines


def extract_structure(image: tf.Tensor, constants: StructureMapConstants) -> tf.Tensor:
    """Extract the structural feature map (Algorithm 1).

    Args:
        image: [B,H,W,C], any finite range, H and W at least 5; with C > 1 the min-max of the Sobel
            responses spans all channels and the first channel is kept, as for RGB retina images.
        constants: thresholds and windows.

    Returns:
        [B,H,W,1] float32, 1 on lines, 0 elsewhere.

    Raises:
        UserError: if the image is not [B,H,W,C] with static H, W and C.
    """
    return structure_and_outside(image, None, constants)[0]


def remove_tumour(structure: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    """Erase the lines under the lesion: structure * (1 - [label > 0]).

    Args:
        structure: [...,H,W,1] float32, 0/1.
        label: [...,H,W,1] integer, 0 = no lesion.

    Returns:
        [...,H,W,1] float32, 0/1.
    """
    return structure * (1.0 - tf.cast(label > 0, structure.dtype))


def structure_and_outside(
    image: tf.Tensor, label: tf.Tensor | None, constants: StructureMapConstants
) -> tuple[tf.Tensor, tf.Tensor]:
    """Extract structure map and mask of the same images, computing the mask once.

    Args:
        image: [B,H,W,C], as in `extract_structure`.
        label: [B,H,W,1] integer whose lesion is erased from the structure map, or None to keep all.
        constants: thresholds and windows.

    Returns:
        (structure [B,H,W,1], outside [B,H,W,1]), both float32 0/1.

    Raises:
        UserError: if the image is not [B,H,W,C] with static H, W and C.
    """
    image = _checked(image)
    outside = extract_outside(image, constants)
    lines = _extract_lines(image, constants)
    structure = _remove_background(lines, image, outside, constants)
    return structure if label is None else remove_tumour(structure, label), outside
