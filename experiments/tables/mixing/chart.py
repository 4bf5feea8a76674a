"""The chart of Table 5: Dice against the fraction of synthetic data, a line per family of rows."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Optional

import pandas as pd
from matplotlib.axes import Axes

from experiments.tables.mixing.rows import Paper
from utils.reporting.charts import OKABE_ITO, new_figure, save_figure


class Family(NamedTuple):
    """Rows that belong together, and how they are drawn.

    Attributes:
        number: where the rows' numbers stand: 1 or -1 for right or left, above or below.
    """

    label: str
    rows: tuple[str, ...]
    colour: str
    marker: str
    line: str
    number: tuple[int, int] = (1, 1)


FAMILIES = (
    Family("synthetic added to real", tuple("1 12 13 14 15 16 17".split()), OKABE_ITO[0], "o", "-"),
    Family(
        "augmented added to real",
        tuple("1 18 19 20 21 22 23".split()),
        OKABE_ITO[1],
        "s",
        "--",
        number=(1, -1),
    ),
    Family(
        "synthetic replacing real",
        tuple("1 11 10 9 3".split()),
        OKABE_ITO[2],
        "^",
        "-.",
        number=(-1, -1),
    ),
    Family(
        "synthetic alone, x1 to x3",
        tuple("3 4 5".split()),
        OKABE_ITO[4],
        "v",
        ":",
        number=(-1, 1),
    ),
    Family(
        "synthetic first, then 10 % real",
        tuple("c10 6 7 8".split()),
        OKABE_ITO[3],
        "D",
        "-",
    ),
    Family("real : synthetic 1 : 1, by order", tuple("24 15 25".split()), OKABE_ITO[6], "X", ":"),
    Family("part of the real data alone", tuple("c10 c20 2 1".split()), OKABE_ITO[5], "P", ":"),
)


def draw_table(table: pd.DataFrame, paper: Paper, path: Path, data_note: str) -> None:
    """Draws this run beside the paper; bars are the standard deviation over repeats.

    Args:
        table: see `summarise`.
        paper: whose numbers stand at the rows.
        path: of the PNG file.
        data_note: what the data is.
    """
    table = table.assign(shown=table["no"], no=table["no"].map(paper.in_thesis))
    figure = new_figure(13.5, 6.5)
    axes = figure.subplots(1, 2)
    repeats = int(table["seeds"].max())
    ours = "This run: " + data_note.partition(" (")[0]
    _panel(axes[0], table, "dice", "dice_std", f"{ours}, {repeats} repeat(s)")
    name = paper.name.partition(" Table")[0].capitalize()
    _panel(axes[1], table, "thesis_dice", None, f"{name}: BRATS 2015")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(
        f"{paper.title.partition(':')[0]}: test Dice by training data (numbers: rows; bars: "
        "standard deviation over repeats)"
    )
    save_figure(figure, path)


def _panel(axes: Axes, table: pd.DataFrame, score: str, spread: Optional[str], title: str) -> None:
    rows = table.set_index("no")
    extra = rows["synthetic"] + rows["augmented"]
    share = 100 * extra / (rows["real"] + extra)
    for family in FAMILIES:
        names = [no for no in family.rows if no in rows.index and pd.notna(rows.loc[no, score])]
        if not names or (names == ["1"] and family is not FAMILIES[0]):  # nothing of its own
            continue
        errors = rows.loc[names, spread].fillna(0) if spread else None
        axes.errorbar(
            share[names],
            rows.loc[names, score],
            yerr=errors,
            label=family.label,
            color=family.colour,
            marker=family.marker,
            linestyle=family.line,
            markersize=7,
            capsize=3,
        )
    for no in rows.index[rows[score].notna()]:
        # Rows of one fraction lie close together: each family has its own side for the numbers.
        right, up = next(family.number for family in FAMILIES if no in family.rows)
        axes.annotate(
            rows.loc[no, "shown"],
            (share[no], rows.loc[no, score]),
            xytext=(7 * right, 5 if up > 0 else -12),
            textcoords="offset points",
            ha="left" if right > 0 else "right",
            fontsize=8,
        )
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("fraction of synthetic (or augmented) slices in the training set, %")
    axes.set_ylabel("label-index Dice on real held-out slices (1 = perfect)")
    axes.set_xlim(-4, 104)
    axes.grid(alpha=0.3)


CURVES = {  # row -> label
    "1": "real alone",
    "21": "+ augmented",
    "cm": "+ copy-paste",
    "15": "+ synthetic",
    "25": "synthetic first",
    "3": "synthetic alone",
}


def draw_curve(results: pd.DataFrame, score: str, path: Path, data_note: str) -> None:
    """Draws a score against the number of patients; bars are standard deviations over repeats.

    Args:
        results: columns no, number, seed, repeat and the score, a line per held-out patient.
        score: the column that is drawn.
        path: of the PNG file.
        data_note: what the data is.
    """
    figure = new_figure(8, 5)
    axes = figure.subplots()
    means = results.groupby(["no", "number", "seed", "repeat"])[score].mean()
    numbers = sorted(results["number"].unique())
    shown = [no for no in CURVES if no in means.index.get_level_values("no")]
    for i, no in enumerate(shown):
        points = means.loc[no].groupby("number")
        axes.errorbar(
            # Side by side, so that no bar hides another.
            [position + 0.05 * (i - len(shown) / 2) for position in range(points.ngroups)],
            points.mean(),
            yerr=points.std().fillna(0),
            label=CURVES[no],
            color=OKABE_ITO[i],
            marker="osD^vX"[i],
            capsize=3,
        )
    axes.set_xticks(range(len(numbers)), [str(number) for number in numbers])
    axes.set_xlabel("training patients, of segmenter and GAN")
    axes.set_ylabel("whole-tumour Dice of held-out volumes (1 = perfect)")
    axes.set_title(
        f"{data_note.partition(' (')[0]}; bars: standard deviation over repeats", size=10
    )
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    axes.grid(alpha=0.3)
    save_figure(figure, path)
