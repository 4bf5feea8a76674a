"""Table 1 as files: figures per arm, what they say, bar chart (Fig. 13), strip (Fig. 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data.brats.names import MODALITIES
from experiments.systems.structure_gan.evaluation import SliceSet
from experiments.tables.ablation.arms import LETTERS, ORDERS, arm_config
from experiments.tables.ablation.measures import MEASURES
from models.structure_gan.config import SynthesisConfig
from utils.reporting.charts import grouped_bars, new_figure
from utils.reporting.pictures import draw_contour, enlarge, grid, to_uint8
from utils.reporting.tables import bullets, markdown_table, page

ORDER_TITLES = {
    "thesis": "the thesis' order (Table 1)",
    "released": "the released code's order",
}
REAL = "real"
# Each step of an order, what it adds, and the figure that the thesis' text says it improves.
CLAIMS = {
    "thesis": (
        ("A", "B", "structure map", "frechet_texture"),
        ("B", "C", "label inside the mask", "lesion_outside"),
        ("C", "D", "noise fusion", "frechet_texture"),
        ("D", "E", "registration loss", "overlap"),
        ("E", "F", "lesion loss", "dice_wt"),
    ),
    "released": (
        ("A", "B", "structure map", "frechet_texture"),
        ("B", "C", "noise fusion", "frechet_texture"),
        ("C", "D", "registration loss", "overlap"),
        ("D", "E", "label and lesion loss", "dice_wt"),
        ("E", "F", "label inside the mask", "lesion_outside"),
    ),
}
# Where the arms are not those of the thesis or its code, on purpose.
DEVIATIONS = {
    "both": (
        "A to F differ in nothing but the table's columns: where the released code pre-trains B to "
        "E without its background term, it stays on here, as do the main run's other additions.",
    ),
    "thesis": (
        "The thesis' table ticks L_les for B; the code of that order has no lesion loss before F, "
        "which is followed.",
        "The code's arms of the thesis' order weigh D's real, D's fake and G's loss with 100, 70 "
        "and 70, their class terms with 100, and have a learning rate of 1e-4 and a label scale of "
        "0.18; here these are the main run's.",
    ),
    "released": (
        "The code's own order uses no label input at all; here E and F are the main system's. Its "
        "E takes the label of the slice that the map is from; here any label.",
        "The code's A of its own order weighs D's real, D's fake and G's loss with 100, 70 and 70 "
        "and has four separate generators; here the weights are the main run's and the generator "
        "is one, conditioned like the others.",
    ),
}
Figures = Mapping[str, Mapping[str, Mapping[str, float]]]  # order -> arm or "real" -> figure
LOG_SPAN = 100  # largest / smallest bar from which a panel is logarithmic
SCALE = 2  # pixels of the strip per pixel of a slice


def ablation_frame(figures: Figures) -> pd.DataFrame:
    """Returns one row per order and arm, real slices last: order, arm, description, figures."""
    rows = []
    for order, arms in figures.items():
        described = {arm.letter: arm.description for arm in ORDERS[order]}
        rows += [
            {"order": order, "arm": letter, "description": described[letter], **values}
            for letter, values in arms.items()
            if letter != REAL
        ]
    real = next(iter(figures.values()))[REAL]
    return pd.DataFrame([*rows, {"order": "", "arm": REAL, "description": "real slices", **real}])


def settings_frame(order: str) -> pd.DataFrame:
    """Returns Table 1 of an order, read from its arms: what each of them has."""
    rows = []
    for arm in ORDERS[order]:
        config = arm_config(arm, SynthesisConfig())
        map_input, label = arm.reads_map, arm.sees_label
        rows.append(
            {
                "arm": arm.letter,
                "structure map": map_input,
                "label inside mask": label and arm.match,
                "noise fusion": map_input and config.noise != (0.0, 0.0),
                "L_reg": config.registration > 0,
                "L_les": config.lesion > 0,
                "label input": {"concat": "beside", "weighted": "weighted sum"}[config.fusion]
                if label
                else "none",
            }
        )
    return pd.DataFrame(rows).replace({True: "yes", False: "no"})


def findings(figures: Figures) -> list[str]:
    """Returns a sentence per claim of the thesis on the arms that were measured, and the orders."""
    texts = []
    for order, arms in figures.items():
        for before, after, what, name in CLAIMS[order]:
            if before in arms and after in arms:
                old, new = arms[before][name], arms[after][name]
                gain = (new - old) * MEASURES[name].better
                verdict = "better" if gain > 0 else "not better"
                texts.append(
                    f"{order} {before} to {after} ({what}): {MEASURES[name].title} {old:.3f} to "
                    f"{new:.3f}, {verdict}."
                )
        letters = [letter for letter in arms if letter != REAL]
        for name, measure in MEASURES.items():
            values = {x: arms[x][name] for x in letters if np.isfinite(arms[x][name])}
            ranked = sorted(values, key=lambda letter: values[letter] * -measure.better)
            if len(ranked) > 1:
                numbers = ", ".join(f"{letter} {values[letter]:.3f}" for letter in ranked)
                texts.append(f"{order}, {measure.title}, best to worst: {numbers}.")
    return texts


def table_text(figures: Figures, notes: Sequence[str]) -> str:
    """Returns table1.md: settings, figures, what was found, notes and definitions."""
    parts = ["# Table 1: ablation of the main system"]
    frame = ablation_frame(figures)
    for order in figures:
        parts += [f"## Arms in {ORDER_TITLES[order]}", markdown_table(settings_frame(order))]
    parts += ["## Figures", markdown_table(frame), "## What was found", bullets(findings(figures))]
    arrows = {1: "higher is better", -1: "lower is better"}
    definitions = [
        f"`{name}`: {measure.definition}; {arrows[measure.better]}."
        for name, measure in MEASURES.items()
    ]
    parts += ["## How", bullets(notes), "## Definitions", bullets(definitions)]
    return page(parts)


def bar_chart(figures: Figures, note: str) -> Figure:
    """Draws one panel per figure: bars are arms, a series per order, a line for real slices."""
    figure = new_figure(13, 7)
    real = next(iter(figures.values()))[REAL]
    letters = [letter for letter in LETTERS if any(letter in arms for arms in figures.values())]
    for axes, (name, measure) in zip(figure.subplots(2, 3).flat, MEASURES.items()):
        series = {
            f"{order} order": [arms.get(letter, {}).get(name, np.nan) for letter in letters]
            for order, arms in figures.items()
        }
        grouped_bars(axes, letters, series)
        if len(series) > 1:  # values of two bars side by side would overlap
            for text in axes.texts:
                text.set_rotation(90)
            axes.margins(y=0.3)
        _log_scale(axes, [value for row in (*series.values(), [real[name]]) for value in row])
        if np.isfinite(real[name]):
            axes.axhline(real[name], color="black", linestyle="--", label="real slices")
        better = {1: "higher is better", -1: "lower is better"}[measure.better]
        axes.set_title(f"{measure.title}\n{better}", fontsize=10)
        axes.set_xlabel("arm")
        handles = axes.get_legend_handles_labels()
        axes.get_legend().remove()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(f"Table 1, ablation. {note}", fontsize=11)
    return figure


def _log_scale(axes: Axes, heights: Sequence[float]) -> None:
    """Makes a panel of distances logarithmic if they span much; shares and Dice stay linear."""
    positive = [value for value in heights if value > 0]
    span = max(positive, default=1) / min(positive, default=1)
    if span > LOG_SPAN and max(positive) > 1:
        axes.set_yscale("log")
        axes.set_ylim(min(positive) / 3, max(positive) * span**0.5)  # room for the numbers


def strip(
    sets: Mapping[str, SliceSet], maps: Mapping[str, np.ndarray], examples: Sequence[int]
) -> np.ndarray:
    """Returns Fig. 12 as uint8 [H,W,3]: a row per arm, per example what G saw and four modalities.

    Args:
        sets: slices of each arm, by its title at the left.
        maps: what each arm's G saw instead of or as structure map, [N,H,W] in [0,1].
        examples: numbers of the slices.
    """
    rows = []
    for title, slices in sets.items():
        row = []
        for k in examples:
            row.append(enlarge(to_uint8(maps[title][k]), SCALE))
            row += [
                draw_contour(slices.images[k, ..., i], slices.label[k], scale=SCALE)
                for i in range(len(MODALITIES))
            ]
        rows.append(row)
    headers = ("map", *MODALITIES) * len(examples)
    return grid(rows, titles=list(sets), headers=headers)


def striking(matched: SliceSet, any_labels: np.ndarray, count: int) -> list[int]:
    """Returns the slices whose matched lesion is large and whose other label leaves the organ.

    The product of both areas ranks them, so that one strip shows what the mask filter and the
    lesion loss do.
    """
    inside = np.count_nonzero(matched.label, axis=(1, 2))
    crossing = np.count_nonzero((any_labels > 0) & (matched.outside > 0), axis=(1, 2))
    return np.argsort(-(inside + 1.0) * (crossing + 1.0), kind="stable")[:count].tolist()
