"""Detections of boxes against the truth: average precision, FROC, recall, IoU of the best.

Detections `found` are {"boxes": [N,D,4], "scores": [N,D], "classes": [N,D]}, truths [N,T,5] rows
(class, cx, cy, w, h), of N images. A box is (cx, cy, w, h) in fractions of the image; classes are
numbers from 1 on, and rows of class 0 only fill up. A detection is right if it is matched with a
truth: in each image the detections of a class take, highest score first, the truth of their class
with the largest IoU that no other has taken, if that IoU is above a threshold, 0.5 by default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from utils.errors import UserError

Found = Mapping[str, np.ndarray]

THRESHOLD = 0.5  # IoU
SCORE = 0.5
FROC_RATES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)  # false positives per image (LUNA16)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of all pairs of boxes, 0..1; 0 without any area.

    Args:
        a, b: [D,4] and [T,4], (cx, cy, w, h).

    Returns:
        float64 [D,T].
    """
    a, b = (np.asarray(boxes, np.float64) for boxes in (a, b))
    pair = a[:, None], b[None]
    low = np.maximum(*(boxes[..., :2] - boxes[..., 2:] / 2 for boxes in pair))
    high = np.minimum(*(boxes[..., :2] + boxes[..., 2:] / 2 for boxes in pair))
    both = np.maximum(high - low, 0).prod(axis=-1)
    either = sum(boxes[..., 2:].prod(axis=-1) for boxes in pair) - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def average_precision(
    found: Found, truths: np.ndarray, num_classes: int, threshold: float = THRESHOLD
) -> np.ndarray:
    """Returns the average precision of each class above 0; higher is better.

    It is the area under the precision, made monotone from the right, over all points of recall (the
    PASCAL VOC rule from 2010 on). Detections of one score count in the order in which they stand.

    Args:
        found: detections.
        truths: [N,T,5].
        num_classes: K, the background (0) included.
        threshold: IoU above which a detection is right.

    Returns:
        float64 [K-1] in [0,1]; NaN for a class without truths.

    Raises:
        UserError: detections and truths of different images, or of other shapes.
    """
    _check(found, truths)
    precisions = np.full(num_classes - 1, np.nan)
    for kind in range(1, num_classes):
        total = np.count_nonzero(truths[..., 0] == kind)
        if total:
            _, right = _matched(found, truths, [kind], threshold)
            precision = np.cumsum(right) / np.arange(1, len(right) + 1)
            envelope = np.maximum.accumulate(precision[::-1])[::-1]
            precisions[kind - 1] = envelope[right].sum() / total
    return precisions


def recall(
    found: Found, truths: np.ndarray, score: float = SCORE, threshold: float = THRESHOLD
) -> float:
    """Returns the share of all truths that detections of a `score` or above find.

    NaN if there are no truths. Raises UserError as `average_precision`, whose arguments these are.
    """
    _check(found, truths)
    scores, right = _matched(found, truths, _classes(truths), threshold)
    return _share(np.count_nonzero(right & (scores >= score)), truths)


def froc(
    found: Found,
    truths: np.ndarray,
    rates: Sequence[float] = FROC_RATES,
    threshold: float = THRESHOLD,
) -> np.ndarray:
    """Returns the sensitivity at given numbers of false positives per image; higher is better.

    The sensitivity is the largest `recall` of all classes together that any score reaches with at
    most so many false positives; there is no interpolation. Detections of classes without truths
    count as well.

    Args:
        found: detections.
        truths: [N,T,5].
        rates: false positives per image.
        threshold: IoU above which a detection is right.

    Returns:
        float64 [len(rates)] in [0,1]; NaN if there are no truths.

    Raises:
        UserError: as of `average_precision`.
    """
    _check(found, truths)
    kinds = {*_classes(truths), *_classes(found["classes"][..., None])}
    scores, right = _matched(found, truths, kinds, threshold)
    # Detections of one score stand or fall together: a score ends at its last one.
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)[: len(scores)])
    false = np.cumsum(~right)[ends] / len(truths)
    hits = np.cumsum(right)[ends]
    return np.array([_share(hits[false <= rate].max(initial=0), truths) for rate in rates])


def mean_best_iou(found: Found, truths: np.ndarray, score: float = SCORE) -> float:
    """Returns the mean over all truths of the best IoU of a detection of their class; up to 1.

    Our reading of the thesis' "IOU" (Table 8), which has no definition. Detections of a `score` or
    above count; a truth without any has 0. NaN if there are no truths.

    Raises UserError as `average_precision`, whose arguments these are.
    """
    _check(found, truths)
    best = 0.0
    for boxes, scores, classes, rows in _images(found, truths):
        fits = (classes[:, None] == rows[:, 0]) & (scores >= score)[:, None]
        best += np.where(fits, box_iou(boxes, rows[:, 1:]), 0).max(axis=0, initial=0).sum()
    return _share(best, truths)


def detection_metrics(
    found: Found, truths: np.ndarray, class_names: Sequence[str]
) -> dict[str, float]:
    """Returns the scores of a set of detections by name; higher is better.

    Args:
        found: detections.
        truths: [N,T,5].
        class_names: name of each class, the background's first.

    Returns:
        `ap50_<name>` per class above 0; `map50`, their mean over the classes that have truths;
        `mean_best_iou`; `recall` at score 0.5; `froc_<rate>` for each of `FROC_RATES`, such as
        `froc_0.125`; `images`, `truths`: their numbers. NaN where truths are missing.

    Raises:
        UserError: as of `average_precision`.
    """
    precisions = average_precision(found, truths, len(class_names))
    defined = precisions[~np.isnan(precisions)]
    named = zip(class_names[1:], precisions)
    rates = zip(FROC_RATES, froc(found, truths))
    return {
        **{f"ap50_{name}": float(value) for name, value in named},
        "map50": float(defined.mean()) if defined.size else float("nan"),
        "mean_best_iou": mean_best_iou(found, truths),
        "recall": recall(found, truths),
        **{f"froc_{rate:g}": float(value) for rate, value in rates},
        "images": float(len(truths)),
        "truths": float(np.count_nonzero(truths[..., 0])),
    }


def _images(found: Found, truths: np.ndarray) -> Iterable[tuple]:
    """Boxes [D,4], scores [D], classes [D] and truths [T,5] of one image after the other."""
    return zip(found["boxes"], found["scores"], found["classes"], truths)


def _classes(rows: np.ndarray) -> set[int]:
    """The classes above 0 among rows [...,C] that begin with theirs."""
    return set(np.unique(rows[..., 0]).astype(int).tolist()) - {0}


def _share(part: float, truths: np.ndarray) -> float:
    total = np.count_nonzero(truths[..., 0])
    return float(part / total) if total else float("nan")


def _matched(
    found: Found, truths: np.ndarray, kinds: Iterable[int], threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Score and whether right of all detections of some classes, [M] each, highest scores first."""
    scores, right = [np.zeros(0)], [np.zeros(0, bool)]
    for boxes, values, classes, rows in _images(found, truths):
        for kind in sorted(kinds):
            mine = np.flatnonzero(classes == kind)
            mine = mine[np.argsort(-values[mine], kind="stable")]
            scores.append(values[mine])
            overlap = box_iou(boxes[mine], rows[rows[:, 0] == kind, 1:])
            right.append(_take_in_turn(overlap, threshold))
    scores, right = np.concatenate(scores), np.concatenate(right)
    order = np.argsort(-scores, kind="stable")
    return scores[order], right[order]


def _take_in_turn(overlap: np.ndarray, threshold: float) -> np.ndarray:
    """Which detections [D] get a truth, if each takes the best left; overlap [D,T]."""
    overlap, right = overlap.copy(), np.zeros(len(overlap), bool)
    for i in np.flatnonzero((overlap > threshold).any(axis=1)):
        best = overlap[i].argmax()
        if overlap[i, best] > threshold:
            right[i] = True
            overlap[:, best] = -1
    return right


def _check(found: Found, truths: np.ndarray) -> None:
    shape = np.shape(found["scores"])
    fits = np.shape(found["classes"]) == shape and np.shape(found["boxes"]) == (*shape, 4)
    if len(shape) != 2 or not fits:
        shapes = ", ".join(f"{key} {np.shape(found[key])}" for key in sorted(found))
        raise UserError(
            "Detections must be boxes [N,D,4], scores [N,D] and classes [N,D], found "
            f"{shapes}; give what the detector returned."
        )
    if np.ndim(truths) != 3 or np.shape(truths)[2] != 5 or len(truths) != shape[0]:
        raise UserError(
            f"Truths must be [N,T,5] of the {shape[0]} images of the detections, found "
            f"{np.shape(truths)}; give both for the same images."
        )
