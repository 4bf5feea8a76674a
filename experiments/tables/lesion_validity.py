"""Thesis Table 4: segmenters of real lesions judge real and synthetic slices (5.5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable

import numpy as np

from data.brats.names import MODALITIES
from experiments.engine.experiment import Experiment, Task
from experiments.engine.run import Run
from experiments.engine.scoring import segmentation_figures
from experiments.engine.sources import Finished
from experiments.engine.table import Metric, Row, Table
from experiments.systems.structure_gan.evaluation import (
    find_labels,
    held_out,
    synthetic,
)
from experiments.systems.structure_gan.stages import TRAIN_BRATS
from utils.errors import at_least, check_fields
from utils.inference import compiled
from utils.reporting.charts import bar_panels, save_figure


def findings(table: Table, figures: Mapping[str, float]) -> list[str]:
    """Returns what the numbers say about the thesis' claim, in words."""
    if table.value(figures, table.rows[0].key, "images_with_lesion") == 0:
        return ["No held-out slice has a lesion: nothing can be said about the thesis' claim."]
    paper = [row.paper.get("legacy_dice") for row in table.rows]
    sentences = []
    for metric in ("legacy_dice", "dice_wt"):
        real, fake, control = (table.value(figures, row.key, metric) for row in table.rows)
        quoted = f" (thesis: {paper[1] / paper[0]:.0%})" if metric == "legacy_dice" else ""
        compared = f"{fake / real:.0%} of the" if real else "against"
        sentences.append(
            f"`{metric}`: {fake:.3f} on synthetic slices, {compared} {real:.3f} on real "
            f"ones{quoted}; with labels of other slices {control:.3f}."
        )
    if fake > control and fake >= real:
        verdict = (
            "The segmenters find the synthetic lesions at least as well as real ones. G has these "
            "segmenters in its loss: the metrics show that lesions follow the label, not that they "
            "look real."
        )
    elif fake > control:
        verdict = "The segmenters find the synthetic lesions, but less well than real ones."
    else:
        verdict = "The segmenters do not find the synthetic lesions: the claim is not supported."
    return [*sentences, verdict]


TABLE = Table(
    "table4",
    "Table 4: lesions of real and synthetic slices found by segmenters of real ones",
    rows=(
        Row(
            "real",
            "real, held-out patients",
            {"legacy_mse": 0.026, "legacy_dice": 0.915},
            "thesis Table 4, real",
        ),
        Row(
            "synthetic",
            "synthetic, unfiltered",
            {"legacy_mse": 0.043, "legacy_dice": 0.838},
            "thesis Table 4, synthetic",
        ),
        Row("mismatched", "control: synthetic, labels of other slices"),
    ),
    metrics=(
        Metric("images", "number of slices", whole=True),
        Metric(
            "legacy_mse",
            "mean over all pixels of (a - b)^2, with a the found and b the given label, 0 to 4; "
            "the thesis' MSE",
            -1,
        ),
        Metric(
            "legacy_dice",
            "(2 sum ab + 1e-5) / (sum a^2 + sum b^2 + 1e-5) per slice, mean over slices; 1 where "
            "both are empty, so slices without a lesion raise it; the thesis' Dice",
            1,
            "legacy Dice of label numbers (1 is perfect)",
        ),
        Metric(
            "dice_wt",
            "2 |A and B| / (|A| + |B|) of the whole tumour (all labels above 0) per slice, mean "
            "over slices; slices where both are empty are left out",
            1,
            "whole-tumour Dice (1 is perfect)",
        ),
    ),
    parts=MODALITIES,
    paper_note="The thesis' numbers are of BRATS 2015; differences are ours - thesis.",
    ledger={"MSE": "legacy_mse", "Dice": "legacy_dice"},
    claims=findings,
)


@dataclass(frozen=True)
class Table4Config:
    """What the table needs besides the trained run.

    Args:
        batch_size: slices per forward pass.
    """

    batch_size: int = 8

    def __post_init__(self) -> None:
        check_fields(self, "--", batch_size=at_least(1))


def write(run: Run) -> None:
    """Writes table4.{csv,md,png} and the keys `table4/...` of metrics.json."""
    TABLE.measure(run, measuring(run.source, run.config.batch_size), {})
    notes = (
        f"Seed of the trained run {run.source.config.seed}; one run.",
        "Each metric is the mean over the four segmenters, one per modality. It depends on no "
        "pixel spacing.",
    )
    TABLE.write(run, notes)
    chart = bar_panels(*TABLE.bars(run.read_metrics()), note=run.data_note)
    save_figure(chart, run.path / "table4.png")


def measuring(source: Run, batch_size: int) -> Callable[[str], dict[str, float]]:
    """Returns the function from a row's key to its metrics.

    The row "mismatched" is a chance-level control: each synthetic slice is scored with the label of
    the next slice. Predictions that only know where lesions usually are would score as well there.
    """
    find = compiled(source.trained("segmentation").synthesize)

    def measure(row: str) -> dict[str, float]:
        slices = held_out(source) if row == "real" else synthetic(source)
        label = np.roll(slices.label, 1, axis=0) if row == "mismatched" else slices.label
        found = find_labels(find, slices.images, batch_size)
        return segmentation_figures(source.prepared.dataset, found, label)

    return measure


TABLE4 = Experiment(
    "experiments/table4_lesion_validity.py",
    "Thesis Table 4 on BRATS: segmenters of real lesions judge real and synthetic slices.",
    dict.fromkeys(("tiny", "demo", "thesis"), Table4Config()),
    stages=(Task("table", write),),
    sources=Finished(TRAIN_BRATS),
    table=TABLE,
)
