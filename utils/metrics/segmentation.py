"""Overlap of predicted and reference labels: Dice, sensitivity, scores of the original code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from utils.errors import UserError

LEGACY_SMOOTHING = 1e-5


def dice(prediction: np.ndarray, reference: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """Returns the Dice coefficient (2 |P and R| + s) / (|P| + |R| + s) of each image.

    Higher is better. Empty rule without smoothing: NaN if prediction and reference are both empty
    (`mean_and_count` leaves it out), 0 if only one of them is. With it, two empty ones score 1.

    Args:
        prediction: [N,...] bool or 0/1.
        reference: [N,...] bool or 0/1, same shape.
        smoothing: s, 0 or more; the released code of TC-MGAN has 1.

    Returns:
        float64 [N] in [0,1] or NaN.

    Raises:
        UserError: the shapes differ, or a negative smoothing.
    """
    _check_shapes(prediction, reference)
    if not 0 <= smoothing < np.inf:
        raise UserError(f"The smoothing of dice must be 0 or more, found {smoothing}; correct it.")
    both = _count(np.logical_and(prediction, reference))
    return _share(2 * both + smoothing, _count(prediction) + _count(reference) + smoothing)


def sensitivity(prediction: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns the fraction |P and R| / |R| of each reference that was found; higher is better.

    Empty rule: NaN if the reference is empty, whatever the prediction.

    Args:
        prediction: [N,...] bool or 0/1.
        reference: [N,...] bool or 0/1, same shape.

    Returns:
        float64 [N] in [0,1] or NaN.

    Raises:
        UserError: the shapes differ.
    """
    _check_shapes(prediction, reference)
    return _share(_count(np.logical_and(prediction, reference)), _count(reference))


def specificity(prediction: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns the fraction of pixels outside each reference that were left out; higher is better.

    Empty rule: NaN if the reference fills the image. A small reference gives values near 1 for
    almost any prediction.

    Args:
        prediction: [N,...] bool or 0/1.
        reference: [N,...] bool or 0/1, same shape.

    Returns:
        float64 [N] in [0,1] or NaN.

    Raises:
        UserError: the shapes differ.
    """
    return sensitivity(np.logical_not(prediction), np.logical_not(reference))


def _count(masks: np.ndarray) -> np.ndarray:
    """Number of pixels [N] in each mask [N,...]."""
    return np.count_nonzero(masks, axis=tuple(range(1, np.ndim(masks))))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole [N], NaN where there is no whole."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def mean_and_count(values: np.ndarray) -> tuple[float, int]:
    """Returns the mean of the values that are not NaN and their number; (NaN, 0) if there is none.

    Args:
        values: [N] float, such as the result of `dice`.
    """
    values = np.asarray(values, np.float64)
    used = values[~np.isnan(values)]
    return (float(used.mean()) if used.size else float("nan")), int(used.size)


def segmentation_metrics(
    prediction: np.ndarray,
    reference: np.ndarray,
    num_classes: int,
    class_names: Sequence[str],
    regions: Mapping[str, Sequence[int]],
) -> dict[str, float]:
    """Returns the scores of a set of label maps by name; definitions are in `utils.metrics`.

    A score is the mean over images by `mean_and_count`, so it is NaN where no image defines it,
    such as the Dice of a class that is neither predicted nor in the reference.

    Args:
        prediction: [N,H,W] int in 0..num_classes-1.
        reference: [N,H,W] int in 0..num_classes-1.
        num_classes: number of classes, the background 0 included.
        class_names: name of each class, the background's first.
        regions: labels above 0 that make up each region, by a name that no class has.

    Returns:
        `dice_<name>` per class above 0; `dice_<region>`, `sensitivity_<region>` and
        `specificity_<region>` per region; `legacy_dice`: all higher is better; `legacy_mse`: lower
        is better; `images` and `images_with_lesion`: numbers of images and of references with a
        label above 0.

    Raises:
        UserError: shapes that differ, no image, a label outside the classes, a wrong number of
            names, a region without labels, with a foreign label or with the name of a class.
    """
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    _check_shapes(prediction, reference)
    _check_classes(prediction, reference, num_classes, class_names)
    _check_regions(regions, num_classes, class_names)
    scores = {
        f"dice_{class_names[k]}": dice(prediction == k, reference == k)
        for k in range(1, num_classes)
    }
    for name, labels in regions.items():
        masks = np.isin(prediction, labels), np.isin(reference, labels)
        scores[f"dice_{name}"] = dice(*masks)
        scores[f"sensitivity_{name}"] = sensitivity(*masks)
        scores[f"specificity_{name}"] = specificity(*masks)
    legacy, error = _index_scores(prediction, reference)
    return {
        **{name: mean_and_count(values)[0] for name, values in scores.items()},
        "legacy_dice": float(legacy.mean()),
        "legacy_mse": error,
        "images": float(len(reference)),
        "images_with_lesion": float((reference > 0).any(axis=(1, 2)).sum()),
    }


def _index_scores(prediction: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the original code's scores of label numbers a and b: "Dice" [N], squared error.

    Dice is (2 sum(a b) + 1e-5) / (sum(a^2) + sum(b^2) + 1e-5) per image, 1 for two empty ones; the
    error is the mean of (a - b)^2 over all pixels. Source: the released segmentation code.
    """
    a, b = (labels.reshape(len(labels), -1) for labels in (prediction, reference))
    aa, bb, ab = (  # whole numbers: exact, and uint8 labels cannot overflow
        np.einsum("np,np->n", x, y, dtype=np.int64, casting="unsafe")
        for x, y in ((a, a), (b, b), (a, b))
    )
    scores = (2 * ab + LEGACY_SMOOTHING) / (aa + bb + LEGACY_SMOOTHING)
    return scores, float((aa + bb - 2 * ab).sum() / a.size)


def _check_shapes(prediction: np.ndarray, reference: np.ndarray) -> None:
    if np.shape(prediction) != np.shape(reference):
        raise UserError(
            f"Prediction and reference must have one shape, found {np.shape(prediction)} and "
            f"{np.shape(reference)}; bring both to the same images and size."
        )


def _check_classes(
    prediction: np.ndarray, reference: np.ndarray, num_classes: int, class_names: Sequence[str]
) -> None:
    if len(class_names) != num_classes:
        raise UserError(
            f"class_names must name all {num_classes} classes with the background first, found "
            f"{len(class_names)} names; correct num_classes or class_names."
        )
    if reference.ndim != 3 or not reference.size:
        raise UserError(
            f"Label maps must be [N,H,W] with at least one image, found {reference.shape}; drop "
            "extra axes and check that the set is not empty."
        )
    for name, labels in (("prediction", prediction), ("reference", reference)):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= num_classes:
            raise UserError(
                f"The {name} must hold labels 0..{num_classes - 1}, found {low}..{high}; check "
                "its label scheme."
            )


def _check_regions(
    regions: Mapping[str, Sequence[int]], num_classes: int, class_names: Sequence[str]
) -> None:
    for name, labels in regions.items():
        if name in class_names or not labels or not set(labels) <= set(range(1, num_classes)):
            raise UserError(
                f"Each of regions must map a name that no class has to labels in "
                f"1..{num_classes - 1}, found {name!r}: {tuple(labels)}; correct regions."
            )
