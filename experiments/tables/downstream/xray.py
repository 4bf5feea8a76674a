"""Table 7 of the thesis: pneumonia in chest X-rays, by a classifier."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.chest_xray.dataset import CLASSES
from data.slice_sets import Slices
from experiments.configs.downstream import TABLE7
from experiments.engine.run import Run
from experiments.engine.table import Metric, Table
from experiments.systems.structure_gan.images.evaluation import class_recalls, classes_of
from experiments.systems.structure_gan.images.pictures import draw_classes
from experiments.systems.structure_gan.images.stages import TRAIN_CHEST_XRAY
from experiments.tables.downstream.training import (
    Downstream,
    Scores,
    claim,
    downstream_experiment,
    rows,
)
from models.structure_gan.classification import Classification
from utils.inference import compiled, infer

TABLE = Table(
    "table7",
    "Thesis, Table 7: classification of chest X-rays",
    rows("Thesis Table 7", {"accuracy": 0.804}, {"accuracy": 0.818}),
    (
        Metric(
            "accuracy",
            "share of held-out images whose class is found; of a class, of its images",
            1,
            spread="accuracy_std",
        ),
        Metric(
            "synthetic/accuracy",
            "the same of the synthetic images, by networks that saw real ones only: whether they "
            "show the class that was asked for",
            1,
        ),
    ),
    parts=CLASSES,
    paper_note="The thesis' numbers are of the 624 test images of Kaggle's data set.",
    ledger={"accuracy": "accuracy"},
    claims=lambda table, figures: claim(table, figures, "accuracy", "accuracy"),
)


def score(run: Run, system: Classification, slices: Slices) -> Scores:
    """Returns the share of images whose class is found: of all, of each class, of each child."""
    batch_size = run.config.evaluation_batch_size
    found = infer(compiled(system.synthesize), {"images": slices.images}, batch_size)["labels"]
    true = classes_of(slices)
    right = found == true
    recalls = class_recalls(found, true, CLASSES)
    figures = {"accuracy": right.mean(), **{f"{k}/accuracy": v for k, v in recalls.items()}}
    lines = pd.DataFrame({"patient": slices.subjects, "right": right})
    found = lines.groupby("patient")["right"].agg(score="mean", slices="size").reset_index()
    return Scores(figures, found)


TABLE7_XRAY = downstream_experiment(
    "experiments/table7_xray.py",
    "Table 7: a classifier of chest X-rays learns from real and from synthetic ones.",
    TABLE7,
    TRAIN_CHEST_XRAY,
    Downstream(
        TABLE,
        lambda run, steps: Classification(run.config.network, 1, len(CLASSES), steps),
        score,
        "accuracy",
        lambda run, slices: slices,
        lambda slices, number: np.uint8(slices.label[number, 0, 0]),
        ("images", "label", "seed", "source"),
        draw_classes,
    ),
)
