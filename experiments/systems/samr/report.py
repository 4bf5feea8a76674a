"""Stage "report" of SAMR: report.html, one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import tensorflow as tf

from data.slice_sets import real_slices, stored_slices
from data.synthetic_sets.files import finished_manifest
from experiments.engine.report import add_trainings, begin_report
from experiments.engine.run import Run
from experiments.systems.samr.evaluation import made_from
from experiments.systems.samr.pictures import draw_samples, draw_slices

COLUMNS = 8


def write_report(run: Run) -> None:
    """Writes report.html from the run directory's files."""
    report, dataset = begin_report(run, "Sequences from a lesion label"), run.prepared.dataset
    report.add_section(
        "Results",
        f"Data: {run.data_note}. Slices made from the labels of held-out patients, beside "
        "theirs. The segmenter learned from real slices of training patients.",
    )
    metrics = run.read_metrics()
    report.add_table(sequence_table(metrics, dataset.channels), "Sequences")
    report.add_table(
        label_table(metrics, dataset.channels, dataset.classes[dataset.first_lesion :]), "Labels"
    )
    slices = real_slices(run.prepared, run.split.test)
    lesions = np.flatnonzero((slices.label >= dataset.first_lesion).any(axis=(1, 2)))
    rows = lesions if len(lesions) else np.arange(len(slices))
    shown = slices.choose(rows[np.linspace(0, len(rows) - 1, min(COLUMNS, len(rows))).astype(int)])
    examples = {"images": tf.constant(shown.images), "label": tf.constant(shown.label[..., None])}
    made = {"images": tf.constant(made_from(run, shown))}
    (picture,) = draw_slices(lambda examples: made, examples, dataset).values()
    report.add_picture(
        "Held-out slices",
        "Columns are slices; outlines show the lesion's label, which the generator sees.",
        picture,
    )
    manifest = finished_manifest(run.synthetic)
    report.add_section(
        "Synthetic set",
        f"{manifest['samples']} slices made of changed labels of training patients, of which "
        f"{manifest['selected']} are selected; synthetic/datasheet.md tells more.",
    )
    samples = stored_slices(run.synthetic, COLUMNS)
    report.add_picture("The first samples", "Columns are samples.", draw_samples(samples, dataset))
    add_trainings(report, run)
    report.write(run.report)


def sequence_table(metrics: dict[str, float], channels: Sequence[str]) -> pd.DataFrame:
    """Returns SSIM and PSNR to the real slices, and how sharp both are, by sequence."""
    table = pd.DataFrame(index=list(channels))
    for title, key in (
        ("SSIM (higher is better)", "synthesis/{}/ssim"),
        ("PSNR, dB (higher is better)", "synthesis/{}/psnr"),
        ("relative gradient, real", "sharpness/real/{}/gradient"),
        ("relative gradient, made", "sharpness/synthetic/{}/gradient"),
    ):
        table[title] = [metrics.get(key.format(name), np.nan) for name in channels]
    return table.round(3)


def label_table(
    metrics: dict[str, float], channels: Sequence[str], classes: Sequence[str]
) -> pd.DataFrame:
    """Returns the segmenter's Dice and the contrast to normal brain, real and made, by class."""
    table = pd.DataFrame(index=list(classes))
    for kind, title in (("real", "real"), ("synthetic", "made")):
        keys = [f"segmentation/{kind}/dice_{name}" for name in classes]
        table[f"Dice, {title}"] = [metrics.get(key, np.nan) for key in keys]
        for channel in channels:
            keys = [f"contrast/{kind}/{channel}/{name}" for name in classes]
            table[f"contrast in {channel}, {title}"] = [metrics.get(key, np.nan) for key in keys]
    return table.T.round(3)
