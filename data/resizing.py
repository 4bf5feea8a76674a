"""Square slices of another size: area interpolation for images and labels, and the way back."""

from __future__ import annotations

import cv2
import numpy as np

# OpenCV's area weights are float32, so a half may come out as 0.49999997.
_HALF = 0.5 - 1e-6


def area_resize(stack: np.ndarray, side: int) -> np.ndarray:
    """Shrinks slices so that each new pixel is the mean of the area it covers.

    TC-MGAN's released code does the same on the integers of the files: means of an integer type are
    rounded to whole numbers, as OpenCV does.

    Args:
        stack: [S,H,W,M] of any real type, M of 1 to 4.
        side: new height and width in pixels, at most H and W.

    Returns:
        [S,side,side,M] of the type of `stack`.
    """
    resized = np.empty((len(stack), side, side, stack.shape[-1]), stack.dtype)
    for target, source in zip(resized, stack):
        # OpenCV knows no area interpolation of some integer types.
        means = _area(source.astype(np.float64), side).reshape(target.shape)
        target[:] = np.rint(means) if np.issubdtype(stack.dtype, np.integer) else means
    return resized


def area_resize_label(label: np.ndarray, side: int) -> np.ndarray:
    """Shrinks label maps: lesion where at least half of the area is lesion, of the commonest class.

    `label > 0` is TC-MGAN's whole-tumour label (released code: the 0/1 map by area interpolation,
    then a threshold of 0.5). A tie between classes goes to the smaller one.

    Args:
        label: uint8 [S,H,W], 0 = no lesion.
        side: new height and width in pixels, at most H and W.

    Returns:
        uint8 [S,side,side], values of `label`.
    """
    resized = np.zeros((len(label), side, side), np.uint8)
    for target, source in zip(resized, label):
        if source.any():
            lesion = _area((source > 0).astype(np.float64), side) >= _HALF
            classes = range(1, int(source.max()) + 1)
            shares = [_area((source == k).astype(np.float64), side) for k in classes]
            target[lesion] = (1 + np.argmax(shares, axis=0))[lesion]
    return resized


def enlarge(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Brings slices back to a larger size by bilinear interpolation, pixel areas aligned.

    Args:
        images: float [N,h,w].
        size: new (H, W) in pixels.

    Returns:
        float32 [N,H,W].
    """
    enlarged = np.empty((len(images), *size), np.float32)
    for target, source in zip(enlarged, images):
        source = np.ascontiguousarray(source, np.float32)
        target[:] = cv2.resize(source, size[::-1], interpolation=cv2.INTER_LINEAR)
    return enlarged


def _area(image: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
