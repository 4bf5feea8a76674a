"""TC-MGAN Table 2: lesion segmentation with translated modalities beside T2 alone and all real.

    python experiments/table2_tc_mgan.py                  # trains what is missing, on the phantom
    python experiments/table2_tc_mgan.py --variants DIR   # DIR/<variant>: finished runs

One U-Net per row learns from the patients of the part "train", whose three other modalities are
real or translated by that row's generator, and is scored on the part "test" with the same kind of
input; the generators have seen the patients of neither. All U-Nets start alike and train on one
device, whatever `--devices` says.
Source: Xin, Hu, Zheng, Liao, "Multi-modality generative adversarial networks with tumor consistency
loss for brain MR image synthesis", section 3.4 and Table 2.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # ours before any other `utils`

from utils.runs.environment import prepare_tensorflow, require_supported_versions

require_supported_versions()
prepare_tensorflow()

import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from experiments.configs.tc_mgan import TABLE2_PRESETS
from experiments.engine.cli import Launch, Script, main, parse
from experiments.engine.evidence import Stopwatch, command, refuse_other_source
from experiments.engine.starting import record_start
from experiments.systems.tc_mgan.context import TranslationContext, check_batches
from experiments.tables.tc_mgan.unets import judge, translated_slices
from experiments.tables.tc_mgan.variants import (
    OPTION,
    TITLES,
    check_variant,
    fingerprint,
    finish_variants,
    open_variants,
)
from utils.config import to_yaml
from utils.reporting.charts import new_figure, save_figure
from utils.reporting.tables import bullets, markdown_table, page, write_table
from utils.runs.run_directory import RunDirectory

ONLY_T2, ALL_REAL = "only_t2", "real"
ROWS = {ONLY_T2: "only T2", **{name: f"T2 + {title}" for name, title in TITLES.items()}}
ROWS[ALL_REAL] = "four real modalities"
# Mean and standard deviation over slices; the names of the paper's rows are inferred.
PAPER = {
    "pix2pix": (0.7381, 0.3611),
    "mgan": (0.7440, 0.3588),
    "tc_mgan": (0.7585, 0.3519),
    "tc_mgan_bw": (0.7579, 0.3513),
    ONLY_T2: (0.7404, 0.3600),
    ALL_REAL: (0.8142, 0.3003),
}
DEFINITION = (
    "Dice (2I + 1) / (A + B + 1) of the whole tumour per slice, probabilities cut at 0.5; 1 where "
    "both masks are empty; mean and standard deviation over all slices of the held-out patients; "
    "higher is better."
)
SCRIPT = Script(
    "experiments/table2_tc_mgan.py",
    f"{__doc__.splitlines()[0]} The U-Nets train on one device, only the variants on --devices.",
    TABLE2_PRESETS,
    stages=("table",),
    options=(OPTION,),
)


def execute(launch: Launch, run: RunDirectory, strategy: tf.distribute.Strategy) -> None:
    """Writes table2_tc_mgan.{csv,md,png} and the keys `table2_tc_mgan/...` of metrics.json."""
    config = launch.config
    check_variant("training.gan.variant", config.training)
    check_batches(config.training, strategy, "--training.schedule")
    if launch.dry_run:
        print(f"{to_yaml(config)}\nrows: {', '.join(ROWS.values())}")
        return
    contexts = open_variants(launch, config.training, strategy)
    others = "other runs of the variants, or one of them has been changed"
    refuse_other_source(launch, fingerprint(contexts), others, "--variants")
    record_start(launch, run, strategy)
    with Stopwatch(run, "table2_tc_mgan"):
        finish_variants(launch, contexts, strategy)
        if not run.writes:
            return
        record_start(launch, run, strategy, fingerprint(contexts))
        for row in ROWS:
            if f"table2_tc_mgan/{row}/dice" not in run.read_metrics():
                scores = score_row(row, contexts, launch, run)
                run.update_metrics(
                    {
                        f"table2_tc_mgan/{row}/dice": scores.mean(),
                        f"table2_tc_mgan/{row}/dice_std": scores.std(),
                        f"table2_tc_mgan/{row}/slices": len(scores),
                    }
                )
            shutil.rmtree(run.path / "translated" / row, ignore_errors=True)  # gigabytes
    frame = dice_frame(run.read_metrics())
    text = dice_text(frame, launch, contexts)
    write_table(run.path / "table2_tc_mgan", frame, text)
    save_figure(dice_chart(frame), run.path / "table2_tc_mgan.png")
    print(f"\n{text}\n{run.path / 'table2_tc_mgan.md'}")


def score_row(
    row: str, contexts: Mapping[str, TranslationContext], launch: Launch, run: RunDirectory
) -> np.ndarray:
    """Trains a row's U-Net, on one device, and returns its Dice of each held-out slice [N]."""
    first = next(iter(contexts.values()))
    alone = replace(first, strategy=tf.distribute.get_strategy())
    prepared = first.prepared
    if row in contexts:
        source = replace(contexts[row], strategy=alone.strategy)
        prepared = translated_slices(source, run.path / "translated" / row)
    inputs = "source" if row == ONLY_T2 else "four_channel"
    return judge(alone, run, launch.config, row, inputs, prepared)


def dice_frame(metrics: Mapping[str, float]) -> pd.DataFrame:
    """Returns a row per kind of input; differences are ours - paper."""
    rows = []
    for row, title in ROWS.items():
        ours, spread = (metrics[f"table2_tc_mgan/{row}/dice{end}"] for end in ("", "_std"))
        paper, paper_spread = PAPER[row]
        numbers = {"dice": ours, "std": spread, "paper": paper, "paper_std": paper_spread}
        rows.append({"input": title, **numbers, "difference": ours - paper})
    return pd.DataFrame(rows)


def findings(frame: pd.DataFrame) -> list[str]:
    """Returns in words whether the paper's order holds."""
    dice = dict(zip(frame["input"], frame["dice"]))
    alone, ours, real = (dice[ROWS[row]] for row in (ONLY_T2, "tc_mgan", ALL_REAL))
    holds = "holds" if alone <= ours <= real else "does not hold"
    return [
        f"The order only T2 <= T2 + TC-MGAN <= four real modalities {holds}: {alone:.3f}, "
        f"{ours:.3f}, {real:.3f}.",
        f"TC-MGAN closes {(ours - alone) / (real - alone):.0%} of the gap between T2 alone and all "
        "real modalities (paper: 25%)."
        if real > alone
        else "All real modalities are no better than T2 alone: there is no gap to close.",
    ]


def dice_text(
    frame: pd.DataFrame, launch: Launch, contexts: Mapping[str, TranslationContext]
) -> str:
    """Returns the Markdown page: the table, what was found, where it comes from."""
    first = next(iter(contexts.values()))
    split = first.split
    notes = (
        f"Data: {first.data_note}; {len(split.gan)} patients for the generators, "
        f"{len(split.train)} for the U-Nets, {len(split.test)} held out.",
        f"Command: `{command(SCRIPT, launch)}`; one training of each U-Net.",
        DEFINITION,
    )
    parts = [
        "# TC-MGAN, Table 2: segmentation with translated modalities",
        markdown_table(frame),
        "The paper's numbers are of BraTS 2018, with row names inferred from its text; differences "
        "are ours - paper.",
        "## What was found",
        bullets(findings(frame)),
        "## How",
        bullets(notes),
    ]
    return page(parts)


def dice_chart(frame: pd.DataFrame) -> Figure:
    """Draws the mean Dice of each kind of input, ours and the paper's."""
    figure = new_figure(9, 4)
    axes = figure.subplots()
    places = np.arange(len(frame))
    axes.plot(frame["dice"], places, "o", label="this run")
    axes.plot(frame["paper"], places, "D", mfc="none", label="paper, BraTS 2018")
    axes.set_yticks(places, frame["input"])
    axes.invert_yaxis()
    axes.set_xlabel("whole-tumour Dice, mean over held-out slices (1 is perfect)")
    axes.grid(axis="x", alpha=0.3)
    axes.legend()
    return figure


if __name__ == "__main__":
    sys.exit(main(lambda: parse(sys.argv[1:], SCRIPT), execute))
