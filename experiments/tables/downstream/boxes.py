"""Table 8 of the thesis: lesions in lung CT, by a detector."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.slice_sets import Slices
from data.tianchi_ct.dataset import CLASSES
from experiments.configs.downstream import TABLE8
from experiments.engine.run import Run
from experiments.engine.table import Metric, Table
from experiments.systems.structure_gan.images.pictures import draw_boxes
from experiments.systems.structure_gan.images.stages import TRAIN_TIANCHI_CT
from experiments.tables.downstream.training import (
    Downstream,
    Scores,
    claim,
    downstream_experiment,
    rows,
)
from models.structure_gan.detection import Detection
from utils.inference import compiled, infer
from utils.metrics.detection import FROC_RATES, detection_metrics, mean_best_iou

TABLE = Table(
    "table8",
    "Thesis, Table 8: lesions in lung CT",
    rows("Thesis Table 8", {"iou": 0.712, "map50": 0.402}, {"iou": 0.727, "map50": 0.410}),
    (
        Metric(
            "iou",
            'our reading of the thesis\' "IOU": mean over all lesions of the best IoU of a '
            "detection of their class with a score of 0.5 or more, 0 without one",
            1,
            spread="iou_std",
        ),
        Metric(
            "map50",
            "mean over the classes of the average precision at an IoU above 0.5",
            1,
            spread="map50_std",
        ),
        Metric(
            "froc", "mean sensitivity at 1/8 to 8 false detections per slice", 1, spread="froc_std"
        ),
        Metric("recall", "share of the lesions found with a score of 0.5 or more", 1),
        Metric(
            "synthetic/recall",
            "the same of synthetic slices, by networks that saw real ones only: whether lesions "
            "are where they were asked for",
            1,
        ),
    ),
    parts=CLASSES[1:],
    paper_note="The thesis' IoU is of its first text, its mAP of its later one; its test series "
    "are unknown, so that numbers cannot be compared.",
    ledger={"IoU": "iou", "mAP": "map50"},
    claims=lambda table, figures: claim(table, figures, "iou", "IoU"),
)


def score(run: Run, system: Detection, slices: Slices) -> Scores:
    """Returns the figures of all slices together, and the IoU of each series.

    A series weighs as many as it has lesions, as it does in the IoU of all.
    """
    batch_size = run.config.evaluation_batch_size
    found = infer(compiled(system.synthesize), {"images": slices.images}, batch_size)
    metrics = detection_metrics(found, slices.boxes, CLASSES)
    figures = {
        "iou": metrics["mean_best_iou"],
        "map50": metrics["map50"],
        "froc": float(np.mean([metrics[f"froc_{rate:g}"] for rate in FROC_RATES])),
        "recall": metrics["recall"],
    }
    parts = {f"{name}/map50": metrics[f"ap50_{name}"] for name in CLASSES[1:]}
    lines = []
    for patient in np.unique(slices.subjects):
        rows_of = slices.subjects == patient
        iou = mean_best_iou({k: v[rows_of] for k, v in found.items()}, slices.boxes[rows_of])
        lesions = int((slices.boxes[rows_of, :, 0] > 0).sum())
        lines.append({"patient": patient, "slices": lesions, "score": iou})
    known = {key: value for key, value in parts.items() if np.isfinite(value)}
    return Scores({**figures, **known}, pd.DataFrame(lines))


TABLE8_DETECTION = downstream_experiment(
    "experiments/table8_detection.py",
    "Table 8: a detector of lesions learns from real and from synthetic CT slices.",
    TABLE8,
    TRAIN_TIANCHI_CT,
    Downstream(
        TABLE,
        lambda run, steps: Detection(run.config.network, 3, len(CLASSES), steps),
        score,
        "iou",
        lambda run, slices: slices,
        lambda slices, number: slices.boxes[number].astype("<f4"),
        ("images", "label", "boxes", "seed", "source"),
        draw_boxes,
    ),
)
