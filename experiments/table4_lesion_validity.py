"""Thesis Table 4 on BRATS: segmenters of real lesions judge real and synthetic slices.

    python experiments/table4_lesion_validity.py --run RUN      # RUN: a finished main run
    python experiments/table4_lesion_validity.py                # makes one on the phantom

Nothing is trained: the main run's segmenters G_l, which saw real training slices only, find lesions
in the held-out patients' slices and in the whole unfiltered synthetic set.
Source: Yili Qu, master thesis, 5.5.2 and Table 4.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ours before any other `utils`

from utils.runs.environment import prepare_tensorflow, require_supported_versions

require_supported_versions()
prepare_tensorflow()

import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from data.brats.names import MODALITIES
from experiments.engine.cli import Launch, Script, main, parse
from experiments.engine.evidence import Stopwatch, command, open_evidence
from experiments.systems.structure_gan.context import Context
from experiments.systems.structure_gan.evaluation import (
    find_labels,
    held_out,
    segmentation_figures,
    synthetic,
)
from utils.errors import at_least, check_fields
from utils.reporting.charts import grouped_bars, new_figure, save_figure
from utils.reporting.tables import bullets, markdown_table, page, write_table
from utils.runs.run_directory import RunDirectory

MEAN = "mean"
TITLES = {
    "real": "real, held-out patients",
    "synthetic": "synthetic, unfiltered",
    "mismatched": "control: synthetic, labels of other slices",
}
THESIS = {"real": (0.026, 0.915), "synthetic": (0.043, 0.838)}  # MSE, Dice
FIGURES = ("legacy_mse", "legacy_dice", "dice_wt")
DEFINITIONS = (
    "`legacy_mse`: mean over all pixels of (a - b)^2, with a the found and b the given label, 0 to "
    "4; lower is better. The thesis' MSE.",
    "`legacy_dice`: (2 sum ab + 1e-5) / (sum a^2 + sum b^2 + 1e-5) per slice, mean over slices; "
    "higher is better; 1 where both are empty, so slices without a lesion raise it. The thesis' "
    "Dice.",
    "`dice_wt`: 2 |A and B| / (|A| + |B|) of the whole tumour (all labels above 0) per slice, mean "
    "over slices; higher is better; slices where both are empty are left out.",
    "Each figure is the mean over the four segmenters, one per modality. It depends on no pixel "
    "spacing.",
)


@dataclass(frozen=True)
class Table4Config:
    """What the table needs besides the main run.

    Args:
        batch_size: slices per forward pass.
    """

    batch_size: int = 8

    def __post_init__(self) -> None:
        check_fields(self, "--", batch_size=at_least(1))


PRESETS = dict.fromkeys(("tiny", "demo", "thesis"), Table4Config())
SCRIPT = Script(
    "experiments/table4_lesion_validity.py",
    __doc__.split("\n")[0],
    PRESETS,
    stages=("table",),
    reads_run=True,
)


def execute(launch: Launch, run: RunDirectory, strategy: tf.distribute.Strategy) -> None:
    """Writes table4.{csv,md,png} and the keys `table4/...` of metrics.json."""
    source = open_evidence(launch, run, strategy)
    if source is None or not run.writes:
        return
    source = replace(source, strategy=tf.distribute.get_strategy())
    with Stopwatch(run, "table4"):
        metrics = measure(source, launch.config.batch_size)
        run.update_metrics(metrics)
    frame = lesion_frame(metrics)
    text = lesion_text(frame, metrics, launch, source)
    write_table(run.path / "table4", frame, text)
    save_figure(lesion_chart(metrics), run.path / "table4.png")
    print(f"\n{text}\n{run.path / 'table4.md'}")


def measure(source: Context, batch_size: int) -> dict[str, float]:
    """Returns `table4/<data>/[<modality>/]<figure>` of real, synthetic and mismatched slices.

    In the last each synthetic slice is scored with the label of the next: what segmenters reach
    that know where lesions are at large, but do not see this one.
    """
    segmenters = source.trained("segmentation")
    find = tf.function(segmenters.synthesize, autograph=False, reduce_retracing=True)
    metrics = {}
    for name, slices in (("real", held_out(source)), ("synthetic", synthetic(source))):
        found = find_labels(find, slices.images, batch_size)
        metrics.update(segmentation_figures(found, slices.label, f"table4/{name}"))
        if name == "synthetic":
            others = np.roll(slices.label, 1, axis=0)
            metrics.update(segmentation_figures(found, others, "table4/mismatched"))
    return metrics


def lesion_frame(metrics: Mapping[str, float]) -> pd.DataFrame:
    """Returns a row per data set and modality, the mean first; differences are ours - thesis."""
    rows = []
    for name, title in TITLES.items():
        mse, dice = THESIS.get(name, (np.nan, np.nan))
        for modality in (MEAN, *MODALITIES):
            prefix = f"table4/{name}/" + ("" if modality == MEAN else f"{modality}/")
            values = {figure: metrics.get(prefix + figure, np.nan) for figure in FIGURES}
            row = {"data": title, "modality": modality, "slices": int(metrics[prefix + "images"])}
            if modality == MEAN:
                row.update(thesis_mse=mse, thesis_dice=dice)
                row["difference_mse"] = values["legacy_mse"] - mse
                row["difference_dice"] = values["legacy_dice"] - dice
            rows.append({**row, **values})
    columns = ["data", "modality", "slices", "legacy_mse", "thesis_mse", "difference_mse"]
    columns += ["legacy_dice", "thesis_dice", "difference_dice", "dice_wt"]
    return pd.DataFrame(rows)[columns]


def findings(metrics: Mapping[str, float]) -> list[str]:
    """Returns what the numbers say about the thesis' claim, in words."""
    value = {
        (name, figure): metrics.get(f"table4/{name}/{figure}", np.nan)
        for name in TITLES
        for figure in FIGURES
    }
    sentences = []
    share = THESIS["synthetic"][1] / THESIS["real"][1]
    for figure, thesis in (("legacy_dice", share), ("dice_wt", None)):
        real, fake, control = (value[name, figure] for name in TITLES)
        quoted = f" (thesis: {thesis:.0%})" if thesis else ""
        compared = f"{fake / real:.0%} of the" if real else "against"
        sentences.append(
            f"`{figure}`: {fake:.3f} on synthetic slices, {compared} {real:.3f} on real "
            f"ones{quoted}; with labels of other slices {control:.3f}."
        )
    real, fake, control = (value[name, "dice_wt"] for name in TITLES)
    if fake > control and fake >= real:
        verdict = (
            "The segmenters find the synthetic lesions at least as well as real ones. G has these "
            "segmenters in its loss: the figures show that lesions follow the label, not that they "
            "look real."
        )
    elif fake > control:
        verdict = "The segmenters find the synthetic lesions, but less well than real ones."
    else:
        verdict = "The segmenters do not find the synthetic lesions: the claim is not supported."
    return [*sentences, verdict]


def lesion_text(
    frame: pd.DataFrame, metrics: Mapping[str, float], launch: Launch, source: Context
) -> str:
    """Returns table4.md: the table, what was found, where it comes from, and the definitions."""
    means = frame[frame["modality"] == MEAN].drop(columns="modality")
    rest = frame[frame["modality"] != MEAN][["data", "modality", "slices", *FIGURES]]
    notes = (
        f"Data: {source.data_note}; {len(source.split.train)} training and "
        f"{len(source.split.test)} held-out patients.",
        f"Command: `{command(SCRIPT, launch)}`; seed of the main run {source.config.seed}; one "
        "run.",
    )
    parts = [
        "# Table 4: lesions of real and synthetic slices found by segmenters of real ones",
        markdown_table(means),
        "The thesis' numbers are of BRATS 2015; differences are ours - thesis.",
        "## What was found",
        bullets(findings(metrics)),
        "## How",
        bullets(notes),
        "## Definitions",
        bullets(DEFINITIONS),
        "## Per modality",
        markdown_table(rest),
    ]
    return page(parts)


def lesion_chart(metrics: Mapping[str, float]) -> Figure:
    """Draws whole-tumour and legacy Dice per modality and data set."""
    figure = new_figure(10, 6)
    for axes, (name, title) in zip(
        figure.subplots(2, sharex=True),
        {"dice_wt": "whole-tumour Dice", "legacy_dice": "legacy Dice (label numbers)"}.items(),
    ):
        prefixes = ("", *(f"{modality}/" for modality in MODALITIES))
        series = {
            text: [metrics.get(f"table4/{data}/{prefix}{name}", np.nan) for prefix in prefixes]
            for data, text in TITLES.items()
        }
        grouped_bars(axes, (MEAN, *MODALITIES), series)
        axes.set_ylabel("Dice (1 is perfect)")
        axes.set_ylim(0, 1.1)
        axes.set_title(title)
    axes.get_legend().remove()  # the upper one is enough
    return figure


if __name__ == "__main__":
    sys.exit(main(lambda: parse(sys.argv[1:], SCRIPT), execute))
