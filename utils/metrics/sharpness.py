"""How sharp slices are inside the healthy organ, and how many lines their structure maps hold.

All figures leave out the rim of the organ, whose step to the dark background is the sharpest thing
in every slice, and the lesion with its border, which the label draws.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from utils.metrics.images import check_images

RIM = 1 / 24  # of the shorter side: 3 pixels of 72, 10 of 240
BANDS = {"low": (1 / 32, 1 / 16), "middle": (1 / 16, 1 / 4), "high": (1 / 4, 1 / 2)}


def healthy_inside(outside: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Returns where the organ is healthy and away from its rim and from the lesion: bool [N,H,W].

    Args:
        outside: [N,H,W], 1 = outside the organ.
        label: [N,H,W] integer, 0 = no lesion.
    """
    return inside_rim(outside) & ~_grown(np.asarray(label) > 0, 1)


def inside_rim(outside: np.ndarray) -> np.ndarray:
    """Returns the organ without its rim, bool [N,H,W], from masks [N,H,W] with 1 = outside."""
    organ = np.asarray(outside) == 0
    width = max(1, round(min(organ.shape[1:]) * RIM))
    return binary_erosion(organ, _cross(), iterations=width)


def relative_gradient(images: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Returns the mean length of the gradient over the mean intensity, per pixel, of a region.

    Central differences; both means run over the region's pixels of all slices together, so slices
    with a small region count little. Higher is sharper or noisier: the mark to meet is the value
    of real slices.

    Args:
        images: [N,H,W,M] in [0,1], H and W of 2 or more.
        region: bool [N,H,W].

    Returns:
        float64 [M]; NaN for an empty or a black region.

    Raises:
        UserError: `check_images` refuses.
    """
    images = check_images("relative_gradient", images, "N,H,W,M", 2)
    length, intensity = np.zeros([2, images.shape[-1]])
    for slice_, inside in zip(images, region):  # one at a time: whole sets are large
        slice_ = slice_.astype(np.float64)
        length += np.hypot(*np.gradient(slice_, axis=(0, 1)))[inside].sum(axis=0)
        intensity += slice_[inside].sum(axis=0)
    return np.divide(length, intensity, out=np.full_like(length, np.nan), where=intensity > 0)


def power_spectrum(images: np.ndarray, region: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the power of a region's intensities in bands of spatial frequency, per modality.

    Each slice minus its mean over the region, divided by that mean, times the softened region (the
    frame would otherwise show in the spectrum), as a density per pixel of the region; averaged over
    the directions and over the slices, weighted by their regions. The mark to meet is the value of
    real slices.

    Args:
        images: [N,H,W,M] in [0,1], H and W of 2 or more.
        region: bool [N,H,W].

    Returns:
        float64 [M] by the key of `BANDS`, whose limits are in cycles per pixel; NaN for an empty
        region.

    Raises:
        UserError: `check_images` refuses.
    """
    images = check_images("power_spectrum", images, "N,H,W,M", 2)
    frequency = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, images.shape[1:3]), indexing="ij"))
    inside = {band: (low <= frequency) & (frequency < high) for band, (low, high) in BANDS.items()}
    sums = {band: np.zeros(images.shape[-1]) for band in BANDS}
    weight = 0.0
    for slice_, mask in zip(images, region):
        soft = gaussian_filter(mask.astype(np.float64), 1.0) * mask
        slice_ = slice_.astype(np.float64)
        mean = np.tensordot(soft, slice_, axes=2) / soft.sum() if mask.any() else np.zeros(1)
        if not np.all(mean > 0):
            continue
        field = (slice_ / mean - 1.0) * soft[..., None]
        power = np.abs(np.fft.fft2(field, axes=(0, 1))) ** 2
        for band, chosen in inside.items():
            sums[band] += power[chosen].mean(axis=0)
        weight += np.sum(soft**2)
    return {band: total / weight if weight else total * np.nan for band, total in sums.items()}


def line_share(structure: np.ndarray, outside: np.ndarray) -> float:
    """Returns the share of the organ's pixels, without its rim, that structure maps mark as lines.

    The mark to meet is the value of extracted maps. NaN if no pixel is left.

    Args:
        structure: [N,H,W], 1 on lines.
        outside: [N,H,W], 1 = outside the organ.
    """
    lines = np.asarray(structure)[inside_rim(outside)]
    return float(np.mean(lines > 0)) if lines.size else np.nan


def _cross() -> np.ndarray:
    """The four neighbours in the slice, [1,3,3]: pixels of other slices are no neighbours."""
    return np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], bool)


def _grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    return binary_dilation(mask, _cross(), iterations=pixels)
