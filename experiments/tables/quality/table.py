"""Table 3 as files: figures per system and modality, the order they give, a strip of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from data.brats.names import MODALITIES
from utils.metrics.distributions import is_rank_deficient
from utils.metrics.features import (
    INCEPTION_EXTRACTOR,
    INCEPTION_WIDTH,
    TEXTURE_EXTRACTOR,
    TEXTURE_FEATURE_NAMES,
)
from utils.reporting.charts import new_figure
from utils.reporting.tables import bullets, markdown_table, page

TITLES = {
    "real": "real (training patients)",
    "ours": "Ours",
    "skrgan_star": "SkrGAN*",
    "gan_sharp": "GAN#",
    "real_tumour": "real, tumour crops",
    "ours_tumour": "Ours+ (tumour crops)",
}
COMPARED = ("ours", "skrgan_star", "gan_sharp")  # in the order that the thesis found
# MS-SSIM and FID of the thesis' row "BRATS MRI".
THESIS = {
    "ours": (0.727, 22.27),
    "skrgan_star": (0.713, 28.46),
    "gan_sharp": (0.561, 104.53),
    "ours_tumour": (0.738, 21.15),
}
MEAN = "mean"
# Number of features of each extractor.
WIDTHS = {"texture": len(TEXTURE_FEATURE_NAMES), "inception": INCEPTION_WIDTH}
Figures = Mapping[str, Mapping[str, np.ndarray]]  # system -> figure -> per modality [4]
Sizes = Mapping[str, tuple[int, int]]  # system -> numbers of slices measured, of real slices

DEFINITIONS = {
    "similarity": "MS-SSIM of random pairs of a slice of the set and a held-out slice, both drawn "
    "independently. The thesis' figure (it pairs two directory listings); there, higher is better. "
    "The mark to meet is the real row; smooth slices, or a collapsed set of typical ones, can "
    "exceed it.",
    "diversity": "MS-SSIM of random pairs of different slices of the set (real: of different "
    "patients, if there are several); lower is more diverse, the mark to meet is the real row.",
    "frechet_texture": "Frechet distance of texture features to held-out slices (not FID), lower "
    f"is nearer; extractor {TEXTURE_EXTRACTOR}, {len(TEXTURE_FEATURE_NAMES)} features in units of "
    "the held-out slices' deviations.",
    "kernel_texture": "kernel distance (unbiased squared MMD, mean over subsets) of the same "
    "features; lower is nearer, equal distributions give 0 on average.",
    "frechet_inception": f"FID of the extractor {INCEPTION_EXTRACTOR}; lower is nearer. Not the "
    "network of the thesis' FID: the values do not compare.",
    "kernel_inception": "kernel distance (KID) of the same features; lower is nearer.",
}


def quality_frame(figures: Figures, sizes: Sizes) -> pd.DataFrame:
    """Returns one row per system and modality, the mean over modalities first.

    Columns: system, modality, images, held_out, every figure, thesis_ms_ssim, thesis_fid (only in
    the rows of the mean). A figure that a system does not have is NaN.
    """
    rows = []
    for system in (name for name in TITLES if name in figures):
        thesis = THESIS.get(system, (np.nan, np.nan))
        for i, modality in enumerate((MEAN, *MODALITIES)):
            values = {
                name: v.mean() if modality == MEAN else v[i - 1]
                for name, v in figures[system].items()
            }
            numbers = dict(zip(("images", "held_out"), sizes[system]))
            rows.append({"system": TITLES[system], "modality": modality, **numbers, **values})
            if modality == MEAN:
                rows[-1].update(zip(("thesis_ms_ssim", "thesis_fid"), thesis))
    frame = pd.DataFrame(rows)
    thesis_columns = ["thesis_ms_ssim", "thesis_fid"]
    return frame[[name for name in frame if name not in thesis_columns] + thesis_columns]


def flat_metrics(figures: Figures, sizes: Sizes) -> dict[str, float]:
    """Returns keys `table3/<system>/[<modality>/]<figure>` for metrics.json."""
    metrics = {}
    for system, values in figures.items():
        metrics[f"table3/{system}/images"], metrics[f"table3/{system}/held_out"] = sizes[system]
        for name, per_modality in values.items():
            metrics[f"table3/{system}/{name}"] = float(per_modality.mean())
            for modality, value in zip(MODALITIES, per_modality):
                metrics[f"table3/{system}/{modality}/{name}"] = float(value)
    return metrics


def findings(figures: Figures) -> list[str]:
    """Returns a sentence per figure: the order of the three systems and whether the thesis has it.

    "Best" is the highest similarity, the diversity nearest to that of real slices, and the smallest
    distance.
    """
    sentences = []
    for name in figures["ours"]:
        value = {system: float(figures[system][name].mean()) for system in (*COMPARED, "real")}
        if name.endswith("similarity"):
            cost = {system: -value[system] for system in COMPARED}
        elif name.endswith("diversity"):
            cost = {system: abs(value[system] - value["real"]) for system in COMPARED}
        else:
            cost = {system: value[system] for system in COMPARED}
        order = sorted(COMPARED, key=cost.get)
        found = ", ".join(f"{TITLES[system]} {value[system]:.3g}" for system in order)
        verdict = "the thesis' order" if order == list(COMPARED) else "not the thesis' order"
        sentences.append(f"{name}: best to worst {found} (real {value['real']:.3g}); {verdict}.")
    return sentences


def definitions(figures: Figures) -> list[str]:
    """Returns the definition of every figure that was measured."""
    names = [name for values in figures.values() for name in values]
    return [
        f"`{name}`: {text}"
        for name in dict.fromkeys(names)
        for key, text in DEFINITIONS.items()
        if name == key or (name.startswith("ms_ssim") and name.endswith(key))
    ]


def table_text(frame: pd.DataFrame, figures: Figures, sizes: Sizes, notes: Sequence[str]) -> str:
    """Returns table3.md: means, what was found, notes, definitions, and the rows per modality.

    Args:
        frame: of `quality_frame`.
        figures: behind it.
        sizes: numbers of slices.
        notes: where the numbers come from, one sentence or more each.
    """
    means = frame[frame["modality"] == MEAN].drop(columns="modality")
    rest = frame[frame["modality"] != MEAN].drop(columns=["thesis_ms_ssim", "thesis_fid"])
    notes = [*notes, *_warnings(figures, sizes)]
    parts = [
        "# Table 3: quality of synthetic slices (BRATS row)",
        markdown_table(means),
        "The thesis' columns are MS-SSIM (to real) and FID of BRATS 2015 at another size and with "
        "another extractor: compare the order, not the values.",
        "## What was found",
        bullets(findings(figures)),
        "## How",
        bullets(notes),
        "## Definitions",
        bullets(definitions(figures)),
        "## Per modality",
        markdown_table(rest),
    ]
    return page(parts)


def _warnings(figures: Figures, sizes: Sizes) -> list[str]:
    texts = []
    fewest = min(min(pair) for pair in sizes.values())
    for extractor, width in WIDTHS.items():
        if f"frechet_{extractor}" in figures["ours"] and is_rank_deficient(fewest, width):
            texts.append(
                f"Caution: {fewest} slices are fewer than {width} {extractor} features need; their "
                "Frechet distances rest on singular covariances and are too large."
            )
    if "frechet_inception" not in figures["ours"]:
        texts.append("FID is absent: it needs `--inception-weights FILE`.")
    return texts


def strip(sets: Mapping[str, np.ndarray], examples: int = 2) -> Figure:
    """Draws a row per set and, for each example, a column per modality.

    Args:
        sets: images [N,H,W,4] in [0,1] by the name at the left of the row.
        examples: slices per set, the first ones; a set with fewer leaves gaps.
    """
    height, width = next(iter(sets.values())).shape[1:3]
    columns = examples * (len(MODALITIES) + 1) - 1  # a narrow gap between examples
    widths = ([1] * len(MODALITIES) + [0.1]) * examples
    cell = 1.25  # inches
    figure = new_figure(
        sum(widths[:-1]) * cell + 1, len(sets) * (cell * height / width + 0.05) + 0.3
    )
    axes = figure.subplots(
        len(sets), columns, squeeze=False, gridspec_kw={"width_ratios": widths[:-1]}
    )
    for row, (title, images) in zip(axes, sets.items()):
        for j, axis in enumerate(row):
            example, modality = divmod(j, len(MODALITIES) + 1)
            axis.set_xticks([])
            axis.set_yticks([])
            if example < len(images) and modality < len(MODALITIES):
                axis.imshow(images[example, ..., modality], cmap="gray", vmin=0, vmax=1)
            else:
                axis.axis("off")
        row[0].set_ylabel(title, fontsize=10)
    for axis, modality in zip(axes[0], (*MODALITIES, "") * examples):
        axis.set_title(modality, fontsize=10)
    return figure
