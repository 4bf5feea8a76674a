"""Scores of one patient's volume as BraTS reports them: Dice and HD95, whole and by lesion.

Source of the lesion-wise rules: the BraTS 2023 challenge on glioma and its published evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from utils.metrics.segmentation import dice
from utils.metrics.surface import check_masks, hausdorff95

REACH = 3  # mm, of the dilation that joins lesions and finds their predicted parts
SMALLEST = 50.0  # mm^3; reference lesions of this volume or less do not count
PENALTY = 374.0  # mm, HD95 of a lesion that is missed or made up
NEIGHBOURS = np.ones((3, 3, 3), bool)  # 26: by a face, an edge or a corner
FIGURES = ("dice", "hd95", "lesionwise_dice", "lesionwise_hd95")


class LesionwiseScore(NamedTuple):
    """Mean Dice in [0,1] and mean HD95 in mm over the lesions of one volume."""

    dice: float
    hd95: float


def volume_scores(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    regions: Mapping[str, Sequence[int]],
) -> dict[str, float]:
    """Returns the scores of one volume: `<figure>_<region>` for each of `FIGURES` and each region.

    Empty rules: two empty masks have the Dice NaN, which means leave out, and the HD95 0; a single
    empty one gives the Dice 0 and the HD95 NaN. The lesion-wise scores are always numbers, see
    `lesionwise_score`.

    Args:
        prediction: [D,H,W] int.
        reference: same shape.
        spacing: mm between voxels along D, H and W.
        regions: labels that make up each region, by name.

    Raises:
        UserError: other shapes, or a spacing that is not one positive number per axis.
    """
    scores = {}
    for name, labels in regions.items():
        masks = np.isin(prediction, labels), np.isin(reference, labels)
        whole = float(dice(*(mask[None] for mask in masks))[0]), hausdorff95(*masks, spacing)
        values = (*whole, *lesionwise_score(*masks, spacing))
        scores.update({f"{figure}_{name}": value for figure, value in zip(FIGURES, values)})
    return scores


def mask_scores(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]
) -> dict[str, float]:
    """Returns dice, hd95 (mm), missed (0 or 1), sensitivity and specificity of a mask.

    Two empty masks have no Dice; without a reference there is but the specificity (and the Dice 0
    of a single empty mask). HD95 needs both masks. What is not defined is NaN.

    Args:
        prediction: bool [D,H,W].
        reference: same shape.
        spacing: mm between voxels along D, H and W.
    """
    there = reference.any()
    return {
        "dice": float(dice(prediction[None], reference[None])[0]),
        "hd95": hausdorff95(prediction, reference, spacing) if there else np.nan,
        "missed": float(not prediction.any()) if there else np.nan,
        "sensitivity": float(prediction[reference].mean()) if there else np.nan,
        "specificity": float(1 - prediction[~reference].mean()),
    }


def lesionwise_score(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]
) -> LesionwiseScore:
    """Returns BraTS' lesion-wise Dice (higher is better) and HD95 in mm (lower is better).

    - Parts of the reference that its dilation by `REACH` joins are one lesion. Everything is
      connected by 26 neighbours.
    - A predicted component belongs to every lesion whose dilation it touches; a lesion is scored
      against all of its components together, undilated.
    - A lesion without component scores Dice 0 and HD95 `PENALTY`; so does every component, however
      small, without lesion.
    - Lesions of `SMALLEST` or less do not count, nor do components that belong only to such.
    - The score is the mean over what counts. If nothing does, as in two empty masks, it is Dice 1
      and HD95 0.

    On voxels of 1 mm the dilation is the challenge's, three times by the 18 neighbours; on others
    it reaches as many mm, so it stops at voxels of more than 3 mm, and `SMALLEST` is a volume, not
    a number of voxels. HD95 is `hausdorff95`, where the challenge's weighs by surface area.

    Args:
        prediction: [D,H,W] bool or 0/1.
        reference: same shape.
        spacing: mm between voxels along D, H and W.

    Raises:
        UserError: other shapes, or a spacing that is not one positive number per axis.
    """
    prediction, reference = np.asarray(prediction, bool), np.asarray(reference, bool)
    check_masks("lesionwise_score", prediction.shape, reference.shape, spacing, ranks=(3,))
    both = prediction | reference
    if not both.any():
        return LesionwiseScore(1.0, 0.0)
    # What the dilation joins outside of this box it also joins inside.
    box = ndimage.find_objects(both.astype(np.uint8))[0]
    prediction, reference = prediction[box], reference[box]
    dilated = ndimage.binary_dilation(reference, _dilation(spacing))
    lesions, count = ndimage.label(dilated, NEIGHBOURS)
    components, number = ndimage.label(prediction, NEIGHBOURS)
    touching = np.zeros((count + 1, number + 1), bool)
    touching[lesions, components] = True
    touching[0] = touching[:, 0] = False  # the background
    scores = [(0.0, PENALTY)] * int(number - touching.any(axis=0).sum())
    for k in range(1, count + 1):
        lesion = reference & (lesions == k)
        if np.count_nonzero(lesion) * np.prod(spacing) <= SMALLEST:
            continue
        found = touching[k][components]
        distance = hausdorff95(found, lesion, spacing) if found.any() else PENALTY
        scores.append((float(dice(found[None], lesion[None])[0]), distance))
    return LesionwiseScore(*np.mean(scores, axis=0).tolist()) if scores else LesionwiseScore(1.0, 0)


def slice_steps(volume: np.ndarray, inside: np.ndarray) -> list[float]:
    """Returns the mean absolute difference of neighbouring slices along each axis.

    Args:
        volume: [D,H,W].
        inside: bool [D,H,W]; pairs of voxels that both lie in it count; NaN without any.
    """
    steps = []
    for axis in range(3):
        first, second = (
            np.take(inside, range(k, inside.shape[axis] - 1 + k), axis) for k in (0, 1)
        )
        changes = np.abs(np.diff(volume, axis=axis))[first & second]
        steps.append(float(changes.mean()) if changes.size else float("nan"))
    return steps


def _dilation(spacing: Sequence[float]) -> np.ndarray:
    """Returns the voxels that three steps of 1 mm reach, each along one axis or two at once."""
    sides = [int(REACH / step + 1e-6) for step in spacing]
    away = [np.abs(np.arange(-n, n + 1)) * step for n, step in zip(sides, spacing)]
    return sum(np.meshgrid(*away, indexing="ij")) <= 2 * REACH + 1e-6
