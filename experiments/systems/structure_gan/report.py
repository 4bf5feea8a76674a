"""Stage "report": report.html, one self-contained page with pictures, curves and figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from data.brats.scaling import DARK_MEDIAN
from data.contract import DataSet
from data.slice_sets import Slices
from data.synthetic_sets.files import finished_manifest
from experiments.configs.privacy import AuditConfig
from experiments.engine.report import add_trainings, begin_report
from experiments.engine.run import Run
from experiments.systems.structure_gan.evaluation import held_out, synthetic, translator
from experiments.systems.structure_gan.pictures import translations_of
from experiments.systems.structure_gan.privacy import (
    DEFINITIONS,
    audit_chart,
    audit_findings,
    audit_run,
    audit_table,
    worst_pairs,
)
from utils.metrics.privacy import audit_metrics
from utils.metrics.sharpness import BANDS
from utils.reporting.pictures import grid, plain_row, slice_rows
from utils.reporting.report import Report

COLUMNS = 8


def write_report(run: Run) -> None:
    """Writes report.html from the run directory's files."""
    report = begin_report(run, "Synthetic labelled multi-modality MRI")
    metrics, real = run.read_metrics(), held_out(run)
    report.add_section(
        "Results",
        f"Data: {run.data_note}. Real: held-out patients. Synthetic: the unfiltered set."
        f"{no_lesions(metrics)}{dark_modalities(real, run.prepared.dataset)}",
    )
    report.add_table(summary_table(metrics), "Means over modalities")
    table = segmentation_table(metrics, run.prepared.dataset)
    report.add_table(table, "Dice of the segmenters G_l, per modality")
    sharpness = sharpness_table(metrics, run.prepared.dataset)
    report.add_table(sharpness, "Sharpness of the healthy organ, per modality (as real is best)")
    report.add_table(volume_table(metrics, run.prepared.dataset), volume_caption(metrics))
    report.add_table(translation_table(metrics), "Translations of held-out slices by G_t")
    _add_pictures(report, real, synthetic(run), run.prepared.dataset.channels)
    if run.finished("registration"):
        names = ", ".join(run.prepared.dataset.channels)
        translate = translator(run)
        report.add_picture(
            "Translations of a held-out slice",
            f"Rows: targets. Columns: the true slice, then translated from {names}.",
            translations_of(translate, real, run.prepared.dataset),
        )
    add_counts(report, run)
    add_privacy(report, run)
    add_trainings(report, run)
    report.write(run.report)


def add_counts(report: Report, run: Run) -> None:
    """Adds how many samples the set has, and what was rejected while it was drawn."""
    report.add_section("Synthetic set", "What was rejected while it was drawn, and why.")
    manifest = finished_manifest(run.synthetic)
    report.add_key_values(
        {
            "samples": manifest["samples"],
            "selected": manifest["selected"],
            "accepted after all retries": manifest["accepted_after_retries"],
            **manifest["rejected"],
        },
        "Counts",
    )


def no_lesions(metrics: dict[str, float]) -> str:
    """Returns a sentence for held-out slices without any lesion, "" where there is one."""
    if metrics.get("segmentation/real/images_with_lesion") != 0:
        return ""
    return (
        " No held-out slice has a lesion: all kinds of Dice and HD95 on real ones only say if "
        "segmenters find some where there is none. Another --seed holds out other patients."
    )


def dark_modalities(real: Slices, dataset: DataSet) -> str:
    """Returns a warning that names the modalities in which the organ is dark, "" if there is none.

    Args:
        real: held-out slices, with `outside`.
        dataset: whose channels they have.
    """
    medians = np.median(real.images[real.outside == 0], axis=0)
    dark = [name for name, median in zip(dataset.channels, medians) if median < DARK_MEDIAN]
    if not dark:
        return ""
    return (
        f" The median of the organ is below {DARK_MEDIAN} in {', '.join(dark)}: a few bright "
        "voxels set the scale, so slices are dark; --slicing.scaling percentile clips such voxels."
    )


def _add_pictures(report: Report, real: Slices, fake: Slices, channels: Sequence[str]) -> None:
    legend = "blue oedema, green non-enhancing, magenta enhancing, yellow necrosis"
    report.add_section("Samples", f"Outlines show the lesion label: {legend}.")
    rng = np.random.default_rng(0)
    with_lesion = np.flatnonzero(real.label.any(axis=(1, 2)))
    candidates = with_lesion if len(with_lesion) else np.arange(len(real))
    chosen = np.sort(rng.permutation(candidates)[:COLUMNS])
    titles = [f"{m} {kind}" for m in channels for kind in ("real", "synthetic")]
    rows: list[list[np.ndarray]] = []
    count = min(len(chosen), len(fake.images))
    real_rows = slice_rows(real.images[chosen[:count]], real.label[chosen[:count]])
    fake_rows = slice_rows(fake.images[:count], fake.label[:count])
    for pair in zip(real_rows, fake_rows):
        rows += pair
    report.add_picture("Real above synthetic", "Columns are slices.", grid(rows, titles=titles))
    more = slice_rows(fake.images[:24:3], fake.label[:24:3])
    report.add_picture("More synthetic samples", "", grid(more, titles=channels))
    maps = {
        "extracted map": real.structure[chosen[:count]],
        "generated map": fake.structure[:count],
        "generated mask": fake.outside[:count],
    }
    legend = "Maps of the slices above; lines are white. Of a mask, white is outside the organ."
    picture = grid([plain_row(row) for row in maps.values()], titles=tuple(maps))
    report.add_picture("Structure maps and masks", legend, picture)


def add_privacy(report: Report, run: Run) -> None:
    """Adds the privacy audit, and its figures to metrics.json."""
    config = AuditConfig()
    audit = audit_run(run, config, max_similarity=None)
    metrics = audit_metrics(audit)
    run.update_metrics(metrics)
    warning = (
        "This page shows slices of the data: with data of patients it is not for publication. Of a "
        "run only the folder synthetic neither names nor shows a patient; its lesion labels are "
        "augmented ones of training patients, and the data's terms of use may restrict it. "
        "experiments/audit_privacy.py lists the samples."
    )
    text = "\n\n".join([*audit_findings(metrics), warning])
    report.add_section("Privacy audit", text)
    report.add_table(audit_table(metrics), "Similarity to the nearest slice")
    report.add_figure(audit_chart(audit), " ".join(DEFINITIONS))
    picture = worst_pairs(run, audit, config.worst_pairs)
    caption = "Columns: number of the sample, similarity to the training slice below it."
    report.add_picture("Most similar pairs", caption, picture)


def summary_table(metrics: dict[str, float]) -> pd.DataFrame:
    """Returns the key figures, real beside synthetic."""
    rows = {
        "whole-tumour Dice (higher is better)": "segmentation/{}/dice_wt",
        "tumour-core Dice (higher is better)": "segmentation/{}/dice_tc",
        "enhancing-tumour Dice (higher is better)": "segmentation/{}/dice_et",
        "whole-tumour sensitivity (higher is better)": "segmentation/{}/sensitivity_wt",
        "whole-tumour specificity (higher is better)": "segmentation/{}/specificity_wt",
        "whole-tumour HD95 per slice, mm (lower is better)": "segmentation/{}/hd95_wt",
        "slices without HD95, one mask is empty": "segmentation/{}/hd95_wt_one_empty",
        "label-index Dice (legacy) (higher is better)": "segmentation/{}/legacy_dice",
        "label-index MSE (legacy) (lower is better)": "segmentation/{}/legacy_mse",
        "overlap of the modalities' structure maps (higher is better)": "registration/{}/overlap",
        "share of intensity outside the mask (lower is better)": "outside/{}/share",
        "relative gradient, healthy organ (as real is best)": "sharpness/{}/gradient",
        "power at 1/16..1/4 cycles per pixel (as real is best)": "sharpness/{}/spectrum_middle",
        "share of lines in the structure maps (as real is best)": "sharpness/{}/lines",
        "Frechet distance of texture features to held-out slices (lower is better)": (
            "texture/{}/frechet"
        ),
        "small network tells its texture from real (0.5 = chance)": "detectability/{}/accuracy",
        "similarity of random pairs (SSIM, lower is more diverse)": "diversity/{}/ssim",
    }
    table = {
        name: {kind: metrics.get(key.format(kind), np.nan) for kind in ("real", "synthetic")}
        for name, key in rows.items()
    }
    return pd.DataFrame(table).T.round(4)


def sharpness_table(metrics: dict[str, float], dataset: DataSet) -> pd.DataFrame:
    """Returns gradient and power spectrum per modality, real beside synthetic."""
    columns = {"relative gradient": "gradient"}
    for band, (low, high) in BANDS.items():
        columns[f"power at 1/{1 / low:g}..1/{1 / high:g} cycles per pixel"] = f"spectrum_{band}"
    rows = {
        f"{modality} {kind}": {
            column: metrics.get(f"sharpness/{kind}/{modality}/{key}", np.nan)
            for column, key in columns.items()
        }
        for modality in dataset.channels
        for kind in ("real", "synthetic")
    }
    return pd.DataFrame(rows).T.round(3)


def translation_table(metrics: dict[str, float]) -> pd.DataFrame:
    """Returns PSNR, SSIM and the segmenters' Dice of the twelve translations of G_t."""
    rows: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        group, _, rest = key.partition("/")
        name, _, figure = rest.rpartition("/")
        if group == "translation":
            rows.setdefault(name.replace("_to_", " to ") or "mean", {})[figure] = value
    return pd.DataFrame(rows).T.round(3)


def segmentation_table(metrics: dict[str, float], dataset: DataSet) -> pd.DataFrame:
    """Returns Dice per class and modality, real beside synthetic."""
    columns = ["dice_wt", *(f"dice_{name}" for name in dataset.classes[1:])]
    rows = {
        f"{modality} {kind}": {
            column: metrics.get(f"segmentation/{kind}/{modality}/{column}", np.nan)
            for column in columns
        }
        for modality in dataset.channels
        for kind in ("real", "synthetic")
    }
    return pd.DataFrame(rows).T.round(3)


def volume_table(metrics: dict[str, float], dataset: DataSet) -> pd.DataFrame:
    """Returns the 3-D scores of held-out patients per region, and how many patients have none."""
    place = "segmentation/real/volume/{}_{}"
    columns = {
        "Dice": "dice",
        "HD95, mm": "hd95",
        "lesion-wise Dice": "lesionwise_dice",
        "lesion-wise HD95, mm": "lesionwise_hd95",
        "patients without Dice": "left_out_dice",
        "patients without HD95": "left_out_hd95",
    }
    rows = {
        region.upper(): {
            column: metrics.get(place.format(figure, region), np.nan)
            for column, figure in columns.items()
        }
        for region in dataset.regions
    }
    return pd.DataFrame(rows).T.round(3)


def volume_caption(metrics: dict[str, float]) -> str:
    """Returns what the table of `volume_table` shows."""
    place = "segmentation/real/volume/"
    return (
        f"Per patient, in 3-D: means over {metrics.get(f'{place}patients', 0):g} held-out patients "
        "and the segmenters G_l, lesion-wise as in BraTS 2023; only the prepared slices count, "
        f"{metrics.get(f'{place}missing_slices', 0):g} between them are missing and taken as "
        "empty. Synthetic slices make up no volume"
    )
