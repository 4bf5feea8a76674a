"""Stage "report" of MM-GAN: report.html, one self-contained page."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.engine.report import add_trainings
from experiments.engine.run import Run
from experiments.systems.mm_gan.evaluation import AXES, held_out_volumes
from experiments.systems.mm_gan.pictures import montage, view_row
from utils.reporting.pictures import grid
from utils.reporting.report import Report

PATIENTS = 2


def write_report(run: Run) -> None:
    """Writes report.html from the run directory's files."""
    report, dataset = Report("Volumes from labels"), run.prepared.dataset
    report.add_section(
        "Results",
        f"Data: {run.data_note}. Volumes of held-out patients' own labels; the "
        f"{dataset.classes[dataset.organ]} outside of the lesion is a class of its own.",
    )
    report.add_table(volume_table(run), "Held-out patients, means")
    channels = dataset.channels
    for number, (real, made) in zip(range(PATIENTS), held_out_volumes(run)):
        rows, titles = [view_row(real.label[0], label=True)], ["label"]
        for k, modality in enumerate(run.config.made):
            volume = real.images[0, ..., channels.index(modality)]
            rows += [view_row(volume), view_row(made[0, ..., k])]
            titles += [f"{modality} real", "synthetic"]
        headers = ("axial", "coronal", "sagittal")
        text = "Three views through the middle."
        report.add_picture(
            f"Patient {number + 1}", text, grid(rows, titles=titles, headers=headers)
        )
        rows = [
            montage(part)
            for k, modality in enumerate(run.config.made)
            for part in (real.images[0, ..., channels.index(modality)], made[0, ..., k])
        ]
        report.add_picture(
            f"Patient {number + 1}, slices", "From the feet up.", grid(rows, titles=titles[1:])
        )
    add_trainings(report, run)
    report.write(run.report)


def volume_table(run: Run) -> pd.DataFrame:
    """Returns SSIM, steps between neighbouring slices and Dice of each modality."""
    metrics, table = run.read_metrics(), {}
    for modality in run.config.made:
        column = {
            "SSIM, 7x7x7 voxels (higher is better)": metrics.get(f"volumes/{modality}/ssim", np.nan)
        }
        for axis in AXES:
            for kind in ("real", "synthetic"):
                value = metrics.get(f"volumes/{kind}/{modality}/step_{axis}", np.nan)
                column[f"step between neighbours along the {axis}, {kind}"] = value
        for region in run.dataset.regions:
            for kind in ("real", "synthetic"):
                value = metrics.get(f"volumes/{kind}/{modality}/dice_{region}", np.nan)
                column[f"Dice of {region.upper()} that S finds, {kind}"] = value
        table[modality] = column
    return pd.DataFrame(table).round(4)
