"""Distance between the surfaces of predicted and reference masks, in millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from utils.errors import UserError
from utils.metrics.segmentation import mean_and_count

PERCENTILE = 95


class Hausdorff95(NamedTuple):
    """Mean HD95 of a set in mm (lower is better, NaN if undefined) and the numbers behind it.

    `measured` masks are in the mean, and `both_empty` of these add a 0 to it; `one_empty` masks
    have no distance and are left out, so read the mean beside this number.
    """

    mean: float
    measured: int
    both_empty: int
    one_empty: int


def hausdorff95(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> float:
    """Returns the 95 % Hausdorff distance of two masks in mm; lower is better.

    MedPy's definition: the distances of each border pixel to the nearest border pixel of the other
    mask, both directions pooled, 95th percentile of the pool. The border is what one erosion with
    the direct neighbours (4 in 2-D, 6 in 3-D) removes; the image ends in background. It is one of
    three definitions in use: MONAI takes the larger of the two directions' percentiles, DeepMind's
    surface-distance likewise but weighs by surface area. Slices (2-D) and volumes (3-D) give
    different numbers too.

    Empty rule: 0 if both masks are empty, NaN if only one is.

    Args:
        prediction: [H,W] or [D,H,W] bool or 0/1.
        reference: same shape.
        spacing: mm between pixels along each axis of the array, in its order.

    Returns:
        0 or more, or NaN.

    Raises:
        UserError: other shapes, or a spacing that is not one positive number per axis.
    """
    prediction, reference = np.asarray(prediction, bool), np.asarray(reference, bool)
    check_masks("hausdorff95", prediction.shape, reference.shape, spacing)
    if not prediction.any() and not reference.any():
        return 0.0
    if not prediction.any() or not reference.any():
        return float("nan")
    # Beyond this box there is no border; distances of whole volumes would take seconds.
    box = ndimage.find_objects((prediction | reference).astype(np.uint8))[0]
    prediction, reference = prediction[box], reference[box]
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (prediction, reference)]
    distances = [
        ndimage.distance_transform_edt(~target, sampling=tuple(spacing))[source]
        for source, target in (borders, borders[::-1])
    ]
    return float(np.percentile(np.concatenate(distances), PERCENTILE))


def hausdorff95_batch(
    predictions: np.ndarray, references: np.ndarray, spacing: Sequence[float]
) -> Hausdorff95:
    """Returns the mean `hausdorff95` of a set of masks and how many cases it rests on.

    Args:
        predictions: [N,H,W] or [N,D,H,W] bool or 0/1.
        references: same shape.
        spacing: mm between pixels along each axis after the first.

    Raises:
        UserError: other shapes, or a spacing that is not one positive number per axis.
    """
    predictions, references = np.asarray(predictions, bool), np.asarray(references, bool)
    if predictions.shape[:1] != references.shape[:1]:
        raise UserError(
            "hausdorff95_batch needs as many predictions as references, found "
            f"{predictions.shape} and {references.shape}; pass the same cases."
        )
    distances = [hausdorff95(*masks, spacing) for masks in zip(predictions, references)]
    empty = [int(p.any()) + int(r.any()) for p, r in zip(predictions, references)]
    return Hausdorff95(*mean_and_count(np.array(distances)), empty.count(0), empty.count(1))


def check_masks(
    name: str,
    prediction: tuple[int, ...],
    reference: tuple[int, ...],
    spacing: Sequence[float],
    ranks: Sequence[int] = (2, 3),
) -> None:
    """Raises UserError for masks of other shapes, or a spacing that is not positive for each axis.

    Args:
        name: the function that needs them, for the message.
        prediction, reference: shapes of the masks.
        spacing: mm between pixels along each axis.
        ranks: numbers of axes that the function takes.
    """
    if prediction != reference or len(prediction) not in ranks:
        shapes = " or ".join(("[H,W]", "[D,H,W]")[rank - 2] for rank in ranks)
        raise UserError(
            f"{name} needs two masks {shapes} of one shape, found {prediction} and {reference}; "
            "bring both to the same grid."
        )
    millimetres = np.asarray(spacing, np.float64)
    if millimetres.shape != (len(prediction),) or not np.all(
        np.isfinite(millimetres) & (millimetres > 0)
    ):
        raise UserError(
            f"spacing must be one positive number of mm for each of the {len(prediction)} axes, "
            f"found {spacing}; take it from the header of the volume."
        )
