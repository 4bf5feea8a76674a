"""TC-MGAN Table 1: PSNR and SSIM of T2 translated by the four variants.

    python experiments/table1_tc_mgan.py                       # trains all four on the phantom
    python experiments/table1_tc_mgan.py --data BraTS2018      # on your data
    python experiments/table1_tc_mgan.py --variants DIR        # DIR/<variant>: finished runs

Every variant is a run of experiments/train_tc_mgan.py of its own, with the same seed and length.
Source: Xin, Hu, Zheng, Liao, "Multi-modality generative adversarial networks with tumor consistency
loss for brain MR image synthesis", section 3.3 and Table 1.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ours before any other `utils`

from utils.runs.environment import prepare_tensorflow, require_supported_versions

require_supported_versions()
prepare_tensorflow()

import numpy as np
import pandas as pd
import tensorflow as tf

from experiments.configs.tc_mgan import PRESETS
from experiments.engine.cli import Launch, Script, main, parse
from experiments.engine.evidence import Stopwatch, command
from experiments.engine.starting import record_start
from experiments.systems.tc_mgan.context import TranslationContext, check_batches
from experiments.systems.tc_mgan.evaluation import SSIM_RANGES, lesion_slices
from experiments.systems.tc_mgan.training import translation_grid
from experiments.tables.tc_mgan.variants import (
    OPTION,
    TITLES,
    check_variant,
    finish_variants,
    open_variants,
)
from models.tc_mgan.modalities import TARGETS
from utils.config import to_yaml
from utils.reporting.pictures import write_png
from utils.reporting.tables import bullets, markdown_table, page, write_table
from utils.runs.run_directory import RunDirectory

FIGURES = ("psnr", *SSIM_RANGES)
# Of 85 patients of BraTS 2018, by variant and figure: Flair, T1c, T1.
PAPER = {  # means
    "pix2pix": {"psnr": (24.0345, 25.1622, 25.2793), "ssim_range2": (0.9110, 0.9260, 0.9421)},
    "mgan": {"psnr": (24.6176, 25.7269, 25.8468), "ssim_range2": (0.9256, 0.9389, 0.9520)},
    "tc_mgan": {"psnr": (24.6416, 25.6822, 25.7784), "ssim_range2": (0.9267, 0.9390, 0.9520)},
    "tc_mgan_bw": {"psnr": (24.6164, 25.6962, 25.8126), "ssim_range2": (0.9266, 0.9399, 0.9528)},
}
PAPER_STD = {  # standard deviations
    "pix2pix": {"psnr": (3.1225, 3.1622, 3.6721), "ssim_range2": (0.0444, 0.0359, 0.0355)},
    "mgan": {"psnr": (3.2926, 3.8608, 3.8419), "ssim_range2": (0.0387, 0.0319, 0.0327)},
    "tc_mgan": {"psnr": (3.4277, 3.9470, 3.9372), "ssim_range2": (0.0386, 0.0322, 0.0326)},
    "tc_mgan_bw": {"psnr": (3.4460, 3.9776, 3.9763), "ssim_range2": (0.0382, 0.0319, 0.0322)},
}
NOT_GIVEN = (np.nan,) * len(TARGETS)
DEFINITIONS = (
    "`psnr`: 10 log10(1 / mean squared error) in dB of intensities in [0,1], per slice on the full "
    "frame; higher is better.",
    "`ssim`: structural similarity per slice with a uniform 7x7 window and data range 1; higher is "
    "better.",
    "`ssim_range2`: the same with data range 2, which is always higher; the paper does not say "
    "which it used, its published example fits this one.",
    "Each is mean +- standard deviation over all slices of the held-out patients.",
)
COLUMNS = 6
SCRIPT = Script(
    "experiments/table1_tc_mgan.py",
    __doc__.split("\n")[0],
    PRESETS,
    stages=("table",),
    options=(OPTION,),
)


def execute(launch: Launch, run: RunDirectory, strategy: tf.distribute.Strategy) -> None:
    """Writes table1_tc_mgan.{csv,md,png} and the keys `table1_tc_mgan/...` of metrics.json."""
    check_variant("gan.variant", launch.config)
    check_batches(launch.config, strategy)
    if launch.dry_run:
        print(f"{to_yaml(launch.config)}\nvariants: {', '.join(TITLES)}")
        return
    contexts = open_variants(launch, launch.config, strategy)
    record_start(launch, run, strategy)
    with Stopwatch(run, "table1_tc_mgan"):
        finish_variants(launch, contexts, strategy)
    if not run.writes:
        return
    metrics = {
        f"table1_tc_mgan/{variant}/{key.split('/', 1)[1]}": value
        for variant, context in contexts.items()
        for key, value in context.run.read_metrics().items()
        if key.startswith("translation/")
    }
    run.update_metrics(metrics)
    frame = quality_frame(metrics)
    text = quality_text(frame, launch, contexts)
    write_table(run.path / "table1_tc_mgan", frame, text)
    write_png(run.path / "table1_tc_mgan.png", translation_strip(contexts))
    print(f"\n{text}\n{run.path / 'table1_tc_mgan.md'}")


def quality_frame(metrics: Mapping[str, float]) -> pd.DataFrame:
    """Returns a row per figure, modality and variant; differences are ours - paper."""
    rows = []
    for figure in FIGURES:
        for i, modality in enumerate(TARGETS):
            for variant, title in TITLES.items():
                key = f"table1_tc_mgan/{variant}/{modality}/{figure}"
                ours, spread = metrics[key], metrics[f"{key}_std"]
                paper, paper_spread = (
                    values[variant].get(figure, NOT_GIVEN)[i] for values in (PAPER, PAPER_STD)
                )
                row = {"figure": figure, "modality": modality, "variant": title}
                numbers = {"ours": ours, "std": spread, "paper": paper, "paper_std": paper_spread}
                rows.append({**row, **numbers, "difference": ours - paper})
    return pd.DataFrame(rows)


def quality_text(
    frame: pd.DataFrame, launch: Launch, contexts: Mapping[str, TranslationContext]
) -> str:
    """Returns the Markdown page: the table, the order found, where it comes from, definitions."""
    first = next(iter(contexts.values()))
    means = frame.groupby(["figure", "variant"])["ours"].mean()
    orders = []
    for figure in FIGURES:
        ranked = means[figure].sort_values(ascending=False)
        orders.append(f"`{figure}`, mean over modalities: {_ranking(ranked)}.")
    orders.append("The paper's order by mean PSNR: " + _ranking(_paper_means()) + ".")
    split = first.split
    notes = (
        f"Data: {first.data_note}; {len(split.gan)} patients to learn from, {len(split.test)} held "
        "out.",
        f"Command: `{command(SCRIPT, launch)}`; one run of each variant.",
    )
    parts = [
        "# TC-MGAN, Table 1: T2 translated by the four variants",
        markdown_table(frame),
        "The paper's numbers are of BraTS 2018; differences are ours - paper.",
        "## What was found",
        bullets(orders),
        "## How",
        bullets(notes),
        "## Definitions",
        bullets(DEFINITIONS),
    ]
    return page(parts)


def _ranking(ranked: pd.Series) -> str:
    return " > ".join(f"{name} {value:.3f}" for name, value in ranked.items())


def _paper_means() -> pd.Series:
    means = {TITLES[variant]: np.mean(values["psnr"]) for variant, values in PAPER.items()}
    return pd.Series(means).sort_values(ascending=False)


def translation_strip(contexts: Mapping[str, TranslationContext]) -> np.ndarray:
    """Returns held-out slices: T2, then each target real above the variants' translations."""
    examples = lesion_slices(next(iter(contexts.values())), COLUMNS)  # all hold out the same
    generators = {TITLES[name]: context.trained("gan") for name, context in contexts.items()}
    return translation_grid({k: v.synthesize for k, v in generators.items()}, examples)


if __name__ == "__main__":
    sys.exit(main(lambda: parse(sys.argv[1:], SCRIPT), execute))
