"""Scores of detections against numbers by hand, and average precision against pycocotools."""

from __future__ import annotations

import numpy as np
import pytest

from utils.errors import UserError
from utils.metrics.detection import (
    average_precision,
    box_iou,
    detection_metrics,
    froc,
    mean_best_iou,
    recall,
)

A, B, C = (0.2, 0.2, 0.2, 0.2), (0.6, 0.6, 0.2, 0.2), (0.2, 0.7, 0.1, 0.1)
AWAY = (0.9, 0.1, 0.1, 0.1)
NOTHING = (0.0, 0.0, 0.0, 0.0)


def shifted(box: tuple, share: float) -> tuple:
    """A box moved to the right by a share of its width: IoU (1 - share) / (1 + share)."""
    return (box[0] + share * box[2], *box[1:])


def detections(*images: list) -> dict:
    """From [(class, score, box), ...] of each image."""
    most = max(1, *map(len, images))
    rows = [[*image, *[(0, 0.0, NOTHING)] * (most - len(image))] for image in images]
    kinds, scores, boxes = (np.array([[r[i] for r in row] for row in rows]) for i in range(3))
    return {"boxes": boxes, "scores": scores, "classes": kinds}


def truths(*images: list) -> np.ndarray:
    """From [(class, box), ...] of each image."""
    most = max(1, *map(len, images))
    rows = [[*image, *[(0, NOTHING)] * (most - len(image))] for image in images]
    return np.array([[(kind, *box) for kind, box in row] for row in rows], np.float64)


def test_iou_of_pairs():
    others = [A, shifted(A, 0.5), (0.2, 0.2, 0.2, 0.1), B, NOTHING]
    found = box_iou(np.array([A, NOTHING]), np.array(others))
    np.testing.assert_allclose(found, [[1, 1 / 3, 1 / 2, 0, 0], [0] * 5], atol=1e-12)
    assert box_iou(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)


# Two images with the truths A and B, and C; right ones marked by what they find.
TRUTHS = truths([(1, A), (1, B)], [(1, C)])


@pytest.mark.parametrize(
    "images, expected",
    [
        # All found, and a wrong one behind them.
        ([[(1, 0.9, A), (1, 0.8, B), (1, 0.1, AWAY)], [(1, 0.7, C)]], 1.0),
        # right, wrong, right, wrong, right: precision 1, 2/3, 3/5.
        ([[(1, 0.9, A), (1, 0.8, AWAY), (1, 0.7, B)], [(1, 0.6, A), (1, 0.5, C)]], 34 / 45),
        # wrong, right, right: 1/2 and 2/3, of which the envelope keeps 2/3; C is not found.
        ([[(1, 0.9, AWAY), (1, 0.8, A), (1, 0.7, B)], []], 4 / 9),
        # The second one for A is wrong, however well it lies.
        ([[(1, 0.9, shifted(A, 0.2)), (1, 0.8, A), (1, 0.7, B)], []], 5 / 9),
        # An IoU of exactly 1/2 is not above it; another class does not count.
        ([[(1, 0.9, (0.2, 0.2, 0.2, 0.1)), (2, 0.8, B)], [(1, 0.7, C)]], 1 / 6),
        ([[], []], 0.0),
    ],
)
def test_average_precision(images, expected):
    found = average_precision(detections(*images), TRUTHS, 3)
    np.testing.assert_allclose(found, [expected, np.nan], rtol=1e-12)


def test_a_detection_takes_the_best_truth_that_is_left():
    near = shifted(A, 0.2)
    there = truths([(1, A), (1, near)])
    # Both lie on A; the second takes the other truth, whose IoU of 2/3 is above 1/2.
    found = detections([(1, 0.9, A), (1, 0.8, A)])
    np.testing.assert_allclose(average_precision(found, there, 2), [1.0])
    np.testing.assert_allclose(average_precision(found, there, 2, threshold=0.7), [0.5])


def test_recall_of_confident_detections():
    found = detections([(1, 0.9, A), (1, 0.4, B)], [(2, 0.9, C), (1, 0.5, AWAY)])
    assert recall(found, TRUTHS) == pytest.approx(1 / 3)
    assert recall(found, TRUTHS, score=0.4) == pytest.approx(2 / 3)
    found = detections([(1, 0.9, shifted(A, 0.2))], [])
    assert recall(found, TRUTHS, threshold=0.7) == 0.0
    assert np.isnan(recall(found, 0 * TRUTHS))


def test_froc():
    images = [(1, 0.9, A), (1, 0.8, AWAY), (1, 0.5, B)], [(2, 0.7, AWAY), (1, 0.6, C)]
    # Sensitivity 1/3 without a false one, 2/3 with both, 1 with both; there are two images.
    found = froc(detections(*images), TRUTHS, rates=(0, 0.25, 0.5, 0.99, 1, 8))
    np.testing.assert_allclose(found, [1 / 3, 1 / 3, 1 / 3, 1 / 3, 1, 1])
    assert np.isnan(froc(detections(*images), 0 * TRUTHS, rates=(1,)))
    np.testing.assert_array_equal(froc(detections([], []), TRUTHS), np.zeros(7))


def test_detections_of_one_score_stand_or_fall_together():
    images = [(1, 0.5, A), (1, 0.5, AWAY)], []
    np.testing.assert_allclose(froc(detections(*images), TRUTHS, (0, 0.5)), [0, 1 / 3])


def test_rows_of_class_0_only_fill_up():
    images = [(0, 0.95, AWAY), (1, 0.9, A)], []
    assert froc(detections(*images), TRUTHS, (0,)) == pytest.approx([1 / 3])
    nothing = {
        "boxes": np.zeros((2, 0, 4)),
        "scores": np.zeros((2, 0)),
        "classes": np.zeros((2, 0)),
    }
    assert mean_best_iou(nothing, TRUTHS) == recall(nothing, TRUTHS) == 0.0


def test_mean_best_iou():
    confident = [(1, 0.5, shifted(A, 0.2)), (1, 0.9, shifted(A, 0.5)), (2, 0.9, B)]
    found = detections([*confident, (1, 0.4, B)], [(1, 0.6, A)])
    # A has 2/3 of two; B one of another class and one below the score; C one that misses it.
    assert mean_best_iou(found, TRUTHS) == pytest.approx(2 / 9)
    assert mean_best_iou(found, TRUTHS, score=0.4) == pytest.approx((2 / 3 + 1) / 3)
    assert mean_best_iou(detections([], []), TRUTHS) == 0.0
    assert np.isnan(mean_best_iou(found, 0 * TRUTHS))


def test_all_scores_by_name():
    there = truths([(1, A), (2, B)], [])
    found = detections([(1, 0.9, A), (2, 0.4, AWAY)], [])
    scores = detection_metrics(found, there, ("background", "nodule", "cord", "node"))
    rates = ("0.125", "0.25", "0.5", "1", "2", "4", "8")
    named = {"ap50_nodule": 1.0, "ap50_cord": 0.0, "ap50_node": float("nan"), "map50": 0.5}
    named.update({"mean_best_iou": 0.5, "recall": 0.5, "images": 2.0, "truths": 2.0})
    named.update({f"froc_{rate}": 0.5 for rate in rates})
    assert scores == pytest.approx(named, nan_ok=True)
    assert np.isnan(detection_metrics(found, 0 * there, ("background", "nodule"))["map50"])


@pytest.mark.parametrize(
    "change",
    [
        {"classes": np.zeros((2, 4))},
        {"boxes": np.zeros((2, 3, 5))},
        {"scores": np.zeros(2), "classes": np.zeros(2), "boxes": np.zeros((2, 4))},
    ],
)
def test_detections_of_other_shapes_are_refused(change):
    found = {**detections([(1, 0.9, A)] * 3, []), **change}
    with pytest.raises(UserError, match=r"Detections must be boxes \[N,D,4\]"):
        average_precision(found, TRUTHS, 2)


@pytest.mark.parametrize("there", [TRUTHS[:1], TRUTHS[..., :4], TRUTHS[0]])
@pytest.mark.parametrize(
    "score", [lambda *pair: average_precision(*pair, 2), recall, froc, mean_best_iou]
)
def test_truths_of_other_images_or_shapes_are_refused(score, there):
    with pytest.raises(UserError, match=r"Truths must be \[N,T,5\] of the 2 images"):
        score(detections([], []), there)


def random_set(seed: int, images: int = 30) -> tuple[dict, np.ndarray]:
    """Truths of classes 1 and 2, most of them with detections nearby, and some elsewhere."""
    rng = np.random.default_rng(seed)
    there, found = [], []
    for _ in range(images):
        rows = [(int(rng.integers(1, 3)), tuple(box)) for box in random_boxes(rng, 4)]
        near = [
            (kind, rng.random(), tuple(np.array(box) + rng.normal(0, 0.02, 4)))
            for kind, box in rows * 2
        ]
        there.append(rows[: rng.integers(0, 5)])
        found.append(near[: rng.integers(0, 9)])
    return detections(*found), truths(*there)


def random_boxes(rng, count: int) -> np.ndarray:
    return np.concatenate([rng.uniform(0.2, 0.8, (count, 2)), rng.uniform(0.1, 0.3, (count, 2))], 1)


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_equals_that_of_coco(seed, capsys):
    """Its precision is read at so many points of recall that they are nearly all."""
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    found, there = random_set(seed)
    reference = coco.COCO()
    reference.dataset = {
        "info": {},
        "images": [{"id": i} for i in range(len(there))],
        "categories": [{"id": 1}, {"id": 2}],
        "annotations": [
            {"id": n, "image_id": i, "category_id": int(kind), "bbox": left_top(box)}
            | {"area": box[2] * box[3], "iscrowd": 0}
            for n, (i, (kind, *box)) in enumerate(
                ((i, row) for i, rows in enumerate(there) for row in rows if row[0]), 1
            )
        ],
    }
    reference.createIndex()
    results = [
        {"image_id": i, "category_id": int(kind), "bbox": left_top(box), "score": score}
        for i, rows in enumerate(zip(*(found[key] for key in ("classes", "boxes", "scores"))))
        for kind, box, score in zip(*rows)
        if kind
    ]
    judge = evaluation.COCOeval(reference, reference.loadRes(results), "bbox")
    judge.params.iouThrs, judge.params.recThrs = np.array([0.5]), np.linspace(0, 1, 50_001)
    judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
    judge.params.maxDets = [200]
    judge.evaluate()
    judge.accumulate()
    expected = judge.eval["precision"][0, :, :, 0, 0].mean(axis=0)
    precisions = average_precision(found, there, 3)
    assert np.all((precisions > 0.2) & (precisions < 0.95))
    np.testing.assert_allclose(precisions, expected, atol=1e-4)


def left_top(box) -> list[float]:
    cx, cy, w, h = map(float, box)
    return [cx - w / 2, cy - h / 2, w, h]
