"""Table 6 of the thesis: vessels of the retina, by a U-Net."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from data.opening import check_cases, find_cases
from data.retina.dataset import VESSELS, has_vessels
from data.retina.rough_label import OUTSIDE, VESSEL, rough_label
from data.shards import prepare_shards
from data.slice_sets import Slices
from data.splits import Split
from experiments.configs.downstream import TABLE6
from experiments.engine.fitting import Pictures, Synthesize
from experiments.engine.pictures import image_row
from experiments.engine.run import Run
from experiments.engine.table import Metric, Table
from experiments.systems.structure_gan.images.stages import TRAIN_RETINA
from experiments.tables.downstream.training import (
    Downstream,
    Scores,
    claim,
    downstream_experiment,
    rows,
)
from models.structure_gan.vessels import Vessels
from utils.errors import UserError
from utils.inference import compiled, infer
from utils.metrics.segmentation import dice
from utils.reporting.pictures import grid, plain_row

THRESHOLD = 0.5  # of the probability
FIGURES = ("sensitivity", "specificity", "accuracy", "auc")
TABLE = Table(
    "table6",
    "Thesis, Table 6: vessels of the retina",
    rows(
        "Thesis Table 6",
        {"sensitivity": 0.7781, "accuracy": 0.9477, "auc": 0.9705},
        {"sensitivity": 0.8416, "accuracy": 0.9518, "auc": 0.9749},
    ),
    (
        Metric(
            "sensitivity", "share of the vessels' pixels above 0.5", 1, spread="sensitivity_std"
        ),
        Metric("specificity", "share of the other pixels below", 1, spread="specificity_std"),
        Metric(
            "accuracy", "share of all pixels on the right side of 0.5", 1, spread="accuracy_std"
        ),
        Metric("auc", "area under the ROC curve, exact", 1, spread="auc_std"),
        Metric("dice", "Dice of the pixels above 0.5, mean over images", 1, spread="dice_std"),
        Metric(
            "synthetic/dice",
            "the same of synthetic images and their rough label, by networks that saw real ones "
            "only: whether vessels are where the map has lines",
            1,
        ),
    ),
    paper_note="All figures count the pixels in the field of view, of all held-out images "
    "together. The thesis' numbers are of DRIVE's 20 test images.",
    ledger={"sensitivity": "sensitivity", "accuracy": "accuracy", "AUC": "auc"},
    claims=lambda table, figures: claim(table, figures, "auc", "AUC"),
)


def with_vessels(run: Run) -> Run:
    """Returns the run with DRIVE's photographs and their vessels, from the data of its source.

    They are divided as its source is, so that G has seen none of those held out.

    Raises UserError if a part of the split has no photograph with vessels, or one is bad.
    """
    source = replace(run.source.data_source(), dataset=VESSELS)
    cases = [case for case in find_cases(run.source, source)[0] if has_vessels(case)]
    if source.folder:
        check_cases(cases, source)
    known = {case.id for case in cases}
    parts = {name: [i for i in ids if i in known] for name, ids in asdict(run.source.split).items()}
    for name in ("train", "test"):
        if not parts[name]:
            raise UserError(
                f"Table 6 needs photographs of DRIVE with vessels (1st_manual) in the part {name} "
                f"of {run.source.path}, found none; if your DRIVE has no vessels of its test part, "
                "move the folder DRIVE/test away and train again, so that a share of the others is "
                "held out."
            )
    prepared = prepare_shards(VESSELS, cases, source.slicing, source.cache)
    return run.changed(prepared=prepared, split=Split(**{k: tuple(v) for k, v in parts.items()}))


def labelled(run: Run, slices: Slices) -> Slices:
    """Returns synthetic photographs with their rough label."""
    return replace(slices, label=rough_label(slices.structure, slices.outside, run.config.rim))


def score(run: Run, system: Vessels, slices: Slices) -> Scores:
    """Returns `FIGURES` of all pixels in the field of view together, and the AUC of each image."""
    batch_size = run.config.evaluation_batch_size
    found = infer(compiled(system.synthesize), {"images": slices.images}, batch_size)
    values, seen = found["probabilities"][..., 0], slices.label != OUTSIDE
    vessel, above = slices.label == VESSEL, values > THRESHOLD
    overlap = dice(above & seen, vessel)
    figures = {**vessel_figures(values[seen], vessel[seen]), "dice": np.mean(overlap)}
    lines = [
        {"patient": patient, "slices": 1, "score": roc_auc_score(true[inside], value[inside])}
        for patient, value, true, inside in zip(slices.subjects, values, vessel, seen)
        if 0 < true[inside].sum() < inside.sum()
    ]
    return Scores(figures, pd.DataFrame(lines))


def vessel_figures(probabilities: np.ndarray, vessel: np.ndarray) -> dict[str, float]:
    """Returns `FIGURES` of pixels [P] with a probability and the truth, bool."""
    above = probabilities > THRESHOLD
    return {
        "sensitivity": float(above[vessel].mean()),
        "specificity": float(1 - above[~vessel].mean()),
        "accuracy": float((above == vessel).mean()),
        "auc": float(roc_auc_score(vessel, probabilities)),
    }


def draw_vessels(synthesize: Synthesize, examples: dict, dataset: object) -> Pictures:
    """Photographs, their label, and the probability of a vessel."""
    images, label = examples["images"].numpy(), examples["label"].numpy()[..., 0]
    found = synthesize(examples)["probabilities"].numpy()[..., 0]
    sheet = [image_row(images, VESSELS), plain_row(label == VESSEL), plain_row(found)]
    return {"vessels": grid(sheet, titles=("image", "true", "found"))}


TABLE6_VESSELS = downstream_experiment(
    "experiments/table6_vessels.py",
    "Table 6: a U-Net for vessels learns from real and from synthetic photographs.",
    TABLE6,
    TRAIN_RETINA,
    Downstream(
        TABLE,
        lambda run, steps: Vessels(run.config.network, VESSEL, steps),
        score,
        "auc",
        labelled,
        lambda slices, number: slices.label[number].astype(np.uint8),
        ("images", "label", "seed", "source"),
        draw_vessels,
        with_vessels,
    ),
)
