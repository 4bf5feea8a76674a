"""Stage "report" of TC-MGAN: report.html, one self-contained page."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.engine.report import add_trainings, begin_report
from experiments.engine.run import Run
from experiments.systems.tc_mgan.evaluation import lesion_slices
from experiments.systems.tc_mgan.pictures import draw_translations
from models.tc_mgan.modalities import TARGETS

COLUMNS = 8
FIGURES = {
    "PSNR, dB, peak 1 (higher is better)": "psnr",
    "SSIM, data range 1 (higher is better)": "ssim",
    "SSIM, data range 2, probably the paper's (higher is better)": "ssim_range2",
}


def write_translation_report(run: Run) -> None:
    """Writes report.html from the run directory's files."""
    report = begin_report(run, "Three modalities from T2")
    report.add_section(
        "Results",
        f"Data: {run.data_note}. Variant {run.config.gan.variant}, on all slices of "
        "held-out patients: mean and standard deviation over slices.",
    )
    report.add_table(translation_table(run.read_metrics()), "Translated against real")
    examples = lesion_slices(run, COLUMNS)
    synthesize, dataset = run.trained("gan").synthesize, run.prepared.dataset
    (picture,) = draw_translations(synthesize, examples, dataset).values()
    report.add_picture(
        "Held-out slices",
        "Columns are slices; outlines show the lesion label, which the generator does not see.",
        picture,
    )
    add_trainings(report, run)
    report.write(run.report)


def translation_table(metrics: dict[str, float]) -> pd.DataFrame:
    """Returns PSNR and SSIM with their spread, and the contrast of the enhancing tumour."""
    table: dict[str, dict[str, str]] = {}
    for title, figure in FIGURES.items():
        table[title] = {
            name: f"{metrics[f'translation/{name}/{figure}']:.3f} +- "
            f"{metrics[f'translation/{name}/{figure}_std']:.3f}"
            for name in TARGETS
        }
    for kind in ("real", "translated"):
        key = f"contrast/{kind}/{{}}/enhancing"
        table[f"enhancing tumour over healthy brain, {kind}"] = {
            name: f"{metrics.get(key.format(name), np.nan):.3f}" for name in TARGETS
        }
    return pd.DataFrame(table).T
