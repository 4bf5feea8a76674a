"""Ranges of intensities; image operations with fixed index and border rules: resize and filters.

The resize follows TensorFlow 1. `tf.image.resize` of TensorFlow 2 samples at pixel centres instead;
the two agree for exact doubling and differ for 184 -> 512, 512 -> 184 and H -> H + 10.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from utils.errors import UserError


def to_signed(images: tf.Tensor) -> tf.Tensor:
    """Returns images with intensities in [0,1] scaled to [-1,1]."""
    return 2.0 * images - 1.0


def to_unit(images: tf.Tensor) -> tf.Tensor:
    """Returns images with intensities in [-1,1] scaled to [0,1]."""
    return 0.5 * (images + 1.0)


def _source_indices(source: int, target: int) -> np.ndarray:
    """Return the `target` indices floor(i * source / target) into an axis of length `source`.

    The product is formed in float32 as TensorFlow's kernel does: for a few pairs of lengths, such
    as 26 -> 88, it falls just below a whole number where exact integers reach it.
    """
    scale = np.float32(source) / np.float32(target)
    indices = np.floor(np.arange(target, dtype=np.float32) * scale).astype(np.int32)
    return np.minimum(indices, source - 1)


def resize_nearest_tf1(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Resize the rows and columns of an image as TensorFlow 1's nearest-neighbour op did.

    Output row i shows input row floor(i * H / height), columns likewise. Built from gathers, so it
    has a gradient and an XLA kernel for every dtype.

    Args:
        image: [...,H,W,C] of any dtype, H and W statically known.
        size: (height, width) of the result in pixels, at least 1 each.

    Returns:
        [...,height,width,C] of the same dtype.

    Raises:
        UserError: if H or W is unknown or a target length is below 1.
    """
    image = tf.convert_to_tensor(image)
    for axis, target in zip((-3, -2), size):
        source = image.shape[axis]
        if source is None or target < 1:
            raise UserError(
                "resize_nearest_tf1 needs a static image size and a target of at least 1 pixel, "
                f"found image {image.shape} and size {tuple(size)}; set the shape before."
            )
        if source != target:
            image = tf.gather(image, _source_indices(source, target), axis=axis)
    return image


def _convolve_axes(image: tf.Tensor, taps: np.ndarray) -> tf.Tensor:
    """Filter [B,H,W,1] with the same taps along both axes, without padding."""
    taps = np.asarray(taps, np.float32)
    image = tf.nn.conv2d(image, taps.reshape(-1, 1, 1, 1), strides=1, padding="VALID")
    return tf.nn.conv2d(image, taps.reshape(1, -1, 1, 1), strides=1, padding="VALID")


def filter_separable(image: tf.Tensor, taps: np.ndarray) -> tf.Tensor:
    """Filter rows and columns with the same taps; borders are reflected (edge pixel not repeated).

    Args:
        image: [B,H,W,1] float32, H and W above half the number of taps.
        taps: [T], T odd; a single tap of 1 is the identity.

    Returns:
        [B,H,W,1] float32.
    """
    if len(taps) == 1 and taps[0] == 1:
        return image
    pad = [len(taps) // 2] * 2
    return _convolve_axes(tf.pad(image, [[0, 0], pad, pad, [0, 0]], mode="REFLECT"), taps)


def binary_median(image: tf.Tensor, window: int) -> tf.Tensor:
    """Median filter a 0/1 map with zeros beyond the border, as SciPy's `medfilt2d` does.

    The median of an odd number of zeros and ones is 1 exactly if the ones are the majority. The
    zero padding clears the corners of a map of ones.

    Args:
        image: [B,H,W,1] float32, values 0 and 1.
        window: odd side of the square window in pixels; 1 is the identity.

    Returns:
        [B,H,W,1] float32, values 0 and 1.
    """
    if window == 1:
        return image
    pad = [window // 2] * 2
    count = _convolve_axes(tf.pad(image, [[0, 0], pad, pad, [0, 0]]), np.ones(window))
    return tf.cast(count > window**2 / 2, tf.float32)
