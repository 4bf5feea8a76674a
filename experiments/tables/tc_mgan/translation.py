"""TC-MGAN Table 1: PSNR and SSIM of T2 translated by the four variants (section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import tensorflow as tf

from experiments.configs.tc_mgan import PRESETS, TRAININGS
from experiments.engine.experiment import Experiment, Task
from experiments.engine.request import Request
from experiments.engine.run import Run
from experiments.engine.sources import Variants
from experiments.engine.table import Metric, Row, Table
from experiments.systems.tc_mgan.evaluation import lesion_slices
from experiments.systems.tc_mgan.pictures import translation_grid
from experiments.systems.tc_mgan.stages import TRAIN_TC_MGAN
from experiments.tables.tc_mgan.variants import OPTION, TITLES, check_variant, variant_configs
from models.tc_mgan.modalities import TARGETS
from utils.reporting.pictures import write_png
from utils.training.trainer import check_batch_sizes

COLUMNS = 6
# Of 85 patients of BraTS 2018, by variant: mean PSNR and SSIM of Flair, T1c, T1.
PAPER = {
    "pix2pix": ((24.0345, 25.1622, 25.2793), (0.9110, 0.9260, 0.9421)),
    "mgan": ((24.6176, 25.7269, 25.8468), (0.9256, 0.9389, 0.9520)),
    "tc_mgan": ((24.6416, 25.6822, 25.7784), (0.9267, 0.9390, 0.9520)),
    "tc_mgan_bw": ((24.6164, 25.6962, 25.8126), (0.9266, 0.9399, 0.9528)),
}
PAPER_STD = {  # standard deviations
    "pix2pix": ((3.1225, 3.1622, 3.6721), (0.0444, 0.0359, 0.0355)),
    "mgan": ((3.2926, 3.8608, 3.8419), (0.0387, 0.0319, 0.0327)),
    "tc_mgan": ((3.4277, 3.9470, 3.9372), (0.0386, 0.0322, 0.0326)),
    "tc_mgan_bw": ((3.4460, 3.9776, 3.9763), (0.0382, 0.0319, 0.0322)),
}
PRINTED = ("psnr", "ssim_range2")


def _paper(variant: str) -> dict[str, float]:
    return {
        f"{modality}/{metric}{end}": numbers[i]
        for end, source in (("", PAPER), ("_std", PAPER_STD))
        for metric, numbers in zip(PRINTED, source[variant])
        for i, modality in enumerate(TARGETS)
    }


def findings(table: Table, figures: Mapping[str, float]) -> list[str]:
    """Returns the variants' order by each metric's mean over modalities, and the paper's order."""
    orders = []
    for metric in table.metrics:
        means = {row.title: table.value(figures, row.key, metric.key) for row in table.rows}
        orders.append(f"`{metric.key}`, mean over modalities: {_ranking(means)}.")
    paper = {TITLES[variant]: np.mean(psnr) for variant, (psnr, _) in PAPER.items()}
    return [*orders, f"The paper's order by mean PSNR: {_ranking(paper)}."]


def _ranking(values: Mapping[str, float]) -> str:
    ranked = pd.Series(values).sort_values(ascending=False)
    return " > ".join(f"{name} {value:.3f}" for name, value in ranked.items())


TABLE = Table(
    "table1_tc_mgan",
    "TC-MGAN, Table 1: T2 translated by the four variants",
    rows=tuple(
        Row(
            variant,
            title,
            _paper(variant),
            f"TC-MGAN Table 1, {title} (SSIM with data range 2)",
        )
        for variant, title in TITLES.items()
    ),
    metrics=(
        Metric(
            "psnr",
            "10 log10(1 / mean squared error) in dB of intensities in [0,1], per slice on the full "
            "frame; mean ± standard deviation over all slices of the held-out patients",
            1,
            spread="psnr_std",
        ),
        Metric(
            "ssim",
            "structural similarity per slice with a uniform 7x7 window and data range 1",
            1,
            spread="ssim_std",
        ),
        Metric(
            "ssim_range2",
            "the same with data range 2, which is always higher; the paper does not say which it "
            "used, its published example fits this one",
            1,
            spread="ssim_range2_std",
        ),
    ),
    parts=TARGETS,
    paper_note="The paper's numbers are of BraTS 2018; differences are ours - paper.",
    ledger={
        f"{modality} {word}": f"{modality}/{metric}"
        for modality in TARGETS
        for word, metric in zip(("PSNR", "SSIM"), PRINTED)
    },
    claims=findings,
)


def write(run: Run) -> None:
    """Writes table1_tc_mgan.{csv,md,png} and the keys `table1_tc_mgan/...` of metrics.json."""

    def measure(variant: str) -> dict[str, float]:
        figures = run.sources[variant].read_metrics().items()
        start = "translation/"
        return {key[len(start) :]: value for key, value in figures if key.startswith(start)}

    TABLE.measure(run, measure, {})
    TABLE.write(run, ("One run of each variant.",))
    write_png(run.path / "table1_tc_mgan.png", strip(run))


def strip(run: Run) -> np.ndarray:
    """Returns held-out slices: T2, then each target real above the variants' translations."""
    examples = lesion_slices(run.source, COLUMNS)  # all hold out the same
    generators = {TITLES[name]: source.trained("gan") for name, source in run.sources.items()}
    return translation_grid({k: v.synthesize for k, v in generators.items()}, examples)


def check(request: Request, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError for a chosen variant, or batches that the replicas cannot share."""
    check_variant("gan.variant", request.config)
    check_batch_sizes("--schedule", request.config.schedule, TRAININGS, strategy)


TABLE1_TC_MGAN = Experiment(
    "experiments/table1_tc_mgan.py",
    "TC-MGAN Table 1: PSNR and SSIM of T2 translated by the four variants.",
    PRESETS,
    stages=(Task("table", write),),
    sources=Variants(TRAIN_TC_MGAN, OPTION, variant_configs),
    check=check,
    outline=lambda request: f"variants: {', '.join(TITLES)}",
    options=(OPTION,),
    table=TABLE,
)
