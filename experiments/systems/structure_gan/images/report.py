"""Stage "report" for single images: report.html and the datasheet of the synthetic set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import numpy as np
import pandas as pd

from data.contract import BOXES, IMAGE
from data.slice_sets import Slices, stored_slices
from data.synthetic_sets.datasheet import set_datasheet
from data.synthetic_sets.files import DATASHEET, finished_manifest
from experiments.engine.pictures import image_row
from experiments.engine.report import add_trainings, begin_report
from experiments.engine.run import Run
from experiments.engine.synthetic_sets import origin
from experiments.systems.structure_gan.images.evaluation import LINES, classes_of, held_out, middle
from experiments.systems.structure_gan.images.pictures import class_headers
from experiments.systems.structure_gan.report import add_counts, add_privacy, sharpness_table
from utils.reporting.pictures import COLOURS, grid, plain_row
from utils.reporting.report import Report
from utils.runs.files import write_text

COLUMNS = 8
SYSTEM = "structure maps and conditional synthesis (main system, docs/papers.md)"
FIGURES = {
    "images whose class the classifier finds (as real is best)": "classification/{}/accuracy",
    "boxes that the detector finds at IoU 0.5, score 0.5 (as real is best)": "detection/{}/recall",
    "the same, with one false detection per slice (as real is best)": "detection/{}/froc_1",
    "mean average precision at IoU 0.5 (as real is best)": "detection/{}/map50",
    "share of lines in the structure maps (as real is best)": "maps/{}/lines",
    "share of intensity around the organ (as real is best)": "outside/{}/share",
    "relative gradient inside the mask (as real is best)": "sharpness/{}/gradient",
    "power at 1/16..1/4 cycles per pixel (as real is best)": "sharpness/{}/spectrum_middle",
    "Frechet distance of texture features to held-out images (lower is better)": (
        "texture/{}/frechet"
    ),
    "small network tells its texture from real (0.5 = chance)": "detectability/{}/accuracy",
    "similarity of random pairs (SSIM, lower is more diverse)": "diversity/{}/ssim",
}


def write_pages(run: Run) -> None:
    """Writes the set's datasheet anew, with the run's figures, and report.html."""
    write_text(run.synthetic / DATASHEET, describe(run, finished_manifest(run.synthetic)))
    write_report(run)


def summary_table(metrics: Mapping[str, float]) -> pd.DataFrame:
    """Returns the key figures that there are, real beside synthetic."""
    rows = {
        name: {kind: metrics.get(key.format(kind), np.nan) for kind in ("real", "synthetic")}
        for name, key in FIGURES.items()
    }
    return pd.DataFrame(rows).T.dropna(how="all").round(4)


def write_report(run: Run) -> None:
    """Writes report.html from the run directory's files."""
    dataset, metrics = run.prepared.dataset, run.read_metrics()
    real, fake = held_out(run), stored_slices(run.synthetic)
    report = begin_report(run, f"Synthetic images: {dataset.name}")
    report.add_section(
        "Results",
        f"Data: {run.data_note}. Real: held-out images. Synthetic: the unfiltered set."
        f"{lines_warning(metrics)}{filter_warning(run)}",
    )
    report.add_table(summary_table(metrics), "Means over channels")
    if dataset.label_kind == IMAGE:
        report.add_table(class_table(metrics, dataset.classes), "Images whose class is found")
    sharpness = sharpness_table(metrics, dataset)
    report.add_table(sharpness, "Sharpness inside the mask, per channel (as real is best)")
    _add_pictures(report, run, real, fake)
    add_counts(report, run)
    add_privacy(report, run)
    add_trainings(report, run)
    report.write(run.report)


def lines_warning(metrics: Mapping[str, float]) -> str:
    """Returns a warning for maps with few or very many lines, "" for others."""
    share, (low, high) = metrics.get("maps/real/lines", np.nan), LINES
    if not np.isfinite(share) or low <= share <= high:
        return ""
    return (
        f" The structure maps of held-out images have {share:.1%} lines, outside of {low:.0%} to "
        f"{high:.0%}: they tell little; --maps.edge_threshold changes that."
    )


def filter_warning(run: Run) -> str:
    """Returns a warning for a set whose maps mostly passed no filter, "" for others."""
    manifest = finished_manifest(run.synthetic)
    taken, samples = manifest["accepted_after_retries"], manifest["samples"]
    if 2 * taken <= samples:
        return ""
    return (
        f" Of the {samples} random maps {taken} passed no filter and were taken after all retries: "
        "the stage structure needs more updates."
    )


def class_table(metrics: Mapping[str, float], classes: tuple[str, ...]) -> pd.DataFrame:
    """Returns how often each class is found, real beside synthetic."""
    place = "classification/{}/{}/recall"
    rows = {
        name: {
            kind: metrics.get(place.format(kind, name), np.nan) for kind in ("real", "synthetic")
        }
        for name in classes
    }
    return pd.DataFrame(rows).T.round(3)


def _add_pictures(report: Report, run: Run, real: Slices, fake: Slices) -> None:
    dataset, count = run.prepared.dataset, min(COLUMNS, len(real), len(fake))
    colours = ", ".join(f"{name} {colour}" for name, colour in zip(dataset.classes[1:], COLOURS))
    legend = {
        IMAGE: "The label is written above.",
        BOXES: f"Outlines are ellipses in boxes: {colours}.",
    }
    report.add_section("Samples", legend.get(dataset.label_kind, "There are no labels."))
    chosen = {"real": shown(real, count), "synthetic": shown(fake, count)}
    for title, slices in chosen.items():
        maps = [plain_row(middle(part)) for part in (slices.structure, slices.outside)]
        rows = [image_row(slices.images, dataset, slices.label), *maps]
        headers = class_headers(dataset, slices.label, count)
        picture = grid(rows, titles=(title, "map", "mask"), headers=headers)
        text = "Held-out images." if title == "real" else "Samples of the set, none chosen."
        text += " The mask is white outside of the organ."
        report.add_picture(f"{title.capitalize()} images, maps and masks", text, picture)
    more = fake.choose(np.arange(count, min(4 * count, len(fake))))
    rows = [
        image_row(part.images, dataset, part.label)
        for part in (more.choose(np.arange(len(more))[k : k + count]) for k in (0, count))
        if len(part)
    ]
    if rows:
        report.add_picture("More synthetic images", "", grid(rows))


def shown(slices: Slices, count: int) -> Slices:
    """Returns `count` slices evenly over all; of labelled images over all classes."""
    order = np.arange(len(slices))
    if slices.label is not None:
        order = np.argsort(classes_of(slices), kind="stable")
    return slices.choose(order[np.linspace(0, len(order) - 1, count).astype(int)])


def describe(run: Run, manifest: Mapping[str, Any]) -> str:
    """Returns the datasheet of a set that is drawn with a run's systems."""
    metrics, settings = run.read_metrics(), manifest["settings"]
    texture = {k: metrics.get(f"detectability/{k}/accuracy") for k in ("real", "synthetic")}
    kind = run.prepared.dataset.label_kind if run.prepared.dataset.has_label else None
    labels, score = _LABELS[kind]
    source = origin(
        run,
        manifest,
        settings,
        run.experiment.drawing.networks,
        system=SYSTEM,
        making=(
            "`python experiments/generate.py --run RUN` draws more samples with the same networks.",
            "Maps taken after all retries, without passing the filter: "
            f"{manifest['accepted_after_retries']}.",
        ),
        score=score,
        labels=labels,
        figures=summary_table(metrics),
        measured="Held-out real images beside the run's own set of "
        f"{run.config.dataset.samples} samples, unfiltered",
        texture={kind: value for kind, value in texture.items() if value is not None},
    )
    return set_datasheet(manifest, source)


_LABELS: dict[Optional[str], tuple[str, str]] = {
    None: ("The images have no labels.", "score"),
    IMAGE: (
        "A sample's class is its number modulo the number of classes; it was asked for, not found.",
        "probability of its class by the run's classifier",
    ),
    BOXES: (
        "The boxes of a sample are those of one training slice that fit its map (label_source in "
        "samples.csv tells which); where none fits, one box drawn there (label_source -1).",
        "share of its boxes that the run's detector finds",
    ),
}
