"""How much a generator's samples differ from each other, to see whether it has collapsed."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from utils.metrics.images import multi_scale_ssim


def collapse_figures(images: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Returns two metrics of a set's variety, each for the modality with the least variety.

    `collapse/variance`: the variance between samples, mean over the pixels, divided by that of the
    real images; about 1 if they are as varied, 0 if all samples are alike. `collapse/similarity`:
    the mean MS-SSIM of all pairs of samples; 1 if all are alike. Both are NaN for images that are
    not finite.

    Args:
        images: samples [N,H,W,M] in [0,1], N of 2 or more, H and W of 11 or more.
        real: real images [K,H,W,M] in [0,1], K of 2 or more.
    """
    images, real = np.asarray(images), np.asarray(real)
    if not np.isfinite(images).all():
        return {"collapse/variance": np.nan, "collapse/similarity": np.nan}
    variance, reference = (np.var(x, axis=0, dtype=np.float64).mean((0, 1)) for x in (images, real))
    first, second = zip(*combinations(range(len(images)), 2))
    similarity = multi_scale_ssim(images[list(first)], images[list(second)]).mean(axis=0)
    ratio = variance / np.maximum(reference, np.finfo(np.float64).tiny)
    return {
        "collapse/variance": float(ratio.min()),
        "collapse/similarity": float(similarity.max()),
    }
