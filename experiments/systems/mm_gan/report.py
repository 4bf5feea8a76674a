"""Stage "report" of MM-GAN: report.html, one self-contained page."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.synthetic_sets.files import array_path, finished_manifest, read_sample
from experiments.engine.report import add_trainings, begin_report
from experiments.engine.run import Run
from experiments.systems.mm_gan.evaluation import AXES, held_out_volumes, label_with_organ
from experiments.systems.mm_gan.pictures import middle_of_lesion, montage, view_row
from utils.reporting.pictures import grid
from utils.reporting.report import Report

PATIENTS = 2
VIEWS = "Three views through the middle of the lesion."
HEADERS = ("axial", "coronal", "sagittal")


def write_report(run: Run) -> None:
    """Writes report.html from the run directory's files."""
    report, dataset = begin_report(run, "Volumes from labels"), run.prepared.dataset
    report.add_section(
        "Results",
        f"Data: {run.data_note}. Volumes of held-out patients' own labels; the "
        f"{dataset.classes[dataset.organ]} outside of the lesion is a class of its own.",
    )
    report.add_table(volume_table(run), "Held-out patients, means")
    channels = dataset.channels
    for number, (real, made) in zip(range(PATIENTS), held_out_volumes(run)):
        label = label_with_organ(real, dataset.organ)
        voxel = middle_of_lesion(label, dataset)
        rows, titles = [view_row(label, voxel, label=True)], ["label"]
        for k, modality in enumerate(run.config.made):
            volume = real.images[0, ..., channels.index(modality)]
            rows += [view_row(volume, voxel), view_row(made[0, ..., k], voxel)]
            titles += [f"{modality} real", "synthetic"]
        report.add_picture(
            f"Patient {number + 1}", VIEWS, grid(rows, titles=titles, headers=HEADERS)
        )
        rows = [
            montage(part)
            for k, modality in enumerate(run.config.made)
            for part in (real.images[0, ..., channels.index(modality)], made[0, ..., k])
        ]
        report.add_picture(
            f"Patient {number + 1}, slices", "From the feet up.", grid(rows, titles=titles[1:])
        )
    _add_new_patients(report, run)
    add_trainings(report, run)
    report.write(run.report)


def _add_new_patients(report: Report, run: Run) -> None:
    """Adds the first samples of the run's set, label and volumes."""
    manifest = finished_manifest(run.synthetic)
    report.add_section(
        "Synthetic set",
        f"{manifest['samples']} new patients: a training patient's organ with the lesion flipped, "
        "deformed, turned and scaled, in every modality; synthetic/datasheet.md tells more.",
    )
    for number in range(min(PATIENTS, manifest["samples"])):
        sample = read_sample(array_path(run.synthetic, number))
        volumes, label = np.moveaxis(sample["images"], -1, 0), sample["label"]
        voxel = middle_of_lesion(label, run.dataset)
        rows = [view_row(label, voxel, label=True)]
        rows += [view_row(volume, voxel) for volume in volumes]
        titles = ["label", *run.config.made]
        picture = grid(rows, titles=titles, headers=HEADERS)
        report.add_picture(f"New patient {number + 1}", VIEWS, picture)


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
